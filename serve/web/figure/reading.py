"""The text of regions, read by themselves once and kept as long as an upload is. In: what stands on the page. Out: parts."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from llava_graph.record import Box, Figure, OcrLine
from llava_graph.several_images import Part
from serve.web.figure.regions import ReadText, Region, cut_out, read_region, regions_of, wants_reading
from serve.web.session import OnPage

KEPT_S = 3600.0
"""As long as uploads are."""
MOST_KEPT = 500
"""Regions of all visitors."""

Lines = tuple[OcrLine, ...]


class RegionReader:
    """Cuts regions out and reads them where that finds more. One region is read at a time, so that visitors with many
    regions wait for themselves; several threads may use it."""

    def __init__(self, read: ReadText, clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._kept: OrderedDict[tuple[str, Box], tuple[float, Lines]] = OrderedDict()
        self._lock, self._reading = threading.Lock(), threading.Lock()

    async def parts(self, page: OnPage) -> tuple[Part, ...]:
        """The regions that are asked about, with the text in them. Raises InputError and what reading raises."""
        session = page.now()
        regions = regions_of(page.regions, session.figure.id) if session.figure else ()
        if not regions or session.figure is None:
            return ()
        return await asyncio.to_thread(self._cut, page, session.shown.figure(session.figure), regions)

    def _cut(self, page: OnPage, left: Figure, regions: tuple[Region, ...]) -> tuple[Part, ...]:
        read, original = page.session.figure or left, page.session.original
        return tuple(
            cut_out(left, region, read=read, again=self._again(read, region, original), original=original)
            for region in regions
        )

    def _again(self, figure: Figure, region: Region, original: bytes | None) -> Lines | None:
        """What is read in the region by itself; None where that finds no more."""
        if not wants_reading(figure, region.box, original):
            return None
        key = (figure.id, region.box)
        if (known := self._known(key)) is not None:
            return known
        with self._reading:
            if (known := self._known(key)) is not None:
                return known
            lines = read_region(figure, region, self._read, original)
        with self._lock:
            self._kept[key] = (self._clock(), lines)
        return lines

    def _known(self, key: tuple[str, Box]) -> Lines | None:
        with self._lock:
            self._forget()
            return self._kept[key][1] if key in self._kept else None

    def _forget(self) -> None:
        while self._kept and (
            len(self._kept) >= MOST_KEPT or self._clock() - next(iter(self._kept.values()))[0] > KEPT_S
        ):
            self._kept.popitem(last=False)
