"""Links to a figure of a paper: `/?figure=arxiv:1801.01974v2%23fig10`, and back from one. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

MAX_ID_CHARS, MAX_QUESTION_CHARS = 200, 2_000
UPLOADS = "upload:"
NO_LINK_OF_UPLOADS = (
    "This figure is an upload and no part of a published paper, so no link leads to it. Export keeps it as a file."
)


@dataclass(frozen=True)
class Wanted:
    """What a link asks for."""

    figure: str = ""
    question: str = ""


def link_of(figure_id: str, question: str = "") -> str:
    """The query of a link to a figure that this server can find again; "" for an upload."""
    if not figure_id or figure_id.startswith(UPLOADS) or len(figure_id) > MAX_ID_CHARS:
        return ""
    asked = question.strip()[:MAX_QUESTION_CHARS]
    return f"?figure={quote(figure_id, safe=':')}" + (f"&question={quote(asked, safe='')}" if asked else "")


def wanted_by(query: Mapping[str, str]) -> Wanted:
    """What a query asks for; no figure for values that no link of ours has. A question is put into its field, never sent, and
    stays when the figure cannot be had."""
    figure, question = query.get("figure", ""), query.get("question", "")
    if not 0 < len(figure) <= MAX_ID_CHARS or not figure.isprintable() or figure.startswith(UPLOADS):
        figure = ""
    return Wanted(figure, question[:MAX_QUESTION_CHARS])
