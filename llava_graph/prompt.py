"""From a figure record and a question to chat messages: the one prompt that training, serving and evaluation share.

Context (caption, text in the figure, table, title, abstract, mentions) goes in under a token budget that shortens the
least useful part first and never touches the question.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from llava_graph.errors import InputError, SampleRefused, did_you_mean
from llava_graph.figure_text import OCR_STYLES, distinct, rank, write
from llava_graph.record import Figure, OcrLine, Turn
from llava_graph.tables.linearised import write_table

Message = dict[str, Any]
"""{"role": "user" | "assistant" | "system", "content": [{"type": "image"} | {"type": "text", "text": str}, …]}"""

MAX_QUESTION_CHARS = 8000
"""A longer question is refused, not cut: at ~4 characters a token it would fill a 2048-token context by itself."""

STYLES = ("figure", "llava_graph", "scigraphqa", "textvqa")

EXPLAIN_REQUESTS = (
    "Explain this figure.",
    "What does this figure show?",
    "Describe what is plotted and what it tells the reader.",
    "Explain the figure as the paper's text would.",
    "Walk me through this figure.",
    "What should a reader take from this figure?",
    "Summarize the figure and its main finding.",
    "Give a detailed explanation of the figure.",
)

LLAVA_GRAPH_REQUESTS = (
    "Describe the following image in detail",
    "Provide a detailed description of the given image",
    "Give an elaborate explanation of the image you see",
    "Share a comprehensive rundown of the presented image",
    "Offer a thorough analysis of the image",
    "Explain the various aspects of the image before you",
    "Clarify the contents of the displayed image with great detail",
    "Characterize the image using a well-detailed description",
    "Break down the elements of the image in a detailed manner",
    "Walk through the important details of the image",
    "Portray the image with a rich, descriptive narrative",
    "Narrate the contents of the image with precision",
    "Analyze the image in a comprehensive and detailed manner",
    "Illustrate the image through a descriptive explanation",
    "Examine the image closely and share its details",
    "Write an exhaustive depiction of the given image",
)
"""The published system's 16 instructions (LLaVA-Graph data set, 2023), without a final dot as its notebook has them."""


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """Which slots of the record the prompt shows."""

    style: str = "figure"
    """ "figure": ours. "llava_graph": byte for byte as the published LLaVA-Graph checkpoints were trained. "scigraphqa": as its
    evaluation with DePlot asked, table and question without anything between them. "textvqa": as LLaVA-1.5 is asked TextVQA."""
    caption: bool = True
    ocr: bool = True
    ocr_style: str = "boxes"
    """How the text in the figure is written: "boxes" (roles and places) or "words"; see `llava_graph.figure_text`."""
    table: bool = True
    title: bool = False
    abstract: bool = False
    mentions: bool = False
    """Off by default: the first mention is the training target."""
    max_context_tokens: int = 512
    """Budget for the context, question not counted."""

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise InputError(f"unknown prompt style {self.style!r}", next_step=did_you_mean(self.style, STYLES))
        if self.ocr_style not in OCR_STYLES:
            raise InputError(
                f"unknown OCR style {self.ocr_style!r}", next_step=did_you_mean(self.ocr_style, OCR_STYLES)
            )
        if self.max_context_tokens < 0:
            raise InputError(f"max_context_tokens must be >= 0, got {self.max_context_tokens}")


def prompt_options_of(told: Any) -> PromptOptions:
    """What a server says of its model's prompt; another version's options that we do not know are passed over."""
    known = {field.name for field in fields(PromptOptions)}
    try:
        return PromptOptions(**{name: value for name, value in told.items() if name in known})
    except (AttributeError, TypeError, InputError):
        return PromptOptions()


def about_tokens(text: str) -> int:
    """A cheap upper estimate: four characters a token, as English text has in the usual vocabularies."""
    return (len(text) + 3) // 4


CountTokens = Callable[[str], int]


def build_messages(
    figure: Figure,
    question: str | None = None,
    options: PromptOptions = PromptOptions(),
    *,
    count_tokens: CountTokens = about_tokens,
    history: Sequence[Turn] = (),
) -> list[Message]:
    """Messages that end with the user's turn: the figure, its context and `question` (None: an explain request).

    With `history` (earlier turns, user first) the context stays in the first user turn and `question` comes last.
    Raises InputError if the question is empty or longer than MAX_QUESTION_CHARS.
    """
    request = explain_request(figure.id, options) if question is None else checked_question(question)
    turns = [*history, Turn(role="user", text=request)]
    if [turn.role for turn in turns] != [("user", "assistant")[index % 2] for index in range(len(turns))]:
        raise InputError("the turns must alternate, the user first and last", where=figure.id)
    first, *rest = turns
    opening = opening_message(figure, first.text, options, count_tokens)
    return [opening, *(text_message(turn.role, turn.text) for turn in rest)]


