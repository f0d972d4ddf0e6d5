"""Opening a paper, by its id, as a file, or by a link. (Choosing one of its figures: serve.web.figure.wiring.)"""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import gradio as gr

from llava_graph.errors import InputError
from serve.papers import PaperShelf
from serve.papers.obtaining import EXAMPLE
from serve.web.banner import error_banner
from serve.web.figure.wiring import text_of
from serve.web.paper.opening import Turn, opened
from serve.web.paper.view import FAILED
from serve.web.parts import AT_ONCE, PageParts
from serve.web.sharing.links import wanted_by

OPENING: dict[str, Any] = {
    # The next paper ends the opening of the last one, see Turn.
    "trigger_mode": "multiple",
    # Visitors who wait for a paper at once; the next ones wait in gradio's queue.
    "concurrency_limit": 16,
    "concurrency_id": "papers",
    "show_progress": "hidden",
    "api_visibility": "private",
}
NO_FIGURE = InputError("this link names no figure of a paper", next_step="Open a paper by its arXiv id instead.")


def wire_paper(parts: PageParts, shelf: PaperShelf) -> None:
    """From an id, a file or a link to the figures in the bar."""
    bar = parts.paper.bar

    async def ask(turn: Turn, event: gr.EventData) -> AsyncGenerator[tuple[Any, str]]:
        example = isinstance(event._data, dict) and event._data.get("example") is True
        async for step in opened(shelf, EXAMPLE if example else text_of(event, "source"), wanted=turn.next()):
            yield step

    async def take(turn: Turn, event: gr.EventData) -> AsyncGenerator[tuple[Any, str]]:
        # A path under gradio's folder of uploads: see serve.web.uploads.
        async for step in opened(shelf, Path(text_of(event, "path")), name=text_of(event, "name"), wanted=turn.next()):
            yield step

    async def follow(turn: Turn, event: gr.EventData) -> AsyncGenerator[tuple[Any, str, Any]]:
        wanted = wanted_by({name: text_of(event, name) for name in ("figure", "question")})
        source = wanted.figure.rpartition("#")[0] or text_of(event, "paper")
        if not source:
            yield FAILED, error_banner(NO_FIGURE), wanted.question or gr.skip()
            return
        async for view, banner in opened(shelf, source, wanted.figure, wanted=turn.next()):
            yield view, banner, wanted.question or gr.skip()

    turn, told = parts.paper.turn, [bar, parts.banner]
    papers = [
        bar.ask_paper(ask, turn, told, **OPENING),
        bar.follow_link(follow, turn, [*told, parts.conversation.question], **OPENING),
        parts.figure.upload.paper(take, turn, told, **OPENING),
    ]
    bar.leave_paper(lambda: None, cancels=papers, **AT_ONCE).then(lambda: FAILED, None, bar, **AT_ONCE)
