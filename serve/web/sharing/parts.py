"""The row under the conversation: export, link, votes, and the switch of the log."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from serve.feedback.lines import MAX_COMMENT_CHARS, MAX_CORRECTED_CHARS, REASONS
from serve.web.sharing.links import MAX_QUESTION_CHARS

TERMS = (
    "This server's operator collects conversations to improve models. If you agree, this conversation and what you ask from now "
    "on, the answers and your votes are written to a file on the server, without your name or address. Without your agreement "
    "nothing is kept."
)


@dataclass(frozen=True)
class SharingParts:
    """What a visitor takes home or gives back."""

    bar: gr.HTML
    """Shows `wiring.shown`."""
    consent: gr.HTML
    """What the visitor agreed to: `recording.Consent.from_page`. Written in the browser."""
    download: gr.HTML
    """A `files.SharedFile`, which the browser saves."""
    recorded: gr.State
    """Id of the answer that was written to the log last."""


def build_sharing() -> SharingParts:
    """One line of buttons; what they open stands below."""
    bar = gr.HTML(
        None,
        html_template=_file("sharing.html"),
        js_on_load=_file("sharing.js"),
        apply_default_css=False,
        padding=False,
        elem_id="sharing",
        reasons=[list(reason) for reason in REASONS.items()],
        terms=TERMS,
        max_comment=MAX_COMMENT_CHARS,
        max_corrected=MAX_CORRECTED_CHARS,
        max_question=MAX_QUESTION_CHARS,
    )
    consent = gr.HTML(
        None, html_template='<span class="store"></span>', js_on_load=_file("consent.js"), elem_id="consent"
    )
    download = gr.HTML(None, html_template="<span></span>", js_on_load=_file("download.js"), elem_id="download")
    return SharingParts(bar, consent, download, gr.State(""))


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
