"""All components of the page by panel: what the panels' wirings read and write."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from serve.web.arena.parts import ArenaParts
from serve.web.context.parts import ContextParts
from serve.web.conversation.parts import ConversationParts
from serve.web.figure.parts import FigureParts
from serve.web.models.parts import ModelParts
from serve.web.session import OnPage
from serve.web.sharing.parts import SharingParts

AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Of steps that take no time: answered directly, not through gradio's queue and the stream that it opens for them."""


@dataclass(frozen=True)
class PageParts:
    """The panels' components, and those that belong to none."""

    session: gr.State
    banner: gr.HTML
    models: ModelParts
    figure: FigureParts
    context: ContextParts
    conversation: ConversationParts
    sharing: SharingParts
    arena: ArenaParts

    @property
    def given(self) -> dict[str, Any]:
        """Field of `OnPage` -> the component that holds it. The inputs of everything that asks a model."""
        return {
            "session": self.session,
            "caption": self.context.caption,
            "changes": self.figure.changes,
            "regions": self.figure.regions,
            "model": self.models.model,
        }

    def on_page(self, values: Any) -> OnPage:
        """The values of `given`, in its order (more may follow them), by name."""
        return OnPage(**dict(zip(self.given, values, strict=False)))

    @property
    def look(self) -> list[Any]:
        """What `serve.web.look.drawn` gives values for."""
        talk = self.conversation
        return [self.session, self.banner, talk.chat, talk.status, talk.question, talk.explain, talk.ask, talk.stop]
