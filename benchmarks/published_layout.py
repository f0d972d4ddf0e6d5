"""Papers with known truth in SciCap+'s layout: a JSON, a picture and a file of paragraphs a figure; papers under made-up ids.

What the truth says stands in the published files: captions, and the paragraphs that cite each figure. Pictures and the words in
them are those of the PDF, as pdffigures2 takes them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from llava_graph.images import encode_png
from scicap_builder.pdf import read_pdf
from scicap_builder.reading import FoundFigure

SHIFT = 3
"""What is added to numbers where figures are published under other ones: most of these are numbers of other figures."""


@dataclass(frozen=True, slots=True)
class Known:
    """One figure and the truth about it."""

    name: str
    """SciCap's name of it; the record's id ends in what it says."""
    paper: str
    number: str
    """In its paper, which may be another one than it is published under."""
    cited: bool


def write_layout(
    papers: Path,
    root: Path,
    library: Path,
    only: Sequence[str] = (),
    *,
    shift: int = 0,
    elsewhere: bool = False,
    from_pdf: bool = False,
) -> list[Known]:
    """Write the published data set `root` and the folder of papers `library`; `papers` holds `dev/` and `gold/`.

    With `shift` figures are published under other numbers; with `elsewhere` under the id of another paper; with `from_pdf` with
    the caption as the PDF route reads it, where the paper has a source, which then is read otherwise.
    """
    gold = [path for path in sorted((papers / "gold").glob("*.json")) if not only or path.stem in only]
    known: list[Known] = []
    library.mkdir(parents=True)
    for place, path in enumerate(gold):
        folder = papers / "dev" / path.stem
        published_as = (place + 1) % len(gold) if elsewhere else place
        for file, ending in (("paper.pdf", ".pdf"), ("source.tar.gz", ".tar.gz")):
            if (folder / file).exists():
                (library / f"{_id(place)}{ending}").symlink_to(folder / file)
        drawn = {figure.number: figure for figure in read_pdf(folder / "paper.pdf").figures}
        truth = json.loads(path.read_text())
        for figure, copy in _copies(truth["figures"]):
            seen = drawn.get(figure["number"])
            read_otherwise = from_pdf and seen and seen.caption and (folder / "source.tar.gz").exists()
            published = figure | ({"caption": seen.caption} if seen and read_otherwise else {})
            name = f"{_id(published_as)}-Figure{_shifted(figure['number'], shift)}-{copy}"
            known.append(Known(name, path.stem, figure["number"], bool(figure["mentions"])))
            _write(root, name, published, truth["paragraphs"], seen, shift)
    return known


def _copies(figures: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    """The figures that the truth numbers, and which of that number each is."""
    seen: dict[str, int] = {}
    for figure in figures:
        if figure["number"] and figure["kind"] == "figure" and figure["where"] != "abstract" and figure["caption"]:
            seen[figure["number"]] = seen.get(figure["number"], 0) + 1
            yield figure, seen[figure["number"]]


def _write(  # noqa: PLR0917
    root: Path,
    name: str,
    figure: dict[str, Any],
    paragraphs: Sequence[dict[str, Any]],
    drawn: FoundFigure | None,
    shift: int,
) -> None:
    words = [line.text for line in drawn.text] if drawn else []
    caption = {
        "contains-subfigure": False,
        "Img-text": words,
        "paper-ID": name.partition("-")[0],
        "figure-ID": f"{name}.png",
        "figure-type": "Graph Plot",
        "0-originally-extracted": f"Figure {_shifted(figure['number'], shift)}: {figure['caption']}",
    }
    cited = [paragraphs[mention["paragraph"]]["text"] for mention in figure["mentions"]]
    picture = drawn.image if drawn and drawn.image else encode_png(Image.new("RGB", (64, 48), "white"))
    for file, content in (
        (f"captions/train/{name}.json", json.dumps(caption).encode()),
        (f"mentions_paragraph/train/{name}.json", json.dumps({"paragraph": cited}).encode()),
        (f"imgs/train/{name}.png", picture),
    ):
        place = root / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _id(place: int) -> str:
    return f"2101.{place + 1:05d}v1"


def _shifted(number: str, shift: int) -> str:
    return str(int(number) + shift) if shift and number.isdigit() else number
