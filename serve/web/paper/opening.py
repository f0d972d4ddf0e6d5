"""The page while a paper is opened, and when one of its figures is chosen. Values in, values for the page out."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_graph.errors import InputError, LlavaGraphError
from serve.papers import PaperShelf
from serve.web.banner import error_banner
from serve.web.figure.opening import Arrival, Reading, ReadText, read_rest, reading_of
from serve.web.paper.view import FAILED, check_figures, doing_view, for_readers, paper_view
from serve.web.session import Session

LOOK_S = 0.2
"""s between two looks at a paper that is being opened."""
NOT_KEPT = InputError("this paper is not kept here any more", next_step="Open it again.")


@dataclass
class Turn:
    """How many papers a visitor has asked for: the last one is opened, those before it are given up. Changes in place."""

    count: int = 0

    def next(self) -> Callable[[], bool]:
        """Begin with another one. Returns what tells whether it is still the last one."""
        self.count += 1
        mine = self.count
        return lambda: self.count == mine


def _always() -> bool:
    return True


async def opened(
    shelf: PaperShelf, source: str | Path, pick: str = "", name: str = "", wanted: Callable[[], bool] = _always
) -> AsyncGenerator[tuple[dict[str, Any], str]]:
    """(what the bar shows, banner) until the paper is there, or a reason why it is not. Closing it ends the waiting.

    `pick`: see `paper_view`. `name`: of an uploaded file, for a paper whose title was not found. It is given up in silence when
    it is not `wanted` any more.
    """
    try:
        with await asyncio.to_thread(shelf.opening, source) as opening:
            step = None
            while not opening.done and wanted():
                if opening.step != step:
                    step = opening.step
                    yield doing_view(step), ""
                await asyncio.sleep(LOOK_S)
            if not wanted():
                return
        paper = opening.result()
        check_figures(paper)
        thumbnails, pages = await asyncio.to_thread(lambda: (shelf.thumbnails(paper), shelf.pages(paper.id)))
        if wanted():
            yield paper_view(paper, thumbnails, pick, pages=pages, name=name), ""
    except LlavaGraphError as error:
        if wanted():
            yield FAILED, error_banner(for_readers(error))


def picked(shelf: PaperShelf, figure_id: str, read: ReadText) -> Arrival:
    """A figure of a paper on the shelf, with what reads the text in its pictures. Blocks."""
    figure, paper = shelf.figure(figure_id), shelf.paper(figure_id.rpartition("#")[0])
    if figure is None or paper is None:
        return Arrival(Reading(Session(), banner=error_banner(NOT_KEPT)))
    unread = paper.unread.get(figure.id, ())
    reading = reading_of(figure, waiting=bool(unread))

    def rest() -> Reading:
        whole = read_rest(reading, unread, read)
        if whole.session.figure and not whole.banner:
            shelf.keep_text(figure_id, whole.session.figure.ocr)
        return whole

    return Arrival(reading, figure.caption, rest if unread else None)
