"""What one visitor has in front of them, and how it becomes messages and text on the page. Pure values, no gradio."""

import difflib
import hashlib
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from llava_graph.errors import LlavaGraphError
from llava_graph.images import encode_png
from llava_graph.prompt import Message, PromptOptions, build_messages, explain_request
from llava_graph.record import Figure, OcrLine, Turn

MAX_SIDE_PX = 4096
"""Larger figures are scaled down before they are sent: no model sees more, and small labels stay readable."""
WHOLE_FIGURE = (0.0, 0.0, 1.0, 1.0)
"""The box of a line that the visitor has written: nobody knows where it stands."""


@dataclass(frozen=True)
class Session:
    """One figure and the conversation about it."""

    figure: Figure | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def history(self) -> tuple[Turn, ...]:
        """Questions that have an answer: what a follow-up question builds on."""
        pairs = zip(self.turns[::2], self.turns[1::2], strict=False)
        return tuple(turn for question, answer in pairs if answer.text.strip() for turn in (question, answer))

    def asked(self, question: str) -> "Session":
        """With a new question and an answer that is still empty."""
        return replace(self, turns=(*self.history, Turn(role="user", text=question), Turn(role="assistant", text="")))

    def answered(self, text: str) -> "Session":
        """With the last answer replaced by `text`."""
        return replace(self, turns=(*self.turns[:-1], Turn(role="assistant", text=text)))

    def chat(self) -> list[dict[str, str]]:
        """The turns as the chat component shows them; an answer that is still empty is left out."""
        return [{"role": turn.role, "content": shown(turn.text)} for turn in self.turns if turn.text]


def figure_of(image: Image.Image) -> Figure:
    """An uploaded image as a record."""
    if max(image.size) > MAX_SIDE_PX:
        image = image.copy()
        image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
    data = encode_png(image)
    name = hashlib.sha256(data).hexdigest()[:12]
    return Figure(id=f"upload:{name}", image=data, width=image.width, height=image.height, source="upload")


def with_context(figure: Figure, caption: str, text: str, use_text: bool) -> Figure:
    """The figure with what stands on the page: the caption, and the text in the figure as the visitor left it."""
    return replace(figure, caption=caption.strip(), ocr=edited_lines(figure.ocr, text) if use_text else ())


def messages_for(
    session: Session, question: str | None, prompt: PromptOptions = PromptOptions()
) -> tuple[list[Message], str]:
    """(messages, the question as shown) for a question, or for an explanation (None). `prompt`: what the model was
    trained with. Raises InputError."""
    if session.figure is None:
        raise ValueError("there is no figure to ask about")
    request = explain_request(session.figure.id, prompt) if question is None else question.strip()
    history = () if question is None else session.history
    return build_messages(session.figure, request, prompt, history=history), request


def text_of(lines: Sequence[OcrLine]) -> str:
    """The lines as text, one each."""
    return "\n".join(" ".join(line.text.split()) for line in lines)


def edited_lines(lines: Sequence[OcrLine], text: str) -> tuple[OcrLine, ...]:
    """The visitor's lines: one that was corrected keeps its box and role, a new one has the whole figure as its box."""
    before, after = text_of(lines).split("\n") if lines else [], [line.strip() for line in text.split("\n")]
    edited: list[OcrLine] = []
    for kind, i, j, x, y in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            edited += lines[i:j]
            continue
        for number, written in enumerate(after[x:y]):
            if not written:
                continue
            if i + number < j:
                edited.append(replace(lines[i + number], text=written, confidence=1.0, source="visitor"))
            else:
                edited.append(OcrLine(text=written, box=WHOLE_FIGURE, source="visitor"))
    return tuple(edited)


_CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)


def shown(text: str) -> str:
    """A turn as Markdown in which a tag is text and no image is loaded, whatever a caption or a model has written."""
    pieces = _CODE.split(text)
    safe = [piece.replace("<", "&lt;").replace("![", "\\!\\[") for piece in pieces[::2]]
    return "".join(part for pair in zip(safe, [*pieces[1::2], ""], strict=True) for part in pair)


def banner(what: str = "", next_step: str = "") -> str:
    """The box that says what went wrong and what to do. Empty for nothing."""
    if not what:
        return ""
    what, next_step = html.escape(what[:1].upper() + what[1:].rstrip(".") + "."), html.escape(next_step)
    return f'<div class="banner" role="alert"><strong>{what}</strong> {next_step}</div>'


def error_banner(error: LlavaGraphError) -> str:
    """The banner of an error of ours."""
    return banner(error.what, error.next_step)


def model_line(name: str, about: str) -> str:
    """The model's name and what it is."""
    if not name:
        return '<span class="model none">no model is running</span>'
    told = f'<span class="about">{html.escape(about)}</span>' if about else ""
    return f'<span class="model">{html.escape(name)}</span>{told}'


def answer_status(completion_tokens: int | None, seconds: float, finish_reason: str | None) -> str:
    """One line under the chat: how long the answer took and why it ended."""
    tokens = f"{completion_tokens} tokens in " if completion_tokens is not None else ""
    cut = " · cut at the length limit (see Answer settings)" if finish_reason == "length" else ""
    return f"{tokens}{seconds:.1f} s{cut}"
