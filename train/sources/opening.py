"""From the data flags to samples: which sources there are, how each is read, and all of them as one mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.dataset import is_dataset
from llava_graph.errors import DatasetError, InputError, did_you_mean
from llava_graph.prompt import PromptOptions
from llava_graph.record import SPLITS
from train.sources.blocks import Blocks, ConversationBlocks, FigureBlocks, Windows
from train.sources.conversations import ConversationSamples
from train.sources.figures import SLOTS, FigureReading, FigureSamples
from train.sources.hub import data_folder
from train.sources.mixture import Mixture, Weights
from train.sources.sample import NO_NOISE, Noise, Samples, TextSamples

if TYPE_CHECKING:
    from train.flags.arguments import DataArguments

MIXTURE_SUFFIXES = (".yaml", ".yml")
CONVERSATION_SUFFIXES = (".json", ".jsonl")
ENTRY_KEYS = ("path", "image_folder", "split", "weight", "context", "style", "ocr_style", "max_context_tokens")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data path and how it is read."""

    path: Path
    options: PromptOptions
    image_folder: Path | None = None
    """Of a conversation file; None: the file's own folder."""
    split: str = SPLITS[0]
    """Of a data set of ours."""
    weight: float = 1.0

    @property
    def has_splits(self) -> bool:
        """Whether it knows which samples are for training and which for evaluation."""
        return self.path.suffix not in CONVERSATION_SUFFIXES


def open_samples(
    data: DataArguments, options: PromptOptions, *, noise: Noise = NO_NOISE, evaluated: str | None = None
) -> Mixture:
    """All samples that the flags name; with `evaluated` those of that split, or of --eval_data_path, each once.

    `noise.seed` also draws the samples of sources with a weight. Raises DatasetError and InputError.
    """
    sources = sources_of(data, options)
    if evaluated is not None:
        sources = _evaluated(data, sources, options, evaluated)
    return open_sources(sources, noise=noise, limit=data.max_samples, text_only=data.text_only)


def sources_of(data: DataArguments, options: PromptOptions) -> list[Source]:
    """The data paths with their weights; a mixture file is replaced by what it lists."""
    weights = data.data_weights or [1.0] * len(data.data_path)
    if len(weights) != len(data.data_path):
        raise InputError(
            f"{len(data.data_path)} data paths have {len(weights)} weights",
            next_step="Give --data_weights one number for each --data_path",
        )
    folder = Path(data.image_folder) if data.image_folder else None
    found: list[Source] = []
    for name, weight in zip(data.data_path, weights, strict=True):
        plain = Source(
            path=Path(name), options=options, image_folder=folder, split=data.train_split, weight=_checked(weight, name)
        )
        if Path(name).suffix in MIXTURE_SUFFIXES:
            found += [replace(part, weight=part.weight * weight) for part in read_mixture(Path(name), plain)]
        else:
            found.append(replace(plain, path=data_folder(name)))
    return found


def read_mixture(file: Path, usual: Source) -> list[Source]:
    """The sources that a YAML list names: {path, image_folder, split, weight, context, style, ocr_style, max_context_tokens}.

    Paths are relative to the file. What an entry leaves out is as in `usual`. Raises DatasetError that names the entry.
    """
    import yaml  # type: ignore[import-untyped]

    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(f"the mixture cannot be read ({' '.join(str(error).split())})", where=str(file)) from error
    if not isinstance(entries, list) or not entries:
        raise DatasetError(
            "a mixture must be a list of entries", where=str(file), next_step="Write '- path: …' for each source"
        )
    return [_entry(entry, f"{file} entry {number}", file.parent, usual) for number, entry in enumerate(entries, 1)]


