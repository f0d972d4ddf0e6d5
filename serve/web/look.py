"""What the page shows after a step of the conversation, and how it is drawn."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from llava_graph.record import Figure
from serve.web.conversation.view import conversation_view
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
    figure: Figure | None = None
    """As it stands on the page, for the evidence; None: as the session has it."""


def drawn(look: Look) -> tuple[Any, ...]:
    """A look as values for `PageParts.look`."""
    ready = look.session.figure is not None and not look.busy
    return (
        look.session,
        look.banner,
        conversation_view(look.session, look.figure or look.session.figure, busy=look.busy),
        look.status,
        gr.skip() if look.field is None else look.field,
        gr.update(interactive=ready),
        gr.update(interactive=ready, visible=not look.busy),
        gr.update(visible=look.busy),
    )
