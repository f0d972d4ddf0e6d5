"""What the paper bar shows of a paper. Records in, plain values for paper.js out."""

import base64
from collections.abc import Sequence
from typing import Any

from llava_graph.errors import AccessDenied, FetchError, InputError, LlavaGraphError, PaperError
from llava_graph.record import Dropped, Figure
from scicap_builder.one_paper import PaperRecords
from scicap_builder.progress import Step
from serve.papers.obtaining import EXAMPLE

DROP_IT = "Or get the paper's PDF yourself and drop it here."
MAX_LOST = 40
"""Lines about what was left out; a paper with more of them is broken in one way."""
WHY = {
    "no-region": "its caption is there, but no picture was found for it",
    "no-image": "its caption is there, but no picture was found for it",
    "bad-image": "its picture cannot be opened",
    "not-rendered": "its picture cannot be drawn",
    "ocr-failed": "the text in it could not be read",
    "scanned": "the page is a scan without text",
}
"""Reason of a `Dropped` -> for a reader."""


def doing_view(step: Step) -> dict[str, Any]:
    """While a paper is opened."""
    text = str(step)
    return {
        "doing": {
            "step": text[:1].upper() + text[1:] + " …",
            "share": (step.done - 1) / step.total if step.total and step.done else None,
        }
    }


FAILED = {"failed": True}
"""It could not be opened: the paper before stays."""


def paper_view(
    paper: PaperRecords,
    thumbnails: Sequence[bytes],
    pick: str = "",
    *,
    pages: Sequence[tuple[int, int]] = (),
    name: str = "",
) -> dict[str, Any]:
    """An opened paper. `pick`: the figure that is to be chosen at once; the first one if it is none of these. `pages`:
    (width, height) in px of the pictures of its pages. `name` stands where no title was found."""
    known = [figure.id for figure in paper.figures]
    return {
        "paper": paper.id,
        "title": paper.title or name,
        "source": source_of(paper),
        "figures": [_row(figure, small) for figure, small in zip(paper.figures, thumbnails, strict=True)],
        "lost": [_told(lost) for lost in paper.dropped[:MAX_LOST]],
        "pages": [list(size) for size in pages],
        "pick": pick if pick in known else next(iter(known), ""),
    }


def source_of(paper: PaperRecords) -> str:
    """Where it comes from, for people: "arXiv:1706.03762v7", or "uploaded"."""
    if paper.id == EXAMPLE:
        return "comes with LLaVA-Graph"
    return f"arXiv:{paper.id.removeprefix('arxiv:')}" if paper.id.startswith("arxiv:") else "uploaded"


def check_figures(paper: PaperRecords) -> None:
    """Raises PaperError that says why, for a paper without a single figure."""
    if paper.figures:
        return
    captions = [lost for lost in paper.dropped if lost.reason in ("no-region", "no-image", "not-rendered", "bad-image")]
    if captions:
        names = ", ".join(_name(lost) for lost in captions[:5])
        count = "1 caption has" if len(captions) == 1 else f"{len(captions)} captions have"
        what = f"no figure was found: {count} no picture that could be found or drawn ({names})"
    else:
        reasons = [lost.detail if lost.item == paper.id else _told(lost) for lost in paper.dropped[:3]]
        what = "no figure was found: " + ("; ".join(reasons) or "the paper has no numbered caption")
    raise PaperError(what, reason="no-figures", next_step="Crop a figure out of the page and drop it as a picture.")


def for_readers(error: LlavaGraphError) -> LlavaGraphError:
    """An error of opening a paper, with a next step for somebody in front of the page and not at a command line."""
    if isinstance(error, AccessDenied):
        return FetchError(f"this server is refused by arXiv: {error.what}", next_step=DROP_IT)
    if isinstance(error, FetchError) and error.reason == "unreachable":
        return FetchError("arXiv cannot be reached from here", next_step=f"Try again later. {DROP_IT}")
    if isinstance(error, FetchError):
        return FetchError(f"no answer from arXiv: {error.what}", next_step=f"Try again later. {DROP_IT}")
    if isinstance(error, PaperError) or error.next_step:
        return error
    return InputError(
        error.what, next_step="Write an id such as 1706.03762, paste an arXiv address, or drop the paper's PDF."
    )


def _row(figure: Figure, thumbnail: bytes) -> dict[str, Any]:
    label = figure.label or f"Figure {figure.id.rpartition('#fig')[2]}"
    return {
        "id": figure.id,
        "label": label,
        "page": figure.paper.page,
        "box": figure.paper.box and list(figure.paper.box),
        "caption": figure.caption,
        # What the search looks in.
        "text": " ".join((label, figure.caption, *figure.mentions)).lower(),
        "thumb": f"data:image/webp;base64,{base64.b64encode(thumbnail).decode()}" if thumbnail else "",
    }


def _told(lost: Dropped) -> str:
    return f"{_name(lost)}: {WHY.get(lost.reason, lost.detail or lost.reason)}"


def _name(lost: Dropped) -> str:
    """Without the paper's id: "Figure 3", "page 4", "fig 3"."""
    _, hash_, name = lost.item.partition("#")
    return name.replace("fig", "figure ", 1) if hash_ else lost.item.partition(" ")[2] or lost.item