def _entry(entry: Any, where: str, folder: Path, usual: Source) -> Source:
    entry = {"path": entry} if isinstance(entry, str) else entry
    if not isinstance(entry, Mapping) or "path" not in entry:
        raise DatasetError("an entry needs a path", where=where)
    for key in entry:
        if key not in ENTRY_KEYS:
            raise DatasetError(f"unknown key {key!r}", where=where, next_step=did_you_mean(str(key), ENTRY_KEYS))
    split = str(entry.get("split", usual.split))
    if split not in SPLITS:
        raise DatasetError(f"unknown split {split!r}", where=where, next_step=did_you_mean(split, SPLITS))
    images = entry.get("image_folder")
    return Source(
        path=data_folder(_beside(folder, str(entry["path"]))),
        options=_options(entry, where, usual.options),
        image_folder=Path(_beside(folder, str(images))) if images else usual.image_folder,
        split=split,
        weight=_checked(entry.get("weight", 1.0), where),
    )


def _options(entry: Mapping[str, Any], where: str, usual: PromptOptions) -> PromptOptions:
    """`usual` with what the entry says about the prompt."""
    changed: dict[str, Any] = {field.name: entry[field.name] for field in fields(usual) if field.name in entry}
    if "context" in entry:
        shown = entry["context"] if isinstance(entry["context"], list) else [entry["context"]]
        for slot in shown:
            if slot not in (*SLOTS, "none"):
                raise DatasetError(f"unknown context {slot!r}", where=where, next_step=did_you_mean(str(slot), SLOTS))
        changed |= {slot: slot in shown for slot in SLOTS}
    try:
        return replace(usual, **changed)
    except (InputError, TypeError) as error:
        raise DatasetError(f"the prompt's options do not fit ({error})", where=where) from error


def open_sources(
    sources: Sequence[Source], *, noise: Noise = NO_NOISE, limit: int | None = None, text_only: bool = False
) -> Mixture:
    """Every source opened; of each the first `limit` samples count. Raises DatasetError."""
    parts: list[tuple[str, Samples]] = []
    for source in sources:
        samples = _open(source, noise)
        parts.append((source.path.name, TextSamples(samples) if text_only else samples))
    return Mixture(parts, Weights(parts=tuple(source.weight for source in sources), seed=noise.seed), limit)


def open_windows(data: DataArguments, options: PromptOptions, *, noise: Noise = NO_NOISE) -> Windows:
    """The same sources for a run that looks at nothing before: only footers and places of records are read."""
    sources = sources_of(data, options)
    parts: list[Blocks] = []
    for source in sources:
        if is_dataset(source.path):
            reading = FigureReading(options=source.options, noise=noise)
            parts.append(FigureBlocks(source.path, source.split, reading))
        else:
            samples = _open(source, noise)
            parts.append(ConversationBlocks(samples))
    weights = Weights(parts=tuple(source.weight for source in sources), seed=noise.seed)
    return Windows(parts, weights, limit=data.max_samples, text_only=data.text_only)


def _open(source: Source, noise: Noise) -> Samples:
    if is_dataset(source.path):
        return FigureSamples(source.path, source.split, FigureReading(options=source.options, noise=noise))
    if source.path.suffix in CONVERSATION_SUFFIXES:
        return ConversationSamples(source.path, source.image_folder or source.path.parent)
    raise DatasetError(
        "neither a data set of ours nor a LLaVA conversation file",
        where=str(source.path),
        next_step="Give the folder that scicap_builder wrote, or a .json or .jsonl of conversations",
    )


def _evaluated(data: DataArguments, sources: list[Source], options: PromptOptions, split: str) -> list[Source]:
    """What an evaluation reads: --eval_data_path, else the split `split` of the sources that have splits."""
    if data.eval_data_path:
        own = replace(data, data_path=data.eval_data_path, data_weights=[])
        return [replace(source, split=split, weight=1.0) for source in sources_of(own, options)]
    known = [replace(source, split=split, weight=1.0) for source in sources if source.has_splits]
    if not known:
        raise DatasetError(
            "a conversation file has no splits: it would be evaluated on what it is trained on",
            where=str(sources[0].path),
            next_step="Give other conversations as --eval_data_path",
        )
    return known


def _checked(weight: Any, where: str) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1000:
        raise DatasetError(f"a weight must be a number in 0..1000, got {weight!r}", where=where)
    return float(weight)


def _beside(folder: Path, name: str) -> str:
    """A path that a mixture names: beside the mixture's file where it is there, else as it stands."""
    return str(folder / name) if (folder / name).exists() else name
