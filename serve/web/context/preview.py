"""What the model would be given, word for word, and what is to be said about it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llava_graph.errors import LlavaGraphError
from llava_graph.prompt import Message, PromptOptions, render_context
from llava_graph.record import Figure
from serve.client import ModelClient, flat_text
from serve.web.figure.reading import RegionReader
from serve.web.given import given_for
from serve.web.session import OnPage

YOUR_QUESTION = "(your question)"
MANY_TOKENS = 10**9
"""A budget that shortens nothing."""


@dataclass(frozen=True)
class Preview:
    """What the model would be given."""

    prompt: str = ""
    note: str = ""
    asked_about: str = ""
    """The regions that a question would be about, and what of them the model cannot take; empty without regions."""


async def preview(client: ModelClient, page: OnPage, reader: RegionReader) -> Preview:
    """What Explain would send now, as the chosen model was trained to read it; with regions, what a question about them would."""
    try:
        session = page.now()
        if session.figure is None:
            return Preview()
        details = await client.details(page.model or "")
        regions = await reader.parts(page)
        given = given_for(session, YOUR_QUESTION if regions else None, details, regions, page.ask)
    except LlavaGraphError as error:
        return Preview(note=f"{error.what}. {error.next_step}")
    notes = (given.note, _shortening(session.shown.figure(session.figure), session.shown.options(details.prompt)))
    about = f"About {given.about}. {given.note}".strip() if regions else ""
    return Preview(written_out(given.messages), " ".join(note for note in notes if note), about)


def written_out(messages: Sequence[Message]) -> str:
    """Messages as text, each image as `<image>`; what only one says stands without its role."""
    if len(messages) == 1:
        return flat_text(messages[0], "<image>\n")
    return "\n\n".join(message["role"] + ":\n" + flat_text(message, "<image>\n") for message in messages)


def _shortening(figure: Figure, options: PromptOptions) -> str:
    """What is to be said when not all of the context fits."""
    whole = replace(options, max_context_tokens=MANY_TOKENS)
    if options.style == "llava_graph" or render_context(figure, options) == render_context(figure, whole):
        return ""
    return (
        f"Shortened: this model takes {options.max_context_tokens} tokens beside the figure. The least useful text is left "
        "out first (unsure lines, ticks inside a scale); switch off what you do not need to make room."
    )
