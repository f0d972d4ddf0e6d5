"""The example figures that come with the package: drawn by `scicap_builder charts`, never seen in training."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ExampleFigure:
    """A figure to try the system with."""

    path: Path
    title: str
    caption: str


def example_figures() -> tuple[ExampleFigure, ...]:
    """All example figures, in the order of examples.json."""
    folder = Path(str(files(__name__)))
    listed = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    return tuple(ExampleFigure(folder / item["file"], item["title"], item["caption"]) for item in listed)
