"""The fold in which two models are compared blind."""

from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from serve.web.arena.battle import VOTES
from serve.web.conversation.parts import BLOCKS
from serve.web.writing import Writing

ABOUT = (
    "Two models answer without their names, drawn at random. You say which answer is better; then the names are shown."
)


@dataclass
class Front:
    """The figure in front of a visitor now. The one thing here that changes: a battle that is being written looks at it to
    see whether it is still wanted."""

    figure: str = ""
    writing: Writing = field(default_factory=Writing)
    """One battle at a time."""


@dataclass(frozen=True)
class ArenaParts:
    """One battle."""

    fold: gr.Accordion
    battle: gr.State
    """A `Battle` or None. It holds the models' names, so it stays on the server."""
    front: gr.State
    """A `Front`."""
    note: gr.HTML
    row: gr.Row
    """Question and button; hidden while the two write."""
    question: gr.Textbox
    compare: gr.Button
    stop: gr.Button
    answers: gr.HTML
    """Shows `Battle.view`."""
    votes: dict[str, gr.Button]
    """FastChat's name of the vote -> its button."""


def build_arena() -> ArenaParts:
    """Question and button, both answers, four votes."""
    with gr.Accordion("Compare two models blind", open=False, elem_id="arena") as fold:
        battle, front = gr.State(None), gr.State(Front())
        note = gr.HTML(f"<p>{ABOUT}</p>", elem_id="arena-note", padding=False)
        with gr.Row(elem_id="arena-row") as row:
            question = gr.Textbox(
                label="Question for both models",
                show_label=False,
                container=False,
                placeholder="A question for both; empty: explain the figure",
                lines=1,
                max_lines=4,
                scale=6,
                elem_id="arena-question",
            )
            compare = gr.Button(
                "Compare", variant="primary", interactive=False, scale=1, min_width=100, elem_id="compare"
            )
        stop = gr.Button("Stop", variant="stop", visible=False, elem_id="arena-stop")
        answers = gr.HTML(
            None,
            html_template=_file("arena.html"),
            js_on_load=_file("arena.js") + BLOCKS.read_text(encoding="utf-8"),
            apply_default_css=False,
            padding=False,
            elem_id="arena-answers",
        )
        with gr.Row(elem_id="arena-votes"):
            votes = {
                vote: gr.Button(words, visible=False, min_width=110, elem_id=f"arena-{vote}")
                for vote, words in VOTES.items()
            }
    return ArenaParts(fold, battle, front, note, row, question, compare, stop, answers, votes)


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
