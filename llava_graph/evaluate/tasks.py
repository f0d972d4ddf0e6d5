"""The tasks: which questions are asked about the records of a data set, what the model is shown, and what is right.

In: figure records. Out: items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from llava_graph.errors import InputError, did_you_mean
from llava_graph.evaluate.answered import (
    CAPTION,
    CHAT,
    CHOICE,
    CLOSED,
    EXPLAIN,
    FREE,
    LABEL,
    OPEN,
    REPORT,
    SEVERAL,
    TABLE,
    Item,
)
from llava_graph.evaluate.vqa import is_yes_no
from llava_graph.prompt import PromptOptions
from llava_graph.record import Dropped, Figure
from llava_graph.tables.linearised import write_table
from llava_graph.tables.requests import DEPLOT, TABLE_TOKENS

CLOSED_HINT = "Please choose from the following two options: [yes, no]."
"""Behind closed questions in LLaVA-Med's test files."""
CHOICE_HINT = "Answer with the letter of the right choice."
SHORT_HINT = "Answer the question using a single word or phrase."
"""Behind LLaVA-1.5's questions of this kind."""
CAPTION_REQUEST = "Write the caption of this figure."
REPORT_REQUEST = "Illustrate the image through a detailed medical report"
"""The X-ray system's one request."""

