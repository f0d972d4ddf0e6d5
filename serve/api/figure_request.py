"""The extension `figure` of a chat request: what is known about the figure beside its pixels, checked field by field."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llava_graph.asking import Ask
from llava_graph.record import OCR_ROLES, Box, OcrLine, check_box
from serve.api.fields import known_only, list_of, mapping_of, named, switch, text_of, wrong

MAX_TEXT_CHARS = 20_000
"""Of a caption, an abstract, one paragraph."""
MAX_MENTIONS = 50
MAX_LINES = 1000
MAX_LINE_CHARS = 500
MAX_NAME_CHARS = 200
WHOLE_FIGURE: Box = (0.0, 0.0, 1.0, 1.0)
INCLUDABLE = ("prompt", "ocr", "evidence")


@dataclass(frozen=True, kw_only=True)
class FigureRequest:
    """What a caller says of a figure. None: nothing was said, the paper's word counts if there is one."""

    caption: str | None = None
    ocr: bool | tuple[OcrLine, ...] | None = None
    """True: read it here. False: leave it out. Lines: these. None: the paper's lines, or read it here."""
    mentions: tuple[str, ...] | None = None
    title: str | None = None
    abstract: str | None = None
    kind: str | None = None
    paper: str | None = None
    """An arXiv id, or the id of a paper that was opened."""
    label: str | None = None
    """Which figure of the paper: "Figure 3"."""
    figure_id: str | None = None
    region: Box | None = None
    """The part that is asked about, 0..1 of the figure, origin top left."""
    ask: Ask | None = None
    """An explanation for this reader; None: the last message is the question."""
    include: frozenset[str] = frozenset()
    """What the answer brings along, of INCLUDABLE."""

    @property
    def from_paper(self) -> bool:
        """Whether the figure is one of a paper's, not an image of the request."""
        return self.figure_id is not None or self.paper is not None

    @classmethod
    def from_json(cls, data: Any) -> "FigureRequest":
        """Raises ApiError."""
        data = mapping_of(data, "figure")
        known_only(data, _FIELDS, "figure.")
        texts = {name: _text(data, name, most) for name, most in _TEXTS.items()}
        request = cls(
            **texts,
            ocr=_ocr(data["ocr"]) if "ocr" in data else None,
            mentions=_mentions(data["mentions"]) if "mentions" in data else None,
            region=_box(data["region"], "figure.region") if "region" in data else None,
            ask=_ask(data["explain"]) if "explain" in data else None,
            include=_include(data.get("include", [])),
        )
        if request.label is not None and request.paper is None:
            raise wrong("figure.label goes with figure.paper", "figure.label", next_step="Say which paper it is in")
        if request.paper is not None and request.label is None and request.figure_id is None:
            raise wrong("figure.paper goes with figure.label, such as Figure 3, or figure.figure_id", "figure.label")
        return request


_TEXTS = {
    "caption": MAX_TEXT_CHARS,
    "title": MAX_TEXT_CHARS,
    "abstract": MAX_TEXT_CHARS,
    "kind": MAX_NAME_CHARS,
    "paper": MAX_NAME_CHARS,
    "label": MAX_NAME_CHARS,
    "figure_id": MAX_NAME_CHARS,
}
"""Fields that are text -> the most characters."""
_FIELDS = frozenset({*_TEXTS, "ocr", "mentions", "region", "explain", "include"})


def _text(data: Mapping[str, Any], name: str, most: int) -> str | None:
    return text_of(data[name], f"figure.{name}", most).strip() if name in data else None


def _mentions(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else list_of(value, "figure.mentions", MAX_MENTIONS)
    return tuple(
        text
        for index, item in enumerate(listed)
        if (text := text_of(item, f"figure.mentions[{index}]", MAX_TEXT_CHARS))
    )


def _ocr(value: Any) -> bool | tuple[OcrLine, ...]:
    if isinstance(value, bool):
        return value
    lines = (_line(item, f"figure.ocr[{index}]") for index, item in enumerate(list_of(value, "figure.ocr", MAX_LINES)))
    return tuple(line for line in lines if line.text)


def _line(item: Any, where: str) -> OcrLine:
    """ "text", or {"text", "box", "role"}. Such a line is the caller's own: no engine has read it."""
    data = mapping_of({"text": item} if isinstance(item, str) else item, where)
    known_only(data, {"text", "box", "role"}, f"{where}.")
    role = data.get("role", "other")
    if not isinstance(role, str) or role not in OCR_ROLES:
        raise wrong(f"{where}.role must be one of {', '.join(OCR_ROLES)}", f"{where}.role")
    return OcrLine(
        text=" ".join(text_of(data.get("text"), f"{where}.text", MAX_LINE_CHARS).split()),
        box=_box(data["box"], f"{where}.box") if "box" in data else WHOLE_FIGURE,
        role=role,
        source="caller",
    )


def _box(value: Any, where: str) -> Box:
    numbers = list_of(value, where, 4)
    if len(numbers) != 4 or not all(type(one) in (int, float) and 0 <= one <= 1 for one in numbers):
        raise wrong(f"{where} must be [x0, y0, x1, y1] in 0..1 from the top left", where)
    box: Box = (float(numbers[0]), float(numbers[1]), float(numbers[2]), float(numbers[3]))
    named(where, lambda: check_box(box, where))
    return box


def _ask(value: Any) -> Ask | None:
    """true, or {"level", "length", "sections"}."""
    if isinstance(value, bool):
        return Ask() if value else None
    data = mapping_of(value, "figure.explain")
    known_only(data, {"level", "length", "sections"}, "figure.explain.")
    words = {name: text_of(data[name], f"figure.explain.{name}", 40) for name in ("level", "length") if name in data}
    return named("figure.explain", lambda: Ask(**words, sections=switch(data, "sections", default=True)))


def _include(value: Any) -> frozenset[str]:
    listed = list_of(value, "figure.include", len(INCLUDABLE))
    if unknown := [item for item in listed if item not in INCLUDABLE]:
        raise wrong(
            f"figure.include knows {', '.join(INCLUDABLE)}, not {json.dumps(unknown[0])[:60]}", "figure.include"
        )
    return frozenset(listed)
