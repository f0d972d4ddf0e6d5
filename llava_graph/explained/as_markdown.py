"""Explained figures as Markdown (CommonMark). Every text of a paper or a model is escaped: it is read as it was written."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from llava_graph.explained.answers import Group, Words, has_evidence, parts_of
from llava_graph.explained.records import (
    Answer,
    Explained,
    ExplainedFigure,
    ExplainedPaper,
    as_paper,
    with_evidence,
)
from llava_graph.explained.wording import (
    EVIDENCE,
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
    summary,
)
from llava_graph.licences import licence_name
from llava_graph.printable import printable
from llava_graph.record import Paper
from llava_graph.standalone import arxiv_page

_SIGNS = re.compile(r"[\\`*_{}\[\]<>#|~$&!]")
_BLOCK = re.compile(r"^(?:[-+=]|(\d{1,9})(?=[.)]))")
"""What would begin a list, or make the line above a heading."""
_ADDRESS = re.compile(r":(?=//)|(?<=\bwww)\.|@")
"""GitHub makes links of bare addresses."""


def to_markdown(explained: Explained, *, images: Mapping[str, str] | None = None) -> str:
    """The whole as one text. `images`: figure id -> address of its picture; a figure without one is text only."""
    document = as_paper(explained)
    judged = replace(document, figures=tuple(with_evidence(figure) for figure in document.figures))
    return printable("\n\n".join(_document(judged, images or {}))) + "\n"


def escape(text: str) -> str:
    """A text whose every sign stands for itself. Its line breaks stay, runs of blank lines become one."""
    lines = [_escape_line(line.strip()) for line in text.strip().splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def escape_words(text: str) -> str:
    """A piece of a line, with the blanks at its ends."""
    return "\n".join(_ADDRESS.sub(_slashed, _SIGNS.sub(_slashed, line)) for line in text.split("\n"))


def escape_line(text: str) -> str:
    """A text as one escaped line, for headings and labels."""
    return _escape_line(" ".join(text.split()))


def _escape_line(line: str) -> str:
    return _guarded(escape_words(line))


def _guarded(line: str) -> str:
    """An escaped line that begins no list and makes no heading of the line above."""
    if begins := _BLOCK.match(line):
        return line[: begins.end()] + "\\" + line[begins.end() :] if begins[1] else "\\" + line
    return line


def _slashed(found: re.Match[str]) -> str:
    return "\\" + found[0]


def _document(document: ExplainedPaper, images: Mapping[str, str]) -> Iterator[str]:
    yield f"# {escape_line(document_title(document))}"
    if about := _about_paper(document.paper, titled=True):
        yield about
    judged = has_evidence([answer for figure in document.figures for answer in figure.answers])
    yield f"{summary(document)}. {WARNING}" + (f" {EVIDENCE}" if judged else "")
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
    licence = f"licence: {escape_line(licence_name(paper.licence))}" if paper.licence else ""
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
    for region in answer.regions:
        yield f"Region {escape_line(region.name)}: {_place(region.box)}"
    for part in parts_of(answer):
        if part.title:
            yield f"**{escape_line(part.title)}**"
        yield from (_group(group) for group in part.groups)
    if not answer.text.strip():
        yield "*no text*"
    notes = [f"*{model}*", *(part for part in (effort(answer), ending(answer)) if part)]
    yield "— " + ", ".join(notes)


def _group(group: Group) -> str:
    """A paragraph, a list, a table or code."""
    if group.kind == "code":
        return _fenced("\n".join(words.text for line in group.lines for words in line.cells[0]))
    lines = [" · ".join(_words(cell) for cell in line.cells) for line in group.lines]
    if group.kind in ("item", "numbered"):
        marks = [f"{line.number}." if line.number else "-" for line in group.lines]
        places = ["    " * line.level for line in group.lines]
        return "\n".join(f"{place}{mark} {text}" for place, mark, text in zip(places, marks, lines, strict=True))
    return "\n".join(_guarded(line) for line in "\\\n".join(lines).split("\n"))


def _words(cell: Sequence[Words]) -> str:
    """Words with what bears them out in brackets, and a (?) behind what stands nowhere."""
    return "".join(_piece(words) for words in cell).strip()


def _piece(words: Words) -> str:
    text = _hard_breaks(escape_words(words.text))
    bare = text.strip()
    if bare and ("strong" in words.style or "em" in words.style):
        sign = "**" if "strong" in words.style else "*"
        text = text.replace(bare, f"{sign}{bare}{sign}")
    if words.mark:
        text += " (?)"
    found = [chip.label for chip in words.chips] + (["not found"] if words.note else [])
    return text + (rf" \[{', '.join(found)}\]" if found else "")


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
