"""Vector figures with every word that is in them: from the files of real papers and from drawn charts, rasterized as asked."""

import io
import json
import math
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pypdfium2
from PIL import Image
from pypdfium2 import raw

from benchmarks.drawn_charts import DrawnChart

Box = tuple[float, float, float, float]
ROTATED = 10.0
"""Degrees from upright from which a word counts as turned."""
BASE_DPI = 72.0


@dataclass(frozen=True, slots=True)
class TrueText:
    """A word or a line with its place."""

    text: str
    box: Box
    """px of the rasterized figure"""
    angle: float
    """degrees, 0 is upright"""
    role: str = ""

    @property
    def turned(self) -> bool:
        """Whether it does not stand upright."""
        return min(self.angle % 360, -self.angle % 360) > ROTATED


@dataclass(frozen=True, slots=True)
class VectorFigure:
    """A figure file whose text is known exactly; `words` in pt from the top left of its page."""

    name: str
    group: str
    """ "papers" or the plotting library."""
    pdf: bytes
    words: tuple[TrueText, ...]
    lines: tuple[TrueText, ...] = ()
    """With roles; drawn charts only."""
    complete: bool = True
    """Whether `words` is all the text that can be seen: embedded pictures may show more."""

    def rasterize(self, dpi: float) -> Image.Image:
        """The page in RGB."""
        with pypdfium2.PdfDocument(self.pdf) as document:
            return document[0].render(scale=dpi / BASE_DPI).to_pil().convert("RGB")


def scaled(items: Sequence[TrueText], dpi: float) -> list[TrueText]:
    """The items in px of the figure rasterized at `dpi`."""
    factor = dpi / BASE_DPI
    return [
        TrueText(t.text, (t.box[0] * factor, t.box[1] * factor, t.box[2] * factor, t.box[3] * factor), t.angle, t.role)
        for t in items
    ]


def paper_figures(papers: Path) -> Iterator[VectorFigure]:
    """The vector figures under `papers`/figures, out of the papers' sources; `figures.jsonl` holds their words in px."""
    for line in (papers / "figures" / "figures.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["kind"] != "vector" or not row["words"]:
            continue
        pdf = _source_file(papers / "dev" / row["paper"] / "source.tar.gz", row["source"].split("/src/", 1)[1])
        if pdf is None or not _starts_at_zero(pdf):
            continue
        scale = row["scale"]
        words = tuple(TrueText(w["text"], tuple(v / scale for v in w["bbox"]), float(w["angle"])) for w in row["words"])
        yield VectorFigure(row["id"], "papers", pdf, words, complete=not _has_pictures(pdf))


def _starts_at_zero(pdf: bytes) -> bool:
    """Whether the page's corner is the origin: elsewhere the stored words are shifted, and those outside are missing."""
    with pypdfium2.PdfDocument(pdf) as document:
        left, bottom, _, _ = document[0].get_mediabox()
        return max(abs(left), abs(bottom)) < 1


def _has_pictures(pdf: bytes) -> bool:
    with pypdfium2.PdfDocument(pdf) as document:
        return any(o.type == raw.FPDF_PAGEOBJ_IMAGE for o in document[0].get_objects(max_depth=4))


def _source_file(archive: Path, name: str) -> bytes | None:
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if member.name.removeprefix("./").endswith(name) and member.isfile():
                file = tar.extractfile(member)
                return file.read() if file else None
    return None


@dataclass(frozen=True, slots=True)
class _Character:
    text: str
    box: Box
    angle: float
    starts: bool
    """Whether white space stands before it."""


def drawn_figure(chart: DrawnChart) -> VectorFigure:
    """A drawn chart with the places of its texts, from the characters in its PDF. Texts that are not found there are left out
    (a library may drop a label that does not fit)."""
    characters = _characters(chart.pdf)
    taken: set[int] = set()
    lines, words = [], []
    for role, text in sorted(chart.texts, key=lambda item: -len(item[1])):
        place = _find(text, characters, taken)
        if place is None:
            continue
        taken |= set(place)
        mine = [characters[i] for i in place]
        lines.append(TrueText(text, around([c.box for c in mine]), mine[0].angle, role))
        position = 0
        for word in text.split():
            part = mine[position : position + len(word)]
            words.append(TrueText(word, around([c.box for c in part]), part[0].angle, role))
            position += len(word)
    return VectorFigure(chart.name, chart.library, chart.pdf, tuple(words), tuple(lines))


def _characters(pdf: bytes) -> list[_Character]:
    with pypdfium2.PdfDocument(io.BytesIO(pdf)) as document:
        page = document[0]
        height = page.get_height()
        text = page.get_textpage()
        found: list[_Character] = []
        space = True
        for index in range(text.count_chars()):
            letter = chr(raw.FPDFText_GetUnicode(text.raw, index))
            if letter.isspace() or letter == "\0":
                space = True
                continue
            left, bottom, right, top = text.get_charbox(index)
            angle = math.degrees(raw.FPDFText_GetCharAngle(text.raw, index))
            found.append(_Character(letter, (left, height - top, right, height - bottom), angle, space))
            space = False
        return found


def _find(text: str, characters: Sequence[_Character], taken: set[int]) -> list[int] | None:
    """Where `text` stands as whole words among the characters that are free."""
    wanted = "".join(text.split())
    for start in range(len(characters) - len(wanted) + 1):
        end = start + len(wanted)
        whole = characters[start].starts and (end == len(characters) or characters[end].starts)
        if (
            whole
            and not any(i in taken for i in range(start, end))
            and "".join(c.text for c in characters[start:end]) == wanted
        ):
            return list(range(start, end))
    return None


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all."""
    return (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))
