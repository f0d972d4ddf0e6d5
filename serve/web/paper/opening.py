"""The page while a paper is opened, and when one of its figures is chosen. Values in, values for the page out."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

from llava_graph.errors import InputError, LlavaGraphError
from llava_graph.examples import example_paper
from serve.papers import PaperShelf
from serve.web.banner import error_banner
from serve.web.figure.opening import Arrival, Reading, ReadText, read_rest, reading_of
from serve.web.paper.view import FAILED, check_figures, doing_view, for_readers, paper_view
from serve.web.session import Session

LOOK_S = 0.2
"""s between two looks at a paper that is being opened."""
NOT_KEPT = InputError("this paper is not kept here any more", next_step="Open it again.")


async def opened(
    shelf: PaperShelf, source: str | Path, pick: str = "", name: str = ""
) -> AsyncGenerator[tuple[dict[str, Any], str]]:
    """(what the bar shows, banner) until the paper is there, or a reason why it is not. Closing it ends the waiting.

    `pick`: see `paper_view`. `name`: of an uploaded file, for a paper whose title was not found.
    """
    try:
        with await asyncio.to_thread(shelf.opening, source) as opening:
            step = None
            while not opening.done:
                if opening.step != step:
                    step = opening.step
                    yield doing_view(step), ""
                await asyncio.sleep(LOOK_S)
        paper = opening.result()
        check_figures(paper)
        example = source == example_paper()
        thumbnails, pages = await asyncio.to_thread(lambda: (shelf.thumbnails(paper), shelf.pages(paper.id)))
        yield paper_view(paper, thumbnails, pick, pages=pages, example=example, name=name), ""
    except LlavaGraphError as error:
        yield FAILED, error_banner(for_readers(error))


def picked(shelf: PaperShelf, figure_id: str, read: ReadText) -> Iterator[Arrival]:
    """A figure of a paper on the shelf: at once, and again when the text in its pictures is read. Blocks."""
    figure, paper = shelf.figure(figure_id), shelf.paper(figure_id.rpartition("#")[0])
    if figure is None or paper is None:
        yield Arrival(Reading(Session(), banner=error_banner(NOT_KEPT)), "")
        return
    unread = paper.unread.get(figure.id, ())
    reading = reading_of(figure, waiting=bool(unread))
    waiting = bool(unread) and reading.session.figure is not None
    yield Arrival(reading, figure.caption, waiting)
    if waiting:
        whole = read_rest(reading, unread, read)
        if whole.session.figure and not whole.banner:
            shelf.keep_text(figure.id, whole.session.figure.ocr)
        yield Arrival(whole)
