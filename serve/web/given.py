"""What a model is given with a question: messages and pixels. In: the session, the regions asked about, what the model takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llava_graph.asking import Ask, can_follow, request
from llava_graph.claims import Claim, alone, claims_request
from llava_graph.errors import ImageError, InputError
from llava_graph.prompt import Message, PromptOptions, build_messages
from llava_graph.record import Figure, Turn
from llava_graph.several_images import Part, build_region_question
from serve.client import ModelDetails
from serve.web.session import Session, messages_for


@dataclass(frozen=True)
class Given:
    """What a model is given."""

    messages: list[Message]
    images: list[bytes]
    """Encoded, in the order of their places in the messages."""
    asked: str
    """The question as the conversation shows it."""
    about: str = "the figure"
    """What the question is about."""
    note: str = ""
    """What is to be said about it: what the model cannot take."""
    max_new_tokens: int | None = None
    """Tokens that the answer may take; None: what is set otherwise."""


def given_for(
    session: Session,
    question: str | None,
    details: ModelDetails,
    regions: Sequence[Part] = (),
    ask: Ask | None = None,
) -> Given:
    """For a question, about `regions` if there are some, or for an explanation of the figure (None), wanted as `ask` says.

    Raises InputError for a wrong question, ImageError for a figure without pixels.
    """
    if session.figure is None:
        raise ImageError("there is no figure yet", next_step="Upload one, or pick an example.")
    shown = session.shown
    details = replace(details, prompt=shown.options(details.prompt))
    figure = shown.figure(session.figure)
    session = replace(session, figure=figure)
    if question is None and ask and can_follow(details.prompt, instructions=details.instructions):
        wanted, tokens = request(ask, figure, details.prompt)
        messages, _ = messages_for(session, None, details.prompt, wanted)
        return Given(messages, pixels_of([figure]), ask.told, max_new_tokens=tokens)
    if question is None or not regions:
        messages, asked = messages_for(session, question, details.prompt)
        return Given(messages, pixels_of([figure]), asked)
    return question_about(
        figure, regions, question, details.prompt, history=session.history, max_images=details.max_images
    )


def given_to_check(session: Session, claims: Sequence[Claim], details: ModelDetails) -> Given:
    """For a check of what the paper claims: the figure and the text in it, and nothing that the paper says around it.

    Raises InputError where there is no claim, or for a model that follows no instructions; ImageError without pixels.
    """
    if session.figure is None:
        raise ImageError("there is no figure yet", next_step="Upload one, or pick an example.")
    if not can_follow(details.prompt, instructions=details.instructions):
        raise InputError(
            f"{details.name} follows no instructions: it can only explain", next_step="Choose another model."
        )
    wanted, tokens = claims_request(claims)
    options = replace(details.prompt, caption=False, mentions=False, title=False, abstract=False)
    messages = build_messages(alone(session.figure), wanted, options)
    return Given(messages, pixels_of([session.figure]), wanted, max_new_tokens=tokens)


def question_about(
    figure: Figure,
    parts: Sequence[Part],
    question: str,
    options: PromptOptions = PromptOptions(),
    *,
    history: Sequence[Turn] = (),
    max_images: int = 1,
) -> Given:
    """A question about parts of a figure, for a model that takes `max_images` in a conversation.

    With room for it the whole figure comes first and every part beside it. A model of one image is shown the last part alone
    and is asked by itself: earlier turns spoke of an image that it does not see now. Raises InputError, ImageError.
    """
    question = question.strip()
    if max_images < 2:
        part = parts[-1]
        alone = f"This model takes one image: region {part.name} is sent alone, with the text in it."
        before = " Earlier questions are not sent with it." if history else ""
        messages = build_messages(part.figure, question, options)
        note = alone + _left_out(parts[:-1]) + before
        return Given(messages, pixels_of([part.figure]), _asked([part], question), _names([part]), note)
    shown = parts[: max_images - 1]
    note = f"This model takes {max_images} images.{_left_out(parts[len(shown) :])}" if len(shown) < len(parts) else ""
    messages = build_region_question(figure, shown, question, options, history=history)
    return Given(
        messages, pixels_of([figure, *(part.figure for part in shown)]), _asked(shown, question), _names(shown), note
    )


def _asked(parts: Sequence[Part], question: str) -> str:
    names = _names(parts)
    return f"{names[:1].upper()}{names[1:]}: {question}"


def _names(parts: Sequence[Part]) -> str:
    return f"{'region' if len(parts) == 1 else 'regions'} {', '.join(part.name for part in parts)}"


def _left_out(parts: Sequence[Part]) -> str:
    names = ", ".join(part.name for part in parts)
    return f" Left out: {names}." if names else ""


def pixels_of(figures: Sequence[Figure]) -> list[bytes]:
    """The encoded images. Raises ImageError where one is not at hand."""
    images = [figure.image for figure in figures if isinstance(figure.image, bytes)]
    if len(images) < len(figures):
        raise ImageError("the figure has no pixels at hand", next_step="Choose it again.")
    return images
