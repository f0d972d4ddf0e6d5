"""What one visitor has in front of them, and how it becomes messages and text on the page. Pure values, no gradio."""

import base64
import hashlib
import html
import io
import re
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from llava_graph.errors import LlavaGraphError
from llava_graph.images import encode_png
from llava_graph.prompt import Message, PromptOptions, build_messages, explain_request
from llava_graph.record import Figure, Turn
from serve.web.lines import corrected, line_rows

MAX_SIDE_PX = 4096
"""Larger figures are scaled down before they are sent: no model sees more, and small labels stay readable."""
SHOWN_SIDE_PX, SHOWN_BYTES = 2048, 500_000
"""A figure with a longer side or more bytes is shown (not sent) smaller, as WebP: the page stays quick over slow lines."""


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


def view_of(figure: Figure, image: Image.Image) -> dict[str, Any]:
    """What the viewer on the page shows of a figure whose text is still to be read. `image`: its pixels, decoded."""
    return {
        "figure": figure.id,
        "image": _shown_image(figure, image),
        "width": figure.width,
        "height": figure.height,
        "reading": True,
        "lines": line_rows(figure.ocr),
    }


def _shown_image(figure: Figure, image: Image.Image) -> str:
    """A data URI: the PNG that is sent to the model where that is small enough."""
    data, kind = figure.image, "png"
    if not isinstance(data, bytes) or max(image.size) > SHOWN_SIDE_PX or len(data) > SHOWN_BYTES:
        smaller, buffer, kind = image.copy(), io.BytesIO(), "webp"
        smaller.thumbnail((SHOWN_SIDE_PX, SHOWN_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=2)
        smaller.save(buffer, "WEBP", quality=88, method=0)
        data = buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def on_the_page(session: Session, caption: str, changes: Any) -> Session:
    """The session with what stands on the page now: the caption, and the lines as the visitor left them.

    `changes`: {"figure": id, "edits": see serve.web.lines}; those of another figure (it was just replaced) do not count.
    Raises InputError.
    """
    figure = session.figure
    if figure is None:
        return session
    lines = figure.ocr
    if isinstance(changes, dict) and changes.get("figure") == figure.id:
        lines = corrected(lines, changes.get("edits"))
    return replace(session, figure=replace(figure, caption=caption.strip(), ocr=lines))


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
