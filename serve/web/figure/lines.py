"""The text in a figure as the page shows it, and as the visitor leaves it. Values in, values out, no gradio.

The page keeps what was changed, not the lines: what was read stays with the server, and no client can invent where it stands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llava_graph.errors import InputError, RecordError
from llava_graph.record import OcrLine
from ocr.numbers import parse_number

WHOLE_FIGURE = (0.0, 0.0, 1.0, 1.0)
"""The box of a line that the visitor has written without saying where it stands."""
MAX_LINE_CHARS = 500
"""Of one line; the longest that engines read on our figures have under 200."""
MAX_ADDED = 200
"""Lines that a visitor may add to one figure."""


def line_rows(lines: Sequence[OcrLine]) -> list[dict[str, Any]]:
    """What the page shows of each line, in their order; the place in this list is the line's number in `corrected`."""
    return [
        {
            "text": " ".join(line.text.split()),
            "role": line.role,
            "box": list(line.box),
            "confidence": line.confidence,
            "source": line.source,
            "panel": line.panel,
            "orientation": line.orientation,
        }
        for line in lines
    ]


def corrected(lines: Sequence[OcrLine], edits: Any) -> tuple[OcrLine, ...]:
    """The lines that are switched on, with the visitor's text and roles.

    `edits`: {"line": number, "text": …, "role": …, "on": …} for each line that was changed, with what was changed;
    "line" None (then also "box") for one that the visitor has added. A corrected line has confidence 1 and the source
    "visitor". Raises InputError for anything else.
    """
    if not isinstance(edits, list) or not all(isinstance(edit, Mapping) for edit in edits):
        raise _no_edit(edits)
    changes = {edit["line"]: edit for edit in edits if _is_number_of(edit.get("line"), lines)}
    added = [edit for edit in edits if edit.get("line") is None]
    if len(changes) + len(added) != len(edits):
        raise _no_edit(edits)
    if len(added) > MAX_ADDED:
        raise InputError(f"{len(added)} lines were added, at most {MAX_ADDED} are taken")
    kept = [_changed(line, changes[number]) if number in changes else line for number, line in enumerate(lines)]
    written = [_changed(OcrLine(text="", box=_box(edit.get("box"))), edit) for edit in added]
    return tuple(line for line in [*kept, *written] if line is not None and line.text.strip())


def _is_number_of(number: Any, lines: Sequence[OcrLine]) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(lines)


def _changed(line: OcrLine, edit: Mapping[str, Any]) -> OcrLine | None:
    """One line as the visitor left it; None when it is switched off."""
    text, role = edit.get("text"), edit.get("role")
    if edit.get("on") is False:
        return None
    if text is None and role is None:
        return line
    if not isinstance(text, str | None) or not isinstance(role, str | None):
        raise _no_edit(edit)
    if text is None:
        text = line.text
    if len(text) > MAX_LINE_CHARS:
        raise InputError(
            f"a line in the figure has {len(text)} characters, at most {MAX_LINE_CHARS} are taken",
            next_step="Shorten it, or write it into the caption.",
        )
    text = " ".join(text.split())
    try:
        return replace(
            line, text=text, role=role or line.role, confidence=1.0, source="visitor", value=parse_number(text)
        )
    except RecordError as error:
        raise InputError(error.what, next_step=error.next_step) from error


def _box(box: Any) -> tuple[float, float, float, float]:
    """Where an added line stands. Raises InputError."""
    if box is None:
        return WHOLE_FIGURE
    if not isinstance(box, list) or len(box) != 4 or not all(type(side) in (int, float) for side in box):
        raise _no_edit(box)
    x0, y0, x1, y1 = (float(side) for side in box)
    if not (0 <= x0 <= x1 <= 1 and 0 <= y0 <= y1 <= 1):
        raise _no_edit(box)
    return x0, y0, x1, y1


def _no_edit(what: Any) -> InputError:
    return InputError(
        f"this is no correction of a line: {str(what)[:80]}", next_step="Undo all changes, or choose the figure again."
    )
