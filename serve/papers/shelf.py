"""Opened papers on disk: bounded in bytes, the least recently used go first, shared by all visitors, kept over a restart."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from llava_graph.durable import read_json, write_json
from llava_graph.errors import DatasetError, FetchError, InputError, PaperError, ServeError
from llava_graph.record import Figure, OcrLine
from scicap_builder.arxiv_id import ArxivId, parse_arxiv_id
from scicap_builder.fetch import ArxivClient
from scicap_builder.fetch.pace import Clock
from scicap_builder.one_paper import PaperRecords
from scicap_builder.paper_ref import PaperFiles
from scicap_builder.progress import Step, listening
from scicap_builder.workers import Limits
from serve.papers.entry import keep_text, mention_pages_of, pages_of, pdf_of, read_entry, thumbnail
from serve.papers.obtaining import Asked, asked, fetch_paper, folder_name, newest_version, uploaded_paper
from serve.papers.opening import Opening
from serve.papers.options import USUAL, ShelfOptions
from serve.papers.pages import page_picture
from serve.papers.reading import ReadJob, read_apart
from serve.papers.room import NEW, make_room, settle, touch

_NO_ROOM = "Give the papers' cache more room (--papers-cache-mb)."


class PaperShelf:
    """Papers that were opened. Thread-safe; several processes may share a folder."""

    def __init__(self, options: ShelfOptions = USUAL, *, now: Callable[[], float] = time.time) -> None:
        self.options = options
        self._papers = options.place / "papers"
        self._now = now
        self._openings: dict[str, Opening] = {}
        self._lock = threading.Lock()
        self._reading = threading.BoundedSemaphore(options.at_once)

    def open(self, source: str | Path, progress: Callable[[Step], None] | None = None) -> PaperRecords:
        """A paper's figures, their images as paths on the shelf. Blocks; `progress` hears what is being done.

        `source`: an arXiv id or address, the id of a paper on the shelf, or a file. Raises InputError (this is no id, no
        paper), PaperError (it cannot be read), FetchError (arXiv does not answer), ServeError (too many are being opened).
        """
        with self.opening(source) as opening:
            while not opening.wait(0.2):
                if progress:
                    progress(opening.step)
            return opening.result()

    def opening(self, source: str | Path) -> Opening:
        """The same, for those who do not block: begun, or joined where somebody else waits for this paper already."""
        if isinstance(source, str) and (known := self.paper(source.strip())):
            return Opening.finished(known)
        wanted = asked(source)
        with self._lock:
            opening = self._openings.get(wanted.key)
            if opening and opening.join():
                return opening
            waited_for = sum(not one.abandoned for one in self._openings.values())
            if waited_for >= self.options.max_openings:
                raise ServeError(f"{waited_for} papers are being opened already", next_step="Try again in a minute.")
            opening = Opening(lambda mine: self._work(wanted, mine), lambda mine: self._forget(wanted.key, mine))
            self._openings[wanted.key] = opening
            opening.join()
            return opening

    def paper(self, paper_id: str) -> PaperRecords | None:
        """A paper that is on the shelf, by its id with the exact version, its images as paths; None if it is not."""
        folder = self._folder(paper_id)
        records = read_entry(folder) if folder else None
        if records and folder:
            touch(folder, self._now())
        return records

    def figure(self, figure_id: str) -> Figure | None:
        """A figure of a paper that is on the shelf, with its pixels."""
        found = self._find(figure_id)
        if not found:
            return None
        _, _, figure = found
        try:
            return replace(figure, image=figure.image.read_bytes() if isinstance(figure.image, Path) else figure.image)
        except OSError:  # it made room for another one just now
            return None

    def keep_text(self, figure_id: str, lines: tuple[OcrLine, ...]) -> None:
        """Remember what was read in a figure of the shelf, for everybody who opens it after this."""
        if found := self._find(figure_id):
            with suppress(OSError):
                keep_text(found[0], found[1], lines)

    def thumbnails(self, paper: PaperRecords) -> list[bytes]:
        """A small WebP for each figure; empty bytes for what has gone."""
        folder = self._folder(paper.id)
        return [thumbnail(folder, number) if folder else b"" for number in range(1, len(paper.figures) + 1)]

    def pages(self, paper_id: str) -> list[tuple[int, int]]:
        """(width, height) in px of the pictures of its pages, in order; (0, 0) for one that could not be drawn."""
        folder = self._folder(paper_id)
        return pages_of(folder) if folder else []

    def mention_pages(self, figure_id: str) -> list[int]:
        """On which page each paragraph stands that cites a figure, 0 where it is not known; empty if nothing is."""
        folder = self._folder(figure_id.rpartition("#")[0])
        return mention_pages_of(folder, figure_id) if folder else []

    def page(self, paper_id: str, number: int) -> Path | None:
        """The picture of a page (from 1), WebP."""
        folder = self._folder(paper_id)
        file = folder / page_picture(number) if folder and number > 0 else None
        return file if file and file.is_file() else None

    def pdf(self, paper_id: str) -> Path | None:
        """The PDF of a paper on the shelf, if it has one."""
        folder = self._folder(paper_id)
        return pdf_of(folder) if folder else None

    def _find(self, figure_id: str) -> tuple[Path, int, Figure] | None:
        paper_id = figure_id.rpartition("#")[0]
        folder, records = self._folder(paper_id), self.paper(paper_id)
        if folder is None or records is None:
            return None
        numbered = enumerate(records.figures, 1)
        return next(((folder, number, figure) for number, figure in numbered if figure.id == figure_id), None)

    def _folder(self, paper_id: str) -> Path | None:
        name = folder_name(paper_id)
        return self._papers / (name + self.options.suffix) if name else None

    def _forget(self, key: str, opening: Opening) -> None:
        with self._lock:
            if self._openings.get(key) is opening:
                del self._openings[key]

    # What follows runs in an opening's own thread.

    def _work(self, wanted: Asked, opening: Opening) -> PaperRecords:
        with listening(opening.tell):
            if wanted.file is not None:
                file = wanted.file
                return self.paper(wanted.key) or self._read(wanted.key, lambda: uploaded_paper(file), opening)
            if wanted.arxiv is None:
                raise TypeError("neither a file nor an id")
            clock = Clock(now=time.time, sleep=opening.sleep)
            with ArxivClient(self.options.fetching, clock=clock) as client:
                exact, route = self._exact(wanted.arxiv, client), self.options.reading.route
                key = f"arxiv:{exact}"
                return self.paper(key) or self._read(key, lambda: fetch_paper(exact, route, client), opening)

    def _exact(self, arxiv: ArxivId, client: ArxivClient) -> ArxivId:
        """With its version. arXiv is asked at most once a day which is the newest; while it does not answer it is the one that
        was the newest before."""
        if arxiv.version:
            return arxiv
        note = self.options.place / "latest" / f"{arxiv.file_key}.json"
        try:
            told = read_json(note)
            known, asked_at = parse_arxiv_id(str(told["id"])), float(told["asked"])
        except (DatasetError, InputError, KeyError, TypeError, ValueError):
            known, asked_at = None, 0.0
        if known and 0 <= self._now() - asked_at < self.options.latest_kept_s:
            return known
        try:
            newest = newest_version(arxiv, client)
        except FetchError:
            if known and self.paper(f"arxiv:{known}"):
                return known
            raise
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, {"id": str(newest), "asked": self._now()})
        return newest

    def _read(self, paper_id: str, obtain: Callable[[], PaperFiles], opening: Opening) -> PaperRecords:
        """Get the paper's files, read them apart, and put what was read on the shelf."""
        place = self._folder(paper_id)
        if place is None:
            raise TypeError(f"{paper_id} is no id")
        files = replace(obtain(), id=paper_id)
        # Uploads of one's visitors are nobody else's on this machine.
        self.options.place.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._papers.mkdir(exist_ok=True)
        with self._turn(opening):
            staging = Path(tempfile.mkdtemp(prefix=NEW, dir=self._papers))
            try:
                job = ReadJob(files=files, options=self.options.reading, folder=staging)
                limits = Limits(seconds=self.options.seconds, memory_bytes=self.options.memory_bytes)
                read_apart(job, limits, opening.tell)
                settle(staging, place)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        if paper_id.startswith("arxiv:"):
            shutil.rmtree(
                self.options.fetching.cache_folder / "papers" / place.name.removeprefix("arxiv-"), ignore_errors=True
            )
        self.make_room(place)
        records = self.paper(paper_id)
        if records is None:
            raise PaperError("the paper was read but cannot be kept", reason="no-room", next_step=_NO_ROOM)
        return records

    def make_room(self, *keep: Path) -> None:
        """Delete what is too old or too much."""
        options = self.options
        make_room(options.place, options.max_bytes, options.uploads_kept_s, self._now(), frozenset(keep))

    @contextmanager
    def _turn(self, opening: Opening) -> Iterator[None]:
        """So many papers are read side by side and no more."""
        while not self._reading.acquire(timeout=0.2):
            opening.tell(Step(what="waiting until other papers are read"))
        try:
            yield
        finally:
            self._reading.release()
