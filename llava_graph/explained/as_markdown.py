"""Explained figures as Markdown (CommonMark). Every text of a paper or a model is escaped: it is read as it was written."""

import re
from collections.abc import Iterator, Mapping

from llava_graph.explained.records import Answer, Explained, ExplainedFigure, ExplainedPaper, as_paper
from llava_graph.explained.wording import (
    MEDICAL_NOTE,
    RIGHTS,
    WARNING,
    alt_text,
    document_title,
    effort,
    ending,
    figure_title,
    is_medical,
    licence_of,
    paper_title,
    parts,
    summary,
)
from llava_graph.record import Paper
from llava_graph.standalone import arxiv_page

_SIGNS = re.compile(r"[\\`*_{}\[\]<>#|~$&!]")
_BLOCK = re.compile(r"^(?:[-+=]|(\d{1,9})(?=[.)]))")
"""What would begin a list, or make the line above a heading."""
_ADDRESS = re.compile(r":(?=//)|(?<=\bwww)\.|@")
"""GitHub makes links of bare addresses."""


def to_markdown(explained: Explained, *, images: Mapping[str, str] | None = None) -> str:
    """The whole as one text. `images`: figure id -> address of its picture; a figure without one is text only."""
    return "\n\n".join(_document(as_paper(explained), images or {})) + "\n"


def escape(text: str) -> str:
    """A text whose every sign stands for itself. Its line breaks stay, runs of blank lines become one."""
    lines = [_escape_line(line.strip()) for line in text.strip().splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def escape_line(text: str) -> str:
    """A text as one escaped line, for headings and labels."""
    return _escape_line(" ".join(text.split()))


def _escape_line(line: str) -> str:
    line = _ADDRESS.sub(lambda found: "\\" + found[0], _SIGNS.sub(lambda found: "\\" + found[0], line))
    if begins := _BLOCK.match(line):
        return line[: begins.end()] + "\\" + line[begins.end() :] if begins[1] else "\\" + line
    return line


def _document(document: ExplainedPaper, images: Mapping[str, str]) -> Iterator[str]:
    yield f"# {escape_line(document_title(document))}"
    if about := _about_paper(document.paper, titled=True):
        yield about
    yield f"{summary(document)}. {WARNING}"
    several = len(document.papers) > 1
    for paper in document.papers:
        mine = [explained for explained in document.figures if explained.figure.paper.id == paper.id]
        if several:
            yield f"## {escape_line(paper_title(paper) or 'Of no paper')}"
            if about := _about_paper(paper, titled=bool(paper.title)):
                yield about
        for explained in mine:
            yield from _figure(explained, images.get(explained.figure.id, ""), "###" if several else "##")
    if document.dropped:
        yield "## Left out"
        yield "\n".join(
            f"- {escape_line(drop.item)}: {escape_line(drop.reason)}"
            + (f" ({escape_line(drop.detail)})" if drop.detail else "")
            for drop in document.dropped
        )
    yield "---"
    yield RIGHTS + _made(document)


def _about_paper(paper: Paper, *, titled: bool) -> str:
    """Its id with the address of its page, and its licence."""
    link = arxiv_page(paper.id)
    name = f"[{escape_line(paper.id)}]({link})" if link else escape_line(paper.id) if titled else ""
    licence = f"licence: {escape_line(paper.licence)}" if paper.licence else ""
    return " · ".join(part for part in (name, licence) if part)


def _figure(explained: ExplainedFigure, image: str, heading: str) -> Iterator[str]:
    figure = explained.figure
    yield f"{heading} {escape_line(figure_title(figure))}"
    if image:
        yield f"![{escape_line(alt_text(figure))}](<{image}>)"
    facts = [f"page {figure.paper.page}"] if figure.paper.page else []
    facts += [escape_line(figure.kind)] if figure.kind else []
    yield " · ".join([*facts, f"licence: {escape_line(licence_of(figure))}"])
    if figure.caption:
        yield f"**Caption.** {escape(figure.caption)}"
    if explained.region:
        yield "Asked about the part " + _place(explained.region)
    if explained.answers and is_medical(figure):
        yield f"**{MEDICAL_NOTE}**"
    for answer in explained.answers:
        yield from _answer(answer)
    if figure.mentions:
        yield "**What the paper says**"
        yield "\n>\n".join(_quoted(escape(mention)) for mention in figure.mentions)
    if explained.prompt:
        yield f"<details><summary>What the model was given</summary>\n\n{_fenced(explained.prompt)}\n\n</details>"


def _answer(answer: Answer) -> Iterator[str]:
    model = escape_line(answer.model or "the model")
    yield f"**{escape_line(answer.question)}**"
    for part in parts(answer):
        if part.title:
            yield f"**{escape_line(part.title)}**"
        yield from (_hard_breaks(escape(paragraph)) for paragraph in part.paragraphs)
    if not answer.text.strip():
        yield "*no text*"
    notes = [f"*{model}*", *(part for part in (effort(answer), ending(answer)) if part)]
    yield "— " + ", ".join(notes)


def _made(document: ExplainedPaper) -> str:
    models = ", ".join(f"{escape_line(answer.model)} ({escape_line(answer.about)})" for answer in document.models)
    created = max((explained.created for explained in document.figures), default="")
    return (f" Explained by {models}." if models else "") + (f" {created}." if created else "")


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _hard_breaks(text: str) -> str:
    """A line break inside a paragraph stays one."""
    return re.sub(r"(?<!\n)\n(?!\n)", "\\\\\n", text)


def _fenced(text: str) -> str:
    """A text word for word; the fence is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _place(box: tuple[float, float, float, float]) -> str:
    x0, y0, x1, y1 = (round(100 * side) for side in box)
    return f"{x0} to {x1} % from the left, {y0} to {y1} % from the top"
