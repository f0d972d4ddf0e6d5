"""The bar under the header: a field for a paper, what is being done, and the strip of its figures."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from serve.papers.obtaining import MAX_ASKED_CHARS
from serve.web.paper.opening import Turn


@dataclass(frozen=True)
class PaperParts:
    """Drawn by paper.js."""

    bar: gr.HTML
    """Shows `serve.web.paper.view`. Events: `ask_paper` {source}, `follow_link` {paper, figure, question}, `leave_paper`,
    `pick_figure` {figure, choice}."""
    turn: gr.State
    """Which paper was asked for last: `serve.web.paper.opening.Turn`."""


def build_paper() -> PaperParts:
    """Stands over both columns."""
    folder = Path(__file__).parent
    bar = gr.HTML(
        None,
        html_template=(folder / "paper.html").read_text(encoding="utf-8"),
        js_on_load=(folder / "paper.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        padding=False,
        elem_id="paper",
        max_chars=MAX_ASKED_CHARS,
    )
    return PaperParts(bar, gr.State(Turn()))
