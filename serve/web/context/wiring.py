"""What surrounds the figure, and the preview of the prompt, drawn anew when anything that it is made of has changed."""

import asyncio
import html
from typing import Any

import gradio as gr

from llava_graph.errors import LlavaGraphError
from llava_graph.prompt import PromptOptions
from serve.client import ModelClient
from serve.papers import PaperShelf
from serve.web.context.preview import preview
from serve.web.context.shown import surroundings
from serve.web.figure.reading import RegionReader
from serve.web.parts import AT_ONCE, WITH_EVERY_CHANGE, PageParts
from serve.web.session import Session


def wire_context(parts: PageParts, client: ModelClient, reader: RegionReader, shelf: PaperShelf) -> None:
    """Keep what the model is given up to date."""

    async def look(*values: Any) -> tuple[str, str, str]:
        shown = await preview(client, parts.on_page(values), reader)
        return shown.prompt, _paragraph(shown.note), _paragraph(shown.asked_about)

    async def surround(session: Session, model: str | None) -> Any:
        if session.figure is None:
            return None
        try:
            trained = (await client.details(model or "")).prompt
        except LlavaGraphError:
            trained = PromptOptions()  # why no model answers is told elsewhere
        pages = await asyncio.to_thread(shelf.mention_pages, session.figure.id)
        return surroundings(session.figure, trained, pages)

    gr.on(
        [parts.figure.viewer.change, parts.models.line.change],
        surround,
        [parts.session, parts.models.model],
        parts.context.around,
        **WITH_EVERY_CHANGE,
    )
    gr.on(
        [
            parts.figure.viewer.change,
            parts.figure.changes.change,
            parts.figure.regions.change,
            parts.context.caption.change,
            parts.context.chosen.change,
            parts.models.model.input,
            parts.conversation.level.input,
            parts.conversation.length.input,
        ],
        look,
        list(parts.given.values()),
        [parts.context.prompt, parts.context.prompt_note, parts.conversation.asked_about],
        # Of many keystrokes the last one counts.
        trigger_mode="always_last",
        **AT_ONCE,
    )


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>" if text else ""
