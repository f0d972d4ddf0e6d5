"""The two folds in which answers stand beside each other."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from serve.web.writing import writing_state

WITHOUT_TEXT = "The same question twice: once with the text that was read in the figure, once without it."
TWO_FIGURES = "Keep the figure that is shown, then choose another one, and ask about both."

KEEP = "Keep this figure as Figure A"


@dataclass(frozen=True)
class AskingParts:
    """A question, the buttons and the answers to it."""

    contrast: gr.State
    """A `Contrast` or None."""
    note: gr.HTML
    row: gr.Row
    """Question and button; hidden while answers are written."""
    question: gr.Textbox
    ask: gr.Button
    stop: gr.Button
    answers: gr.HTML
    """Shows `Contrast.view`."""
    writing: gr.State
    """A `Writing`: one comparison at a time."""


@dataclass(frozen=True)
class CompareParts:
    """Both comparisons."""

    text: AskingParts
    figures: AskingParts
    pinned: gr.State
    """The session whose figure was kept, as it was on the page then, or None."""
    pair: gr.HTML
    """Shows `pair_view`."""
    pin: gr.Button
    unpin: gr.Button


def build_compare() -> CompareParts:
    """With and without the text; this figure and another one."""
    with gr.Accordion("Compare with and without the text in the figure", open=False, elem_id="without-text"):
        text = _asking("text", WITHOUT_TEXT, "A question; empty: explain the figure")
    with gr.Accordion("Compare with another figure", open=False, elem_id="two-figures"):
        pinned = gr.State(None)
        pair = gr.HTML(
            None,
            html_template=_file("pair.html"),
            js_on_load=_file("pair.js"),
            apply_default_css=False,
            padding=False,
            elem_id="pair",
        )
        with gr.Row(elem_id="pair-actions"):
            pin = gr.Button(KEEP, interactive=False, min_width=120, elem_id="pin")
            unpin = gr.Button("Let it go", visible=False, min_width=80, elem_id="unpin")
        figures = _asking("pair", TWO_FIGURES, "A question about both; empty: what they share and where they differ")
    return CompareParts(text, figures, pinned, pair, pin, unpin)


def _asking(name: str, about: str, placeholder: str) -> AskingParts:
    contrast = gr.State(None)
    note = gr.HTML(f"<p>{about}</p>", elem_id=f"{name}-note", padding=False)
    with gr.Row(elem_id=f"{name}-row") as row:
        question = gr.Textbox(
            label=placeholder,
            show_label=False,
            container=False,
            placeholder=placeholder,
            lines=1,
            max_lines=4,
            scale=6,
            elem_id=f"{name}-question",
        )
        ask = gr.Button("Compare", variant="primary", interactive=False, scale=1, min_width=100, elem_id=f"{name}-ask")
    stop = gr.Button("Stop", variant="stop", visible=False, elem_id=f"{name}-stop")
    answers = gr.HTML(
        None,
        html_template=_file("compare.html"),
        js_on_load=_file("compare.js"),
        apply_default_css=False,
        padding=False,
        elem_id=f"{name}-answers",
    )
    return AskingParts(contrast, note, row, question, ask, stop, answers, writing_state())


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
