"""What every export takes and what it gives back."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from llava_graph.errors import InputError, did_you_mean
from llava_graph.prompt import PromptOptions

IMAGES = ("all", "redistributable", "none")
"""Which pictures are written: every one; those whose licence lets them be passed on; none."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a data set is written."""

    prompt: PromptOptions = PromptOptions()
    """What a LLaVA conversation shows."""
    images: str = "all"
    """One of IMAGES. "all" is for use on this machine."""
    pdfs: Path | None = None
    """A folder with the papers: pdffigures2 states boxes in points, and only the PDF knows its pages' sizes."""

    def __post_init__(self) -> None:
        if self.images not in IMAGES:
            raise InputError(f"unknown images {self.images!r}", next_step=did_you_mean(self.images, IMAGES))


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote. `figures` + the sum of `left_out` is what the data set holds."""

    path: Path
    figures: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    """reason -> figures that the format cannot hold."""
    pictures: int = 0
    """Picture files written."""
    pictures_left_out: int = 0
    """Figures written without their picture, as `ExportOptions.images` asks."""
    restricted: int = 0
    """Of `pictures`: those whose licence does not let them be published again, or is not known."""


@dataclass(kw_only=True)
class Tally:
    """The counts of an export while it runs."""

    figures: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    pictures_left_out: int = 0
    restricted: int = 0

    def at(self, path: Path) -> Exported:
        """The counts as they stand, for the export at `path`."""
        return Exported(
            path=path,
            figures=self.figures,
            left_out=dict(self.left_out),
            pictures=self.pictures,
            pictures_left_out=self.pictures_left_out,
            restricted=self.restricted,
        )
