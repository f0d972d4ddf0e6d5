"""What the model would be given, word for word, and what is to be said about it."""

from dataclasses import dataclass, replace

from llava_graph.errors import LlavaGraphError
from llava_graph.prompt import PromptOptions, render_context
from llava_graph.record import Figure
from serve.client import ModelClient, flat_text
from serve.web.session import OnPage, Session, messages_for

MANY_TOKENS = 10**9
"""A budget that shortens nothing."""


@dataclass(frozen=True)
class Preview:
    """What the model would be given."""

    prompt: str = ""
    note: str = ""


async def preview(client: ModelClient, page: OnPage) -> Preview:
    """The message that Explain would send now, as the chosen model was trained to read it."""
    if page.session.figure is None:
        return Preview()
    try:
        figure = page.now().figure
        options = (await client.details(page.model or "")).prompt
        messages, _ = messages_for(Session(figure), None, options)
    except LlavaGraphError as error:
        return Preview(note=f"{error.what}. {error.next_step}")
    return Preview(flat_text(messages[0], "<image>\n"), _shortening(figure, options) if figure else "")


def _shortening(figure: Figure, options: PromptOptions) -> str:
    """What is to be said when not all of the context fits."""
    whole = replace(options, max_context_tokens=MANY_TOKENS)
    if options.style == "llava_graph" or render_context(figure, options) == render_context(figure, whole):
        return ""
    return (
        f"Shortened: this model takes {options.max_context_tokens} tokens beside the figure. The least useful text is left "
        "out first (unsure lines, ticks inside a scale); switch off what you do not need to make room."
    )