Read = Callable[[Figure], Iterator[Item]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One way to ask about a data set."""

    name: str
    about: str
    read: Read
    """A record -> its items. None: the record has nothing to ask."""
    shown: Mapping[str, Any] = field(default_factory=dict)
    """Fields of PromptOptions that the task decides: what would give the answer away is not shown."""
    max_new_tokens: int = 256
    needs: str = ""
    """What a record has to have."""

    def options(self, own: PromptOptions, *, ocr: bool = True, table: bool = True) -> PromptOptions:
        """What a model whose habit is `own` is shown."""
        chosen = replace(own, **self.shown)
        return replace(chosen, ocr=chosen.ocr and ocr, table=chosen.table and table)


def find_task(name: str) -> Task:
    """Raises InputError that names the nearest."""
    if name not in TASKS:
        raise InputError(f"there is no task {name!r}", next_step=did_you_mean(name, TASKS))
    return TASKS[name]


def items_of(task: Task, figures: Iterable[Figure]) -> tuple[list[Item], list[Dropped]]:
    """All items, and the records that have none. Raises InputError for two items of one id, or none at all."""
    items: dict[str, Item] = {}
    dropped: list[Dropped] = []
    for figure in figures:
        found = list(task.read(figure))
        if not found:
            dropped.append(Dropped(item=figure.id, reason="nothing-to-ask", detail=task.needs))
        for item in found:
            if item.id in items:
                raise InputError(f"two records have the id {item.id!r}", next_step="Import the data set again")
            items[item.id] = item
    if not items:
        raise InputError(
            f"no record of the data set fits the task {task.name}", next_step=f"It needs {task.needs}; see --task"
        )
    return list(items.values()), dropped


def _explanation(figure: Figure) -> Iterator[Item]:
    if figure.first_mention.strip():
        yield Item(id=figure.id, figure=figure, question=None, reference=figure.first_mention, kind=EXPLAIN)


def _caption(figure: Figure) -> Iterator[Item]:
    if figure.caption.strip():
        yield Item(id=figure.id, figure=figure, question=CAPTION_REQUEST, reference=figure.caption, kind=CAPTION)


def _dialogue(figure: Figure, kind: str) -> Iterator[Item]:
    """Every question, behind the reference's turns before it."""
    asked = [
        place
        for place, (one, other) in enumerate(pairwise(figure.turns))
        if (one.role, other.role) == ("user", "assistant")
    ]
    for number, place in enumerate(asked, 1):
        question, answer = figure.turns[place].text, figure.turns[place + 1].text
        if question.strip() and answer.strip():
            yield Item(
                id=figure.id if len(asked) == 1 else f"{figure.id}/q{number}",
                figure=figure,
                question=question,
                reference=answer,
                kind=kind,
                references=figure.turns[place + 1].references,
                turn=number,
                history=figure.turns[:place],
            )


def _vqa(figure: Figure, *, hint: bool) -> Iterator[Item]:
    """Each question by itself: open or closed as the importer found it stated, else by its answer."""
    stated = figure.source.rpartition("/")[2]
    for item in _dialogue(figure, OPEN):
        closed = stated == CLOSED if stated in (OPEN, CLOSED) else is_yes_no(item.reference)
        question = item.question or ""
        if closed and hint and is_yes_no(item.reference) and "choose from" not in question:
            question = f"{question} {CLOSED_HINT}"
        yield replace(item, question=question, kind=CLOSED if closed else OPEN, history=())


def _choice(figure: Figure) -> Iterator[Item]:
    for item in _dialogue(figure, CHOICE):
        yield replace(item, question=f"{item.question}\n{CHOICE_HINT}", history=())


def _several(figure: Figure) -> Iterator[Item]:
    for item in _dialogue(figure, SEVERAL):
        yield replace(item, question=f"{item.question}\n{SHORT_HINT}", history=())


def _report(figure: Figure) -> Iterator[Item]:
    for item in _dialogue(figure, REPORT):
        yield replace(item, question=item.question or REPORT_REQUEST, history=())


def _table(figure: Figure) -> Iterator[Item]:
    if figure.table is not None:
        yield Item(id=figure.id, figure=figure, question=DEPLOT, reference=write_table(figure.table), kind=TABLE)


def _free(figure: Figure) -> Iterator[Item]:
    yield from _dialogue(figure, FREE)


def _chat(figure: Figure) -> Iterator[Item]:
    yield from _dialogue(figure, CHAT)


def _label(figure: Figure) -> Iterator[Item]:
    yield from _dialogue(figure, LABEL)


def _hinted(figure: Figure) -> Iterator[Item]:
    yield from _vqa(figure, hint=True)


def _unhinted(figure: Figure) -> Iterator[Item]:
    yield from _vqa(figure, hint=False)


NO_PARAGRAPHS = {"mentions": False}
"""The paragraphs that cite the figure hold what is asked for."""
DIALOGUE = "turns: a question and its answer"


def _quiz(name: str, about: str, read: Read) -> Task:
    return Task(name=name, about=about, read=read, shown=NO_PARAGRAPHS, max_new_tokens=64, needs=DIALOGUE)


TASKS = {
    task.name: task
    for task in (
        Task(
            name="scicap",
            about="Explain a figure; right is the paragraph that cites it first.",
            read=_explanation,
            shown=NO_PARAGRAPHS,
            needs="mentions",
        ),
        Task(
            name="scicap-caption",
            about="Write a figure's caption from its picture and paragraphs (SciCap Challenge).",
            read=_caption,
            shown={"caption": False, "mentions": True},
            max_new_tokens=128,
            needs="a caption",
        ),
        Task(
            name="scigraphqa",
            about="Questions about a figure; all turns, and the first alone as published.",
            read=_chat,
            shown=NO_PARAGRAPHS,
            needs=DIALOGUE,
        ),
        _quiz("vqa-rad", "Radiology, open and closed.", _hinted),
        _quiz("slake", "Radiology, open and closed.", _hinted),
        _quiz("path-vqa", "Pathology, open and closed.", _hinted),
        _quiz("quilt-vqa", "Histopathology, open and closed.", _unhinted),
        _quiz("quilt-vqa-red", "The same with the region in a red circle, or without (two imports).", _unhinted),
        Task(
            name="textvqa",
            about="Words in photographs, ten answers each; asked as LLaVA-1.5 is, with the words that were read or --ocr none.",
            read=_several,
            shown=NO_PARAGRAPHS | {"style": "textvqa"},
            max_new_tokens=128,
            needs=DIALOGUE,
        ),
        _quiz("pmc-vqa", "Four choices.", _choice),
        _quiz("zero-shot", "Classification: the question lists the labels.", _label),
        Task(
            name="xray-report",
            about="Write a radiology report.",
            read=_report,
            shown=NO_PARAGRAPHS,
            needs="turns: a report",
        ),
        Task(
            name="llava-med-qa50",
            about="LLaVA-Med's 193 chat questions; the published score is a judge's.",
            read=_free,
            shown={"mentions": False, "caption": False, "ocr": False},
            needs=DIALOGUE,
        ),
        Task(
            name="tables",
            about="Read a chart's data (docs/tables.md); right is the record's table.",
            read=_table,
            shown=dict.fromkeys(("mentions", "caption", "ocr", "table", "title", "abstract"), False),
            max_new_tokens=TABLE_TOKENS,
            needs="a table",
        ),
    )
}
