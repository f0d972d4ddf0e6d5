"""The caption, and what the model is given."""

from dataclasses import dataclass

import gradio as gr


@dataclass(frozen=True)
class ContextParts:
    """What goes with the figure."""

    caption: gr.Textbox
    prompt: gr.Textbox
    """What the model is given, word for word."""
    prompt_note: gr.HTML


def build_context() -> ContextParts:
    """The caption stands open, the prompt is folded."""
    caption = gr.Textbox(
        label="Caption",
        placeholder="Figure 3: Accuracy over training epochs for …",
        lines=2,
        max_lines=6,
        elem_id="caption",
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
    return ContextParts(caption, prompt, prompt_note)
