"""The figure record: the one noun that every source makes and every later step reads (`docs/record.md`).

In: keyword arguments or a plain row (a dict, as parquet and JSON give it). Out: frozen values; wrong names and values are
refused by name. What a source does not have stays empty.
"""

import hashlib
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from llava_graph.errors import RecordError, did_you_mean

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in 0..1, origin top left."""

OCR_ROLES = ("title", "x-axis", "y-axis", "x-tick", "y-tick", "tick", "legend", "panel", "annotation", "other")
"""tick: of a scale that is not known; panel: the letter of a panel; annotation: words among the data."""
TURN_ROLES = ("user", "assistant")
SPLITS = ("train", "validation", "test")
SPLIT_SHARES = (0.90, 0.05, 0.05)
"""Shares of papers per split; SciCap used 80/10/10, we keep more for training because papers are plentiful."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OcrLine:
    """One line of text inside the image."""

    text: str
    box: Box
    confidence: float = 1.0
    role: str = "other"
    orientation: int = 0
    """Degrees counter-clockwise that the text is turned: 0, 90, 180 or 270."""
    source: str = ""
    """"pdf" (the page's own text layer) or the name of the OCR engine."""
    panel: str = ""
    """Letter of the panel that it stands in; empty in a single figure."""
    value: float | None = None
    """The number that the text is; None where it is none."""

    def __post_init__(self) -> None:
        check_box(self.box, "ocr.box")
        if not 0 <= self.confidence <= 1:
            raise RecordError(f"ocr.confidence must be in 0..1, got {self.confidence}")
        if self.role not in OCR_ROLES:
            raise RecordError(f"unknown ocr.role {self.role!r}", next_step=did_you_mean(self.role, OCR_ROLES))
        if self.orientation not in (0, 90, 180, 270):
            raise RecordError(f"ocr.orientation must be 0, 90, 180 or 270 degrees, got {self.orientation}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One part of a compound figure: (a), (b), …"""

    letter: str
    """As printed, without brackets: "a", "B", "ii"; empty where the paper gives none."""
    caption: str = ""
    """The panel's own caption; empty where only the whole has one."""
    box: Box | None = None
    """0..1 of the figure's image, origin top left; None where it is not known."""

    def __post_init__(self) -> None:
        if self.box is not None:
            check_box(self.box, "panels.box")


@dataclass(frozen=True, kw_only=True, slots=True)
class Paper:
    """Where the figure stands."""

    id: str = ""
    title: str = ""
    abstract: str = ""
    categories: tuple[str, ...] = ()
    licence: str = ""
    page: int | None = None
    """Counted from 1."""
    box: Box | None = None
    """The figure's box on that page, 0..1 of the page, origin top left."""
    route: str = ""
    """What was read: "latex", "pdf", "html" or some of them: "latex+pdf", "latex+pdf+html"."""
    confidence: float | None = None
    """How sure the extraction is of the page and box, 0..1."""
    disagreements: tuple[str, ...] = ()
    """Where the routes did not say the same: "number: 4 in latex, 5 in pdf"."""

    def __post_init__(self) -> None:
        if self.box is not None:
            check_box(self.box, "paper.box")
        if self.page is not None and self.page < 1:
            raise RecordError(f"paper.page counts from 1, got {self.page}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """The chart's data table: one header and rows of the same length, all text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = ()
    title: str = ""
    """What it says of itself; empty where it has none."""

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.header):
                raise RecordError(f"table.rows[{number}] has {len(row)} cells, the header has {len(self.header)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One turn of a supervised dialogue."""

    role: str
    text: str
    references: tuple[str, ...] = ()
    """All answers that people gave to the question before it, repeats included; empty: `text`, which is the one to learn."""

    def __post_init__(self) -> None:
        if self.role not in TURN_ROLES:
            raise RecordError(f"unknown turns.role {self.role!r}", next_step=did_you_mean(self.role, TURN_ROLES))


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure with everything known about it. See the module `llava_graph.dataset` for how it lies on disk."""

    id: str
    """Unique and stable: `arxiv:1801.01974v2#fig10`, `vqa-rad:synpic42202`."""
    image: bytes | Path | None = None
    """The encoded pixels (PNG or JPEG) or the path of a file that holds them."""
    width: int = 0
    """px"""
    height: int = 0
    """px"""
    kind: str = ""
    """chart, diagram, photo, radiograph, pathology, …"""
    label: str = ""
    """ "Figure 10", as the paper prints it."""
    caption: str = ""
    """Without its label."""
    ocr: tuple[OcrLine, ...] = ()
    mentions: tuple[str, ...] = ()
    """Every paragraph that cites the figure, in reading order; the first is the training target."""
    panels: tuple[Panel, ...] = ()
    """The parts of a compound figure, in reading order; empty for a single one."""
    paper: Paper = Paper()
    table: Table | None = None
    turns: tuple[Turn, ...] = ()
    """Supervision as a dialogue; empty: the first mention answers an explain request."""
    source: str = ""
    licence: str = ""
    split: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            raise RecordError("a figure needs an id")
        if self.split and self.split not in SPLITS:
            raise RecordError(
                f"unknown split {self.split!r}", where=self.id, next_step=did_you_mean(self.split, SPLITS)
            )
        if self.width < 0 or self.height < 0:
            raise RecordError(f"width and height are px >= 0, got {self.width} x {self.height}", where=self.id)

    @property
    def single_panel(self) -> bool:
        """Whether the figure is one picture; SciCap's `contains-subfigure` is the opposite."""
        return len(self.panels) < 2

    @property
    def first_mention(self) -> str:
        """The paragraph that cites the figure first; empty when none is known."""
        return self.mentions[0] if self.mentions else ""

    @classmethod
    def from_row(cls, row: Mapping[str, Any], where: str = "") -> "Figure":
        """A record from a plain row. Raises RecordError that names `where`, the field and the nearest known name."""
        return parse(cls, row, where)

    def to_row(self) -> dict[str, Any]:
        """Plain Python values: dicts, lists, str, numbers, bytes; `image` is {"bytes", "path"} as `datasets` stores it."""
        row = plain(self)
        is_path = isinstance(self.image, Path)
        row["image"] = {"bytes": None if is_path else self.image, "path": str(self.image) if is_path else None}
        return row


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """What was seen and left out, and why. Read + dropped = seen, always."""

    item: str
    """A paper, a figure or a line: `arxiv:1801.01974v2`, `arxiv:1801.01974v2#fig3`, `ids.txt:7`."""
    reason: str
    """A short, countable name: `no-figures`, `encrypted`, `image-too-small`."""
    detail: str = ""


def split_of(paper_id: str) -> str:
    """The split of a paper: by hash of its id without the version, so that all figures of all versions stay together."""
    key = re.sub(r"v\d+$", "", paper_id)
    point = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
    if point < SPLIT_SHARES[0]:
        return SPLITS[0]
    return SPLITS[1] if point < SPLIT_SHARES[0] + SPLIT_SHARES[1] else SPLITS[2]


def check_box(box: Box, name: str) -> None:
    """Refuse a box that is not (x0, y0, x1, y1) in 0..1 with x0 <= x1 and y0 <= y1."""
    if len(box) != 4 or not all(0 <= value <= 1 for value in box) or box[0] > box[2] or box[1] > box[3]:
        raise RecordError(f"{name} must be (x0, y0, x1, y1) in 0..1 from the top left, got {tuple(box)}")


def plain(value: Any) -> Any:
    """Dataclasses -> dicts and tuples -> lists, all the way down."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def parse(kind: type, row: Mapping[str, Any], where: str = "", path: str = "") -> Any:
    """A plain mapping -> a dataclass of ours, checked field by field. Raises RecordError."""
    if not isinstance(row, Mapping):
        raise RecordError(f"{path or kind.__name__} must be a mapping, got {type(row).__name__}", where=where)
    hints = _hints(kind)
    for name in row:
        if name not in hints:
            raise RecordError(
                f"unknown field {path + str(name)!r}", where=where, next_step=did_you_mean(str(name), hints)
            )
    values = {name: convert(hints[name], value, where, path + name) for name, value in row.items() if value is not None}
    try:
        return kind(**values)
    except TypeError as error:
        missing = [f.name for f in fields(kind) if f.default is MISSING and f.name not in values]
        raise RecordError(f"{path or kind.__name__ + '.'}{missing[0]} is missing", where=where) from error
    except RecordError as error:
        raise RecordError(error.what, where=where or error.where, next_step=error.next_step) from error


@cache
def _hints(kind: type) -> dict[str, Any]:
    """field -> type; working it out anew for every row would be half of the reading."""
    return typing.get_type_hints(kind)


def convert(hint: Any, value: Any, where: str, path: str) -> Any:
    """One field's plain value -> the type its annotation asks for. Raises RecordError with the field's full path."""
    if isinstance(hint, types.UnionType):
        if path.rpartition(".")[2] == "image":
            return _image(value, where)
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if isinstance(hint, type) and is_dataclass(hint):
        return parse(hint, value, where, path + ".")
    if typing.get_origin(hint) is tuple:
        if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
            raise RecordError(f"{path} must be a list, got {type(value).__name__}", where=where)
        item = typing.get_args(hint)[0]
        return tuple(convert(item, entry, where, f"{path}[{index}]") for index, entry in enumerate(value))
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or isinstance(value, bool):
        raise RecordError(
            f"{path} must be {hint.__name__}, got {type(value).__name__} {str(value)[:40]!r}", where=where
        )
    return value


def _image(value: Any, where: str) -> bytes | Path | None:
    """bytes, a path, or datasets' {"bytes", "path"}."""
    if isinstance(value, Mapping):
        unknown = set(value) - {"bytes", "path"}
        if unknown:
            raise RecordError(f"unknown field {'image.' + min(unknown)!r}", where=where, next_step="Known: bytes, path")
        value = value.get("bytes") or value.get("path")
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str | Path):
        return Path(value)
    raise RecordError(f"image must be bytes or a path, got {type(value).__name__}", where=where)
