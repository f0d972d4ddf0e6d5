"""What comes with the package to try it with: figures drawn by `scicap_builder charts`, never seen in training, and a paper.

The paper is ours (`scripts/example_paper.py`); its numbers are those of `docs/packaged_model.md`.
"""

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


def example_paper() -> Path:
    """A PDF of two pages and three figures."""
    return Path(str(files(__name__))) / "example_paper.pdf"