def build_sample(
    figure: Figure, options: PromptOptions = PromptOptions(), *, count_tokens: CountTokens = about_tokens
) -> list[Message]:
    """Messages with the supervised answers: `figure.turns`, else the first mention as answer to an explain request.

    Raises SampleRefused (reasons: no-target, bad-turns) when the record teaches nothing.
    """
    turns = figure.turns
    if not turns:
        if not figure.first_mention.strip():
            raise SampleRefused(
                "no paragraph cites the figure and no dialogue is given", reason="no-target", where=figure.id
            )
        turns = (
            Turn(role="user", text=explain_request(figure.id, options)),
            Turn(role="assistant", text=figure.first_mention),
        )
    if len(turns) % 2 or any(turn.role != ("user", "assistant")[index % 2] for index, turn in enumerate(turns)):
        raise SampleRefused("the turns must alternate, user first, assistant last", reason="bad-turns", where=figure.id)
    if not all(turn.text.strip() for turn in turns if turn.role == "assistant"):
        raise SampleRefused("an answer is empty", reason="no-target", where=figure.id)
    opening = opening_message(figure, turns[0].text, options, count_tokens)
    return [opening, *(text_message(turn.role, turn.text.strip()) for turn in turns[1:])]


def explain_request(figure_id: str, options: PromptOptions = PromptOptions()) -> str:
    """One of the instructions, chosen by hash of the id: varied over a data set, the same on every run."""
    requests = LLAVA_GRAPH_REQUESTS if options.style == "llava_graph" else EXPLAIN_REQUESTS
    return requests[hashlib.sha256(figure_id.encode()).digest()[0] % len(requests)]


def checked_question(question: str) -> str:
    """The question stripped. Raises InputError when it is empty or too long to be answered whole."""
    question = question.strip()
    if not question:
        raise InputError("the question is empty")
    if len(question) > MAX_QUESTION_CHARS:
        raise InputError(
            f"the question has {len(question)} characters, at most {MAX_QUESTION_CHARS} are read",
            next_step="Shorten it",
        )
    return question


def text_message(role: str, text: str) -> Message:
    """A message without an image."""
    return {"role": role, "content": [{"type": "text", "text": text}]}


def opening_message(figure: Figure, request: str, options: PromptOptions, count_tokens: CountTokens) -> Message:
    """The first user turn: the image (if the figure has one), the context and the request."""
    if options.style == "llava_graph":
        return _historic_message(figure, request, options)
    if options.style == "scigraphqa":
        return _message(figure, historic_table(figure, options, count_tokens) + request)
    if options.style == "textvqa":
        return _message(figure, with_reference_words(figure, request, options, count_tokens))
    context = render_context(figure, options, count_tokens)
    return _message(figure, f"{context}\n{request}" if context else request)


def _message(figure: Figure, text: str) -> Message:
    image = [{"type": "image"}] if figure.image is not None else []
    return {"role": "user", "content": [*image, {"type": "text", "text": text}]}


HISTORIC_TABLE = "The underlying data table of the figure below is:"


def historic_table(figure: Figure, options: PromptOptions, count_tokens: CountTokens = about_tokens) -> str:
    """SciGraphQA 2023: the sentence and DePlot's line (`write_table`), which its prompts put right before the question.

    Empty where there is no table. Its last rows go where they do not fit `options.max_context_tokens`.
    """
    table = figure.table if options.table else None
    while table is not None:
        text = HISTORIC_TABLE + write_table(table)
        if count_tokens(text) <= options.max_context_tokens:
            return text
        table = replace(table, rows=table.rows[: _fewer(len(table.rows))]) if table.rows else None
    return ""


REFERENCE_WORDS = "Reference OCR token: "


def with_reference_words(
    figure: Figure, request: str, options: PromptOptions, count_tokens: CountTokens = about_tokens
) -> str:
    """LLaVA-1.5's TextVQA question (`llava_textvqa_val_v051_ocr.jsonl`): the question, a line with the words in the image, joined
    by commas, and the request's last line, which says how to answer. Without `options.ocr` the line is left out.

    The last words go where they do not fit `options.max_context_tokens`.
    """
    if not options.ocr:
        return request
    question, newline, how = request.rpartition("\n") if "\n" in request else (request, "", "")
    words = [line.text for line in figure.ocr]
    while words and count_tokens(REFERENCE_WORDS + ", ".join(words)) > options.max_context_tokens:
        words = words[: _fewer(len(words))]
    return f"{question}\n{REFERENCE_WORDS}{', '.join(words)}{newline}{how}"


