"""The box at the top of the page that says what went wrong and what to do. Text in, HTML out."""

import html
import logging

from llava_graph.errors import LlavaGraphError, ServeError

log = logging.getLogger(__name__)
OPERATORS = "llava-graph-serve"
"""In every next step that only the one who runs the servers can take."""


def banner(what: str = "", next_step: str = "") -> str:
    """The box that says what went wrong and what to do. Empty for nothing."""
    if not what:
        return ""
    what, next_step = html.escape(what[:1].upper() + what[1:].rstrip(".") + "."), html.escape(next_step)
    return f'<div class="banner" role="alert"><strong>{what}</strong> {next_step}</div>'


def error_banner(error: LlavaGraphError) -> str:
    """The banner of an error of ours, in words for a visitor."""
    error = for_visitors(error)
    return banner(error.what, error.next_step)


def sentences(error: LlavaGraphError) -> str:
    """The same in a place without a box: plain text."""
    error = for_visitors(error)
    return f"{error.what[:1].upper()}{error.what[1:].rstrip('.')}. {error.next_step}".strip()


def for_visitors(error: LlavaGraphError) -> LlavaGraphError:
    """Without commands and addresses that are the operator's: those go to the log."""
    if not isinstance(error, ServeError) or OPERATORS not in error.next_step:
        return error
    log.warning("%s; %s", error.what, error.next_step)
    what = "the models cannot be reached at the moment" if "controller" in error.next_step else error.what
    return ServeError(what, code=error.code, next_step="Try again later.")
