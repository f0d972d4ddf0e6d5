"""What is said beside medical images: that this is no medical device. Always, where the server is run for them."""

import gradio as gr

from serve.web.parts import WITH_EVERY_CHANGE, PageParts
from serve.web.session import Session

KINDS = frozenset({"radiograph", "pathology"})
"""Of `Figure.kind`: what was inside a body."""
NOTE = (
    '<p role="note"><strong>Not a medical device.</strong> This is research software. It may be wrong about what an image '
    "shows: do not use its answers for diagnosis or treatment.</p>"
)


def build_medical(*, always: bool) -> gr.HTML:
    """The line above the figure; empty while there is nothing medical."""
    return gr.HTML(NOTE if always else "", elem_id="medical", padding=False)


def wire_medical(parts: PageParts, note: gr.HTML) -> None:
    """Show it with the figures that it is for."""
    parts.figure.viewer.change(note_for, parts.session, note, **WITH_EVERY_CHANGE)


def note_for(session: Session) -> str:
    """The line for what a visitor has in front of them."""
    return NOTE if session.figure is not None and session.figure.kind in KINDS else ""
