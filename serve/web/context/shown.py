"""What of a figure's surroundings goes to the model: as it was trained, or as the visitor has switched. Pure values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llava_graph.errors import InputError
from llava_graph.prompt import PromptOptions
from llava_graph.record import Figure
from scicap_builder.mentions import citations, parse_label

MAX_PARAGRAPH_CHARS = 10_000
"""The longest paragraph of our test papers has 5,000."""
SLOTS = ("caption", "ocr", "title", "abstract")
"""Parts of a prompt that are switched whole; paragraphs are switched one by one."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a visitor has switched on or off; None: as the model was trained."""

    caption: bool | None = None
    ocr: bool | None = None
    title: bool | None = None
    abstract: bool | None = None
    paragraphs: tuple[str, ...] | None = None
    """Those that are given, as the visitor left them; None: all or none, as the model was trained."""

    def options(self, trained: PromptOptions) -> PromptOptions:
        """What the model is shown."""
        switched = {name: value for name in SLOTS if (value := getattr(self, name)) is not None}
        if self.paragraphs is not None:
            switched["mentions"] = bool(self.paragraphs)
        return replace(trained, **switched)

    def figure(self, figure: Figure) -> Figure:
        """The figure with the paragraphs that are given."""
        return figure if self.paragraphs is None else replace(figure, mentions=self.paragraphs)


AS_TRAINED = Shown()


def shown_in(chosen: Any, figure: Figure) -> Shown:
    """What the browser says, for the figure that is there.

    `chosen`: {"figure": id, "slots": {name: bool}, "paragraphs": null or [{"number", "on", "text"}, …]}; what was chosen for
    another figure (it was just replaced) does not count. Raises InputError for anything else.
    """
    if not isinstance(chosen, Mapping) or chosen.get("figure") != figure.id:
        return AS_TRAINED
    slots, paragraphs = chosen.get("slots") or {}, chosen.get("paragraphs")
    if not isinstance(slots, Mapping) or not all(name in SLOTS and type(on) is bool for name, on in slots.items()):
        raise _no_choice(slots)
    if paragraphs is not None and not isinstance(paragraphs, list):
        raise _no_choice(paragraphs)
    kept = None if paragraphs is None else tuple(text for one in paragraphs for text in _kept(one, figure))
    return Shown(**slots, paragraphs=kept)


def _kept(one: Any, figure: Figure) -> tuple[str, ...]:
    """The paragraph as it is given; nothing if it is off."""
    number, on, text = (one.get(name) for name in ("number", "on", "text")) if isinstance(one, Mapping) else (None,) * 3
    if type(number) is not int or not 0 <= number < len(figure.mentions) or type(on) is not bool:
        raise _no_choice(one)
    if not isinstance(text, str | None):
        raise _no_choice(one)
    if text is not None and len(text) > MAX_PARAGRAPH_CHARS:
        raise InputError(
            f"paragraph {number + 1} has {len(text)} characters, at most {MAX_PARAGRAPH_CHARS} are taken",
            next_step="Shorten it, or switch it off.",
        )
    text = figure.mentions[number] if text is None else " ".join(text.split())
    return (text,) if on and text else ()


def surroundings(figure: Figure, trained: PromptOptions, pages: Sequence[int] = ()) -> dict[str, Any]:
    """What the page shows around a figure, and what of it the model was trained with. `pages`: of its paragraphs, 0 where
    that is not known."""
    label = parse_label(figure.label)
    return {
        "figure": figure.id,
        "label": figure.label,
        "page": figure.paper.page,
        "title": figure.paper.title,
        "abstract": figure.paper.abstract,
        "paragraphs": [
            {"text": text, "page": page, "cites": cites(text, label.number if label else "")}
            for text, page in zip(figure.mentions, [*pages, *[0] * len(figure.mentions)], strict=False)
        ],
        "trained": {name: getattr(trained, name) for name in (*SLOTS, "mentions")},
        # The published format of 2023 has places for the caption and the text only.
        "fixed": trained.style == "llava_graph",
    }


def cites(text: str, number: str) -> list[list[int]]:
    """Where a paragraph speaks of figure `number`: [start, end) each, in order."""
    return [[one.start, one.end] for one in citations(text) if number and one.number == number]


def _no_choice(what: Any) -> InputError:
    return InputError(f"this is no choice of ours: {str(what)[:80]}", next_step="Choose the figure again.")