def render_context(figure: Figure, options: PromptOptions, count_tokens: CountTokens = about_tokens) -> str:
    """The context slots as text, at most `options.max_context_tokens` long. Empty slots leave no trace.

    Shortened in this order: mentions (last paragraph first), abstract, text in the figure (the least useful line first),
    table (last rows), title, caption (its end).
    """
    slots = _slots(figure, options)
    shortening = ("Paragraphs that cite it", "Abstract", TEXT_SLOT, "Data table", "Paper", "Caption")
    for name in shortening:
        while name in slots and count_tokens(_join(slots)) > options.max_context_tokens:
            shorter = slots[name].shortened()
            if shorter.text():
                slots[name] = shorter
            else:
                del slots[name]
    return _join(slots)


TEXT_SLOT = "Text in the figure"


class _Slot(Protocol):
    """One part of the context."""

    def text(self) -> str:
        """As the prompt shows it; empty when nothing is left."""

    def shortened(self) -> "_Slot":
        """With the least useful tenth left out."""


@dataclass(frozen=True)
class _Texts:
    """Texts whose last is worth least."""

    pieces: tuple[str, ...]
    separator: str = " "

    def text(self) -> str:
        return self.separator.join(self.pieces)

    def shortened(self) -> "_Texts":
        if len(self.pieces) > 1:
            return replace(self, pieces=self.pieces[: _fewer(len(self.pieces))])
        words = self.text().split()
        return replace(self, pieces=(" ".join(words[: _fewer(len(words))]),))


@dataclass(frozen=True)
class _FigureText:
    """The lines in a figure, the most useful first, and in the order in which they are written."""

    ranked: tuple[OcrLine, ...]
    lines: tuple[OcrLine, ...]
    style: str

    def text(self) -> str:
        return write(self.lines, self.style)

    def shortened(self) -> "_FigureText":
        kept = self.ranked[: _fewer(len(self.ranked))]
        known = {id(line) for line in kept}
        return replace(self, ranked=kept, lines=tuple(line for line in self.lines if id(line) in known))


def _fewer(count: int) -> int:
    """A tenth less, at least one: a budget far below the text is reached in a few steps."""
    return count - max(1, count // 10)


def _slots(figure: Figure, options: PromptOptions) -> dict[str, _Slot]:
    """Slot name -> what it holds, in the order of the prompt; empty ones are left out."""
    paper, table = figure.paper, figure.table
    caption = (
        " ".join(f"{figure.label}: {figure.caption}".split())
        if figure.label and figure.caption
        else figure.caption.strip()
    )
    rows = tuple(" | ".join(row) for row in (table.header, *table.rows)) if table else ()
    if table and table.title:
        rows = (f"title: {table.title}", *rows)
    lines = tuple(distinct(figure.ocr)) if options.ocr else ()
    found: dict[str, _Slot] = {
        "Paper": _texts((paper.title,) if options.title else ()),
        "Abstract": _texts((paper.abstract,) if options.abstract else ()),
        "Caption": _texts((caption,) if options.caption else ()),
        TEXT_SLOT: _FigureText(tuple(rank(lines)), lines, options.ocr_style),
        "Data table": _texts(rows if options.table else (), "\n"),
        "Paragraphs that cite it": _texts(figure.mentions if options.mentions else ()),
    }
    return {name: slot for name, slot in found.items() if slot.text()}


def _texts(pieces: Sequence[str], separator: str = " ") -> _Texts:
    return _Texts(tuple(kept for piece in pieces if (kept := piece.strip())), separator)


def _join(slots: dict[str, _Slot]) -> str:
    """A slot of several lines begins on a line of its own."""
    texts = {name: slot.text() for name, slot in slots.items()}
    return "\n".join(f"{name}:\n{text}" if "\n" in text else f"{name}: {text}" for name, text in texts.items())


def _historic_message(figure: Figure, request: str, options: PromptOptions) -> Message:
    """LLaVA-Graph 2023: `OCR extracted text list, separated by ', ' : <full text>, <word>, … <caption><image>\\n<request>`.

    Its OCR came as the whole text first and then every word of it again; without OCR the sentence is left out.
    """
    words = [word for line in figure.ocr for word in line.text.split()] if options.ocr else []
    context = f"OCR extracted text list, separated by ', ' : {', '.join([' '.join(words), *words])} " if words else ""
    content: list[dict[str, str]] = []
    before = context + (figure.caption if options.caption else "")
    if before:
        content.append({"type": "text", "text": before})
    if figure.image is not None:
        content.append({"type": "image"})
    content.append({"type": "text", "text": request})
    return {"role": "user", "content": content}
