"""The conversation and the fields that lead it."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from llava_graph.asking import Ask
from serve.web.conversation import view
from serve.web.writing import writing_state

LEVEL_CHOICES = [("Lay reader", "lay"), ("Student", "student"), ("Expert", "expert")]
LENGTH_CHOICES = [("Short", "short"), ("Medium", "medium"), ("Long", "long")]
BLOCKS = Path(__file__).with_name("blocks.js")
"""What draws an answer; the arena's script stands before it too."""


@dataclass(frozen=True)
class ConversationParts:
    """Explain, what was said, and the next question."""

    explain: gr.Button
    clear: gr.Button
    level: gr.Radio
    length: gr.Radio
    asking_note: gr.HTML
    """Why level and length cannot be chosen."""
    chat: gr.HTML
    """Shows `view.conversation_view`. Events: `ask_suggested` {ask}, `ask_again`, `check_claims`, `choose_version` {answer,
    version}, `forget_talk`, `ask_too_early`."""
    status: gr.HTML
    asked_about: gr.HTML
    """The regions that the next question is about."""
    question: gr.Textbox
    ask: gr.Button
    stop: gr.Button
    writing: gr.State
    """A `Writing`: one answer at a time."""


def build_conversation() -> ConversationParts:
    """From top to bottom: Explain and for whom, the conversation, its status line, the question."""
    with gr.Row(elem_id="actions"):
        explain = gr.Button("Explain", variant="primary", interactive=False, elem_id="explain", scale=3, min_width=140)
        clear = gr.Button("Clear all", elem_id="clear", scale=1, min_width=88)
    level, length, asking_note = _for_whom()
    chat = gr.HTML(
        None,
        # A template without places to fill: gradio would run what stands in them as JavaScript.
        html_template=_file("conversation.html"),
        js_on_load=_file("conversation.js") + BLOCKS.read_text(encoding="utf-8") + _file("answers.js"),
        apply_default_css=False,
        padding=False,
        elem_id="chat",
        process=view.PROCESS,
    )
    status = gr.HTML("", elem_id="status", padding=False)
    asked_about = gr.HTML("", elem_id="asked-about", padding=False)
    with gr.Row(elem_id="question-row"):
        question = gr.Textbox(
            label="Question",
            show_label=False,
            container=False,
            placeholder="Ask about the figure …",
            lines=1,
            max_lines=5,
            scale=6,
            elem_id="question",
        )
        ask = gr.Button("Ask", variant="primary", interactive=False, scale=1, min_width=88, elem_id="ask")
        stop = gr.Button("Stop", variant="stop", visible=False, scale=1, min_width=88, elem_id="stop")
    return ConversationParts(
        explain, clear, level, length, asking_note, chat, status, asked_about, question, ask, stop, writing_state()
    )


def _for_whom() -> tuple[gr.Radio, gr.Radio, gr.HTML]:
    """Level and length of an explanation."""
    with gr.Row(elem_id="asking"):
        level = gr.Radio(LEVEL_CHOICES, value=Ask.level, label="Explain for", show_label=False, elem_id="level")
        length = gr.Radio(LENGTH_CHOICES, value=Ask.length, label="Length", show_label=False, elem_id="answer-length")
        note = gr.HTML("", elem_id="asking-note", padding=False)
    return level, length, note


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
