"""The preview of the prompt, drawn anew when anything that it is made of has changed."""

import html
from typing import Any

import gradio as gr

from serve.client import ModelClient
from serve.web.context.preview import preview
from serve.web.parts import AT_ONCE, PageParts


def wire_context(parts: PageParts, client: ModelClient) -> None:
    """Keep what the model is given up to date."""

    async def look(*values: Any) -> tuple[str, str]:
        shown = await preview(client, parts.on_page(values))
        return shown.prompt, f"<p>{html.escape(shown.note)}</p>" if shown.note else ""

    gr.on(
        [
            parts.figure.viewer.change,
            parts.figure.changes.change,
            parts.context.caption.change,
            parts.models.model.input,
        ],
        look,
        list(parts.given.values()),
        [parts.context.prompt, parts.context.prompt_note],
        # Of many keystrokes the last one counts.
        trigger_mode="always_last",
        **AT_ONCE,
    )
