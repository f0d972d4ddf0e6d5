"""The conversation and the fields that lead it."""

from dataclasses import dataclass

import gradio as gr

EMPTY_CHAT = (
    "**Choose a figure, add its caption, press Explain.**\n\nThen ask on: the figure stays in the conversation."
)


@dataclass(frozen=True)
class ConversationParts:
    """Explain, what was said, and the next question."""

    explain: gr.Button
    clear: gr.Button
    chat: gr.Chatbot
    status: gr.HTML
    asked_about: gr.HTML
    """The regions that the next question is about."""
    question: gr.Textbox
    ask: gr.Button
    stop: gr.Button


def build_conversation() -> ConversationParts:
    """From top to bottom: Explain, the conversation, its status line, the question."""
    with gr.Row(elem_id="actions"):
        explain = gr.Button("Explain", variant="primary", interactive=False, elem_id="explain", scale=3, min_width=140)
        clear = gr.Button("Clear", elem_id="clear", scale=1, min_width=88)
    chat = gr.Chatbot(
        label="Conversation",
        show_label=False,
        height=480,
        placeholder=EMPTY_CHAT,
        buttons=["copy"],
        layout="bubble",
        elem_id="chat",
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
    return ConversationParts(explain, clear, chat, status, asked_about, question, ask, stop)
