"""Figures of papers for the API: a paper opened, one of its figures by label or id, and the text in it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from llava_graph.errors import FetchError, LlavaGraphError, PaperError, ServeError
from llava_graph.images import encode_png, open_image
from llava_graph.record import Box, Figure, OcrLine
from ocr.merge import with_rest
from scicap_builder.one_paper import PaperRecords
from scicap_builder.progress import Step
from serve.api.desk import Desk
from serve.api.errors import FAILED, ApiError
from serve.papers import PaperShelf
from serve.papers.opening import Opening

log = logging.getLogger(__name__)

ReadText = Callable[[bytes], Sequence[OcrLine]]
"""From an encoded image to the lines of text in it, in reading order (`ocr.read_text`)."""
LOOK_S = 0.5
"""s that a thread waits for a paper before it looks whether somebody still does."""


class Papers:
    """The shelf, as requests need it. `shelf` None: papers are not opened here."""

    def __init__(self, shelf: PaperShelf | None, reading: Desk, read: ReadText) -> None:
        self._shelf = shelf
        self._reading = reading
        self._read = read

    @property
    def shelf(self) -> PaperShelf:
        """Raises ApiError 403 where there is none."""
        if self._shelf is None:
            raise ApiError("papers are not opened here", status=403, param="figure.paper", name="papers_disabled")
        return self._shelf

    async def open(self, source: str) -> PaperRecords:
        """A paper, opened if it is not on the shelf. Who stops waiting leaves it to the others who do."""
        async with aclosing(self.steps(source)) as steps:
            async for step in steps:
                if isinstance(step, PaperRecords):
                    return step
        raise TypeError("a paper was opened without end")

    async def steps(self, source: str) -> AsyncGenerator[Step | PaperRecords]:
        """The same, with what is being done every LOOK_S seconds; the paper comes last. Raises what the shelf raises."""
        shelf = self.shelf
        asking = asyncio.ensure_future(asyncio.to_thread(shelf.opening, source))
        try:
            opening = await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(_leave)
            raise
        with opening:
            while not await asyncio.to_thread(opening.wait, LOOK_S):
                yield opening.step
            yield _result(opening)

    async def figure(self, figure_id: str) -> Figure:
        """A figure of a paper on the shelf, with its pixels. Raises ApiError 404."""
        found = await asyncio.to_thread(self.shelf.figure, figure_id)
        if found is None:
            raise ApiError(
                f"there is no figure {figure_id[:200]!r} here",
                status=404,
                name="figure_not_found",
                param="figure.figure_id",
                next_step="Open its paper first: figure.paper, or POST /v1/papers",
            )
        return found

    async def with_text(self, figure: Figure) -> Figure:
        """With what an engine reads in its pictures beside the text that the file itself knows; kept for the next one."""
        paper = await asyncio.to_thread(self.shelf.paper, figure.id.rpartition("#")[0])
        unread = paper.unread.get(figure.id, ()) if paper else ()
        image = figure.image
        if not unread or not isinstance(image, bytes):
            return figure
        lines = await self._reading.do(lambda: self._lines(image, figure.ocr, unread))
        await asyncio.to_thread(self.shelf.keep_text, figure.id, lines)
        return replace(figure, ocr=lines)

    def _lines(self, image: bytes, known: Sequence[OcrLine], parts: Sequence[Box]) -> tuple[OcrLine, ...]:
        return with_rest(open_image(image), known, parts, lambda part: self._read(encode_png(part)))


def _result(opening: Opening) -> PaperRecords:
    """The paper. The id was checked before: what is wrong now and is not the paper's or arXiv's fault is the server's."""
    try:
        return opening.result()
    except (FetchError, PaperError, ServeError):
        raise
    except LlavaGraphError as error:
        log.error("a paper was not opened: %s", error)
        raise ApiError(
            "opening the paper failed on this server",
            status=500,
            kind=FAILED,
            name="internal_error",
            next_step="Its log tells more",
        ) from error


def _leave(asking: "asyncio.Future[Opening]") -> None:
    """For one who went away before the opening was theirs."""
    if not asking.cancelled() and asking.exception() is None:
        with asking.result():
            pass


def labelled(figures: Sequence[Figure], label: str) -> Figure:
    """The figure with a label: "Figure 3", "Fig. 3" or "3". Raises ApiError 404 that names those there are."""
    for figure in figures:
        if same_label(label, figure.label):
            return figure
    known = ", ".join(figure.label for figure in figures if figure.label)
    raise ApiError(
        f"the paper has no {label!r}",
        status=404,
        name="figure_not_found",
        param="figure.label",
        next_step=f"It has {known}" if known else "None of its figures was found",
    )


def same_label(one: str, other: str) -> bool:
    """Whether two labels mean the same figure; an empty one means none."""
    return bool(other) and _key(one) == _key(other)


def _key(label: str) -> str:
    words = label.lower().replace(".", " ").split()
    return " ".join(word for word in words if word not in ("figure", "fig"))
