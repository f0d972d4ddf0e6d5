"""All components of the page by panel: what the panels' wirings read and write."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from serve.web.arena.parts import ArenaParts
from serve.web.compare.parts import CompareParts
from serve.web.context.parts import ContextParts
from serve.web.conversation.parts import ConversationParts
from serve.web.figure.parts import FigureParts
from serve.web.models.parts import ModelParts
from serve.web.paper.parts import PaperParts
from serve.web.session import OnPage
from serve.web.sharing.parts import SharingParts
from serve.web.table.parts import TableParts

AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Of steps that take no time: answered directly, not through gradio's queue and the stream that it opens for them."""

WITH_EVERY_CHANGE: dict[str, Any] = AT_ONCE | {"trigger_mode": "multiple"}
"""Of steps that follow changes of the page. gradio's own way for them, "always_last", runs *all* steps of an event anew when
one of them has been waited for, so that two such steps on one event keep each other going for ever (6.31). One step an event
may be "always_last": the preview of the prompt (context/)."""


@dataclass(frozen=True)
class PageParts:
    """The panels' components, and those that belong to none."""

    session: gr.State
    banner: gr.HTML
    models: ModelParts
    paper: PaperParts
    figure: FigureParts
    context: ContextParts
    table: TableParts
    conversation: ConversationParts
    sharing: SharingParts
    compare: CompareParts
    arena: ArenaParts

    @property
    def given(self) -> dict[str, Any]:
        """Field of `OnPage` -> the component that holds it. The inputs of everything that asks a model."""
        return {
            "session": self.session,
            "caption": self.context.caption,
            "context": self.context.chosen,
            "changes": self.figure.changes,
            "regions": self.figure.regions,
            "model": self.models.model,
            "level": self.conversation.level,
            "length": self.conversation.length,
        }

    def on_page(self, values: Any) -> OnPage:
        """The values of `given` by name: by component, or in its order (more may follow them)."""
        if isinstance(values, dict):
            return OnPage(**{name: values[component] for name, component in self.given.items()})
        return OnPage(**dict(zip(self.given, values, strict=False)))

    @property
    def arrival(self) -> list[Any]:
        """What `serve.web.figure.wiring.arrived` gives values for."""
        return [*self.look, self.figure.viewer, self.context.caption]

    @property
    def look(self) -> list[Any]:
        """What `serve.web.look.drawn` gives values for."""
        talk = self.conversation
        return [self.session, self.banner, talk.chat, talk.status, talk.question, talk.explain, talk.ask, talk.stop]
