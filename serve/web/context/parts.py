"""The caption, the paragraphs that cite the figure, and what the model is given."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from serve.web.context.shown import MAX_PARAGRAPH_CHARS


@dataclass(frozen=True)
class ContextParts:
    """What goes with the figure."""

    caption: gr.Textbox
    around: gr.HTML
    """Shows `serve.web.context.shown.surroundings`."""
    chosen: gr.HTML
    """What of it goes to the model, see `OnPage.context`; written by `around`, in the browser."""
    prompt: gr.Textbox
    """What the model is given, word for word."""
    prompt_note: gr.HTML


def build_context() -> ContextParts:
    """The caption and the paragraphs stand open, the prompt is folded."""
    caption = gr.Textbox(
        label="Caption",
        placeholder="Figure 3: Accuracy over training epochs for …",
        lines=2,
        max_lines=6,
        elem_id="caption",
    )
    folder = Path(__file__).parent
    around = gr.HTML(
        None,
        html_template=(folder / "around.html").read_text(encoding="utf-8"),
        js_on_load=(folder / "around.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        padding=False,
        elem_id="around",
        max_chars=MAX_PARAGRAPH_CHARS,
    )
    chosen = gr.HTML(
        None,
        html_template='<span class="store"></span>',
        js_on_load="element.querySelector('.store').addEventListener('chosen', (e) => { props.value = e.detail; });",
        elem_id="context-chosen",
    )
    with gr.Accordion("What the model is given", open=False, elem_id="prompt-section"):
        prompt_note = gr.HTML("", elem_id="prompt-note", padding=False)
        prompt = gr.Textbox(
            label="Word for word: caption, text in the figure, request",
            show_label=False,
            lines=3,
            max_lines=16,
            interactive=False,
            buttons=["copy"],
            placeholder="Choose a figure first.",
            elem_id="prompt",
        )
    return ContextParts(caption, around, chosen, prompt, prompt_note)
