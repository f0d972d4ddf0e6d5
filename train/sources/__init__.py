"""What the data paths hold, as training samples by number. The door is `open_samples`; nothing is tokenized here."""

from train.sources.opening import Source, open_samples, open_sources, open_windows, sources_of
from train.sources.sample import NO_NOISE, Noise, Sample, Samples

__all__ = [
    "NO_NOISE",
    "Noise",
    "Sample",
    "Samples",
    "Source",
    "open_samples",
    "open_sources",
    "open_windows",
    "sources_of",
]
