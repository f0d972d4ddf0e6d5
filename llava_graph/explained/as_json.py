"""Explained figures as JSON that can be read back: the figure record as `docs/record.md` names it, pictures in base64."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from llava_graph.errors import RecordError
from llava_graph.explained.records import Explained, ExplainedFigure, ExplainedPaper, with_evidence
from llava_graph.printable import printable_json
from llava_graph.record import parse, plain

FORMAT = 1
"""Raised when a reader of the old form could no longer read the new one."""
KINDS = {"explained-figure": ExplainedFigure, "explained-paper": ExplainedPaper}


def to_json(explained: Explained, *, pictures: bool = True, indent: int | None = 2) -> str:
    """The whole as JSON. Without `pictures` it is small, and reading it back gives figures without pixels."""
    return printable_json(to_plain(explained, pictures=pictures), indent=indent)


def to_plain(explained: Explained, *, pictures: bool = True) -> dict[str, Any]:
    """The same as plain values."""
    kind = next(name for name, known in KINDS.items() if isinstance(explained, known))
    if isinstance(explained, ExplainedFigure):
        body = _figure(explained, pictures)
    else:
        body = {
            "paper": plain(explained.paper),
            "figures": [_figure(figure, pictures) for figure in explained.figures],
            "dropped": plain(explained.dropped),
            "options": dict(explained.options),
        }
    return {"format": FORMAT, "kind": kind, **body}


def from_json(text: str | bytes, where: str = "") -> Explained:
    """What `to_json` wrote, with its evidence. Raises RecordError: no JSON, another kind or form, an unknown or wrong field."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"cannot be read as JSON ({error})", where=where) from error
    if not isinstance(data, dict) or data.get("kind") not in KINDS:
        raise RecordError(f"no explained figure or paper (its `kind` is not one of {', '.join(KINDS)})", where=where)
    kind, form = data.pop("kind"), data.pop("format", None)
    if form != FORMAT:
        raise RecordError(
            f"written in form {form!r}, this version reads {FORMAT}", where=where, next_step="Update llava-graph"
        )
    if kind == "explained-figure":
        return _explained_figure(data, where)
    figures, options = data.pop("figures", []), data.pop("options", {})
    if not isinstance(figures, list) or not _are_options(options):
        raise RecordError("`figures` must be a list and `options` a mapping of plain values", where=where)
    paper = parse(ExplainedPaper, data, where)
    read = tuple(_explained_figure(row, f"{where or 'figures'}[{place}]") for place, row in enumerate(figures))
    return ExplainedPaper(paper=paper.paper, figures=read, dropped=paper.dropped, options=options)


def _figure(explained: ExplainedFigure, pictures: bool) -> dict[str, Any]:
    row = plain(with_evidence(explained))
    row["figure"] = explained.figure.to_row()
    data = row["figure"]["image"]["bytes"]
    row["figure"]["image"]["bytes"] = base64.b64encode(data).decode("ascii") if data and pictures else None
    return row


def _explained_figure(row: Any, where: str) -> ExplainedFigure:
    if not isinstance(row, dict) or not isinstance(row.get("figure"), dict):
        raise RecordError("an explained figure needs a `figure`", where=where)
    figure = dict(row["figure"])
    image = figure.get("image")
    if isinstance(image, dict) and isinstance(image.get("bytes"), str):
        try:
            figure["image"] = {**image, "bytes": base64.b64decode(image["bytes"], validate=True)}
        except (binascii.Error, ValueError) as error:
            raise RecordError(f"figure.image.bytes is no base64 ({error})", where=where) from error
    return parse(ExplainedFigure, {**row, "figure": figure}, where)


def _are_options(options: Any) -> bool:
    return isinstance(options, Mapping) and all(
        isinstance(value, str | int | float | bool | None) for value in options.values()
    )
