"""What the page shows after a step of the conversation, and how it is drawn."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from serve.web.conversation.text import chat_messages
from serve.web.session import Session


@dataclass(frozen=True)
class Look:
    """What the page shows after a step."""

    session: Session
    banner: str = ""
    status: str = ""
    busy: bool = False
    field: str | None = None
    """What the question field holds now; None leaves it alone."""


def drawn(look: Look) -> tuple[Any, ...]:
    """A look as values for `PageParts.look`."""
    ready = look.session.figure is not None and not look.busy
    return (
        look.session,
        look.banner,
        chat_messages(look.session.turns),
        look.status,
        gr.skip() if look.field is None else look.field,
        gr.update(interactive=ready),
        gr.update(interactive=ready, visible=not look.busy),
        gr.update(visible=look.busy),
    )
