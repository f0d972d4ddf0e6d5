"""The box at the top of the page that says what went wrong and what to do. Text in, HTML out."""

import html

from llava_graph.errors import LlavaGraphError


def banner(what: str = "", next_step: str = "") -> str:
    """The box that says what went wrong and what to do. Empty for nothing."""
    if not what:
        return ""
    what, next_step = html.escape(what[:1].upper() + what[1:].rstrip(".") + "."), html.escape(next_step)
    return f'<div class="banner" role="alert"><strong>{what}</strong> {next_step}</div>'


def error_banner(error: LlavaGraphError) -> str:
    """The banner of an error of ours."""
    return banner(error.what, error.next_step)
