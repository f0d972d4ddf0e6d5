"""The figure and what was said about it as a file to keep. In: the session. Out: name, type and text. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from llava_graph.errors import InputError, did_you_mean
from llava_graph.explained import Answer, ExplainedFigure, to_html, to_json, to_markdown, versions
from llava_graph.explained.wording import alt_text
from llava_graph.record import Paper
from scicap_builder.arxiv_id import ArxivId, parse_arxiv_id
from serve.web.session import Session

MAX_NAME_CHARS = 60
ARXIV = "arxiv:"
_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}


@dataclass(frozen=True)
class SharedFile:
    """A file that the browser makes: nothing is written on the server."""

    name: str
    type: str
    """MIME type."""
    text: str


FORMATS = {
    "html": ("html", "text/html"),
    "markdown": ("md", "text/markdown"),
    "json": ("json", "application/json"),
    "alt": ("txt", "text/plain"),
    "bibtex": ("bib", "application/x-bibtex"),
}
"""Format -> ending and MIME type."""


def shared_file(session: Session, form: str) -> SharedFile:
    """The session in one of FORMATS. Raises InputError if there is no figure, no such format, or nothing to cite."""
    if form not in FORMATS:
        raise InputError(f"unknown format {form!r}", next_step=did_you_mean(str(form), FORMATS))
    if session.figure is None:
        raise InputError("there is no figure yet", next_step="Choose one first, or reload the page")
    explained = explained_figure(session)
    if form == "html":
        text = to_html(explained)
    elif form == "markdown":
        text = to_markdown(explained)
    elif form == "json":
        text = to_json(explained)
    elif form == "alt":
        text = alternative_text(explained)
    else:
        text = bibtex(session.figure.paper)
        if not text:
            raise InputError("the paper of this figure is not known", next_step="Open it by its arXiv id to cite it")
    ending, mime = FORMATS[form]
    return SharedFile(f"{file_name(session.figure.id)}.{ending}", mime, text)


def explained_figure(session: Session) -> ExplainedFigure:
    """The conversation as the record that command line, report and API hand on too. `session.figure` is not None."""
    if session.figure is None:
        raise ValueError("there is no figure")
    pairs = zip(session.turns[::2], session.turns[1::2], session.facts, strict=False)
    answers = tuple(
        Answer(
            question=question.text,
            text=answer.text,
            model=facts.model,
            about=facts.about,
            # An answer that was stopped has no reason for its end.
            finish_reason=facts.finish_reason or "cancelled",
            completion_tokens=facts.completion_tokens,
            seconds=facts.seconds,
            regions=facts.regions,
        )
        for question, answer, facts in pairs
        if answer.text.strip()
    )
    begun = session.facts[0].started if session.facts else 0
    return ExplainedFigure(
        figure=session.figure,
        answers=answers,
        prompt=session.facts[0].prompt if session.facts else "",
        created=datetime.fromtimestamp(begun, UTC).isoformat(timespec="seconds") if begun else "",
        versions=versions(),
    )


def alternative_text(explained: ExplainedFigure) -> str:
    """The figure in words for those who do not see it: label and caption, then what the first answer says of it."""
    told = explained.answers[0].text.strip() if explained.answers else ""
    short = alt_text(explained.figure)
    return f"{short}\n\n{told}\n" if told else f"{short}\n"


def bibtex(paper: Paper) -> str:
    """The paper as BibTeX; empty unless it is one of arXiv's. Its authors are not in our records: the entry says where."""
    if not paper.id.startswith(ARXIV):
        return ""
    try:
        arxiv = parse_arxiv_id(paper.id)
    except InputError:
        return ""
    address = f"https://arxiv.org/abs/{arxiv}"
    fields = {"title": "{" + tex(paper.title) + "}" if paper.title else "", "year": _year(arxiv), "eprint": str(arxiv)}
    fields |= {
        "archivePrefix": "arXiv",
        "primaryClass": tex(paper.categories[0]) if paper.categories else "",
        "url": address,
        "note": f"Authors: see {address}",
    }
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@misc{{arxiv:{arxiv},\n{lines}}}\n"


def tex(text: str) -> str:
    """A text whose every sign stands for itself in TeX, on one line."""
    return "".join(_TEX.get(sign, sign) for sign in " ".join(text.split()))


def _year(arxiv: ArxivId) -> str:
    """An arXiv id begins with the year and month of the paper."""
    digits = arxiv.base.rpartition("/")[2][:2]
    return f"19{digits}" if digits[0] == "9" else f"20{digits}"


def file_name(figure_id: str) -> str:
    """`arxiv:1801.01974v2#fig10` -> `arxiv-1801.01974v2-fig10`: letters, digits, dots, hyphens, never hidden."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", figure_id).strip("-.")
    return plain[:MAX_NAME_CHARS].rstrip("-.") or "figure"
