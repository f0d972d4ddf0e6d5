"""All figures of many sources explained, what fails counted.

In: sources, a model, a wish. Out: explained figures in their order, kept on disk as they come (`explained.store`).
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from llava_graph.errors import AccessDenied, LlavaGraphError, ServeError
from llava_graph.explain import Answerer
from llava_graph.explained import ExplainedFigure, ExplainedPaper
from llava_graph.explained.store import Store
from llava_graph.record import Dropped, Figure, Paper
from llava_graph.sources import Opened, Source, is_wanted, reason_of, told
from llava_graph.wish import Wish, explain_figure

FAILURES_IN_A_ROW = 3
"""So many refusals of a model's server mean that it is gone: the rest is left for another run."""


class Listener(Protocol):
    """Who is told how it goes, in the thread that explains."""

    def opening(self, source: Source, step: str) -> None:
        """A source is being opened; `step` says what is done just now."""

    def begins(self, source: Source, figure: Figure) -> None:
        """The answers of a figure come next; `text` gives them piece by piece."""

    def text(self, piece: str) -> None:
        """A piece of the answer; never called where several figures are explained at once."""

    def explained(self, source: Source, explained: ExplainedFigure, *, kept: bool) -> None:
        """A figure is explained; `kept`: by an earlier run."""

    def lost(self, dropped: Dropped) -> None:
        """Something will not be explained."""

    def note(self, text: str) -> None:
        """Something is done with less than was asked for."""


@dataclass
class Outcome:
    """What came of it so far."""

    figures: list[ExplainedFigure] = field(default_factory=list)
    failed: list[Dropped] = field(default_factory=list)
    """Sources that cannot be opened and figures that cannot be explained."""
    left_out: list[Dropped] = field(default_factory=list)
    """What readers of papers left out."""
    papers: list[Paper] = field(default_factory=list)
    new: int = 0
    """Figures explained by this run."""
    interrupted: bool = False
    gave_up: str = ""
    """Why the rest was not tried; empty if all was."""

    def document(self, title: str, options: dict[str, Any]) -> ExplainedPaper:
        """All of it as one document. `title` is that of several papers."""
        paper = self.papers[0] if len(self.papers) == 1 and (self.papers[0].title or self.papers[0].id) else None
        return ExplainedPaper(
            paper=paper or Paper(title=title),
            figures=tuple(self.figures),
            dropped=(*self.left_out, *self.failed),
            options=options,
        )


@dataclass(frozen=True)
class _Item:
    """One step of the work, in order: a figure (explained before, or to do), a loss, or the end of a source."""

    source: Source
    figure: Figure | None = None
    kept: ExplainedFigure | None = None
    failed: Dropped | None = None
    end: tuple[Paper, tuple[Dropped, ...]] | None = None


def explain_sources(
    sources: Sequence[Source],
    wish: Wish,
    answerer: Answerer,
    listener: Listener,
    *,
    wanted: Sequence[str] = (),
    store: Store | None = None,
    at_once: int = 1,
) -> Outcome:
    """Explain all figures (those `wanted`, see `sources.is_wanted`) in their order, `at_once` at the same time.

    What fails costs itself only. Ctrl-C ends it; what is done is in the outcome and in `store`, which also gives what was
    done before.
    """
    run = _Run(
        sources,
        wish=wish,
        answerer=answerer,
        listener=listener,
        wanted=tuple(wanted),
        store=store or Store(),
        at_once=at_once,
    )
    try:
        run.go()
    except KeyboardInterrupt:
        run.outcome.interrupted = True
    except AccessDenied as error:  # arXiv said no: nothing more may be asked of it
        run.outcome.gave_up = told(error)
    finally:
        run.stop()
    return run.outcome


class _Run:
    def __init__(
        self,
        sources: Sequence[Source],
        *,
        wish: Wish,
        answerer: Answerer,
        listener: Listener,
        wanted: tuple[str, ...],
        store: Store,
        at_once: int,
    ) -> None:
        self.sources, self.wish, self.answerer, self.listener = sources, wish, answerer, listener
        self.wanted, self.store, self.at_once = wanted, store, at_once
        self.outcome = Outcome()
        self._running: set[threading.Event] = set()
        self._stopped = False
        self._failures = 0
        self._broken: set[str] = set()
        """Sources of which something failed: they are tried again by the next run."""

    def go(self) -> None:
        if self.at_once == 1:
            for item in self._items():
                if item.figure is None:
                    self._settle(item, None)
                    continue
                self.listener.begins(item.source, item.figure)
                self._settle(item, self._explain(item.figure, self.listener.text))
                if self.outcome.gave_up:
                    return
            return
        with ThreadPoolExecutor(self.at_once) as pool:
            waiting: deque[tuple[_Item, Future[ExplainedFigure | Exception] | None]] = deque()
            try:
                for item in self._items():
                    waiting.append((item, pool.submit(self._explain, item.figure) if item.figure else None))
                    while waiting and (len(waiting) > 2 * self.at_once or _is_done(waiting[0][1])):
                        self._take(waiting)
                    if self.outcome.gave_up:
                        return
                while waiting:
                    self._take(waiting)
            finally:
                self.stop()
                pool.shutdown(wait=True, cancel_futures=True)

    def _take(self, waiting: "deque[tuple[_Item, Future[ExplainedFigure | Exception] | None]]") -> None:
        item, future = waiting.popleft()
        if item.figure is not None:
            self.listener.begins(item.source, item.figure)
        self._settle(item, future.result() if future else None)

    def _explain(self, figure: Figure, on_text: Callable[[str], None] = lambda _: None) -> ExplainedFigure | Exception:
        """The figure explained, or why not."""
        stopping = threading.Event()  # its own: a generation sets it at its end
        self._running.add(stopping)
        try:
            if self._stopped:
                stopping.set()
            return explain_figure(figure, self.wish, self.answerer, on_text=on_text, stopping=stopping)
        except (LlavaGraphError, OSError, RuntimeError) as error:  # torch tells of a full GPU by RuntimeError
            return error
        finally:
            self._running.discard(stopping)

    def stop(self) -> None:
        """End every answer that is being written."""
        self._stopped = True
        for stopping in list(self._running):
            stopping.set()

    def _items(self) -> Iterator[_Item]:
        for source in self.sources:
            finished = self.store.finished(source.name, self._mark(source))
            if finished is not None:
                kept = self.store.of(source.name, source.fingerprint)
                yield from (_Item(source, kept=one) for one in kept if is_wanted(one.figure, self.wanted))
                yield _Item(source, end=finished)
                continue
            try:
                opened = source.open(lambda step, source=source: self.listener.opening(source, step))  # type: ignore[misc]
                yield from self._figures(source, opened)
            except (LlavaGraphError, OSError) as error:
                item = Dropped(item=source.name, reason=reason_of(error), detail=told(error, source.name))
                yield _Item(source, failed=item)

    def _figures(self, source: Source, opened: Opened) -> Iterator[_Item]:
        seen: list[str] = []
        found = False
        before = {explained.figure.id: explained for explained in self.store.of(source.name, source.fingerprint)}
        for figure in opened.figures:
            seen.append(figure.label or figure.id)
            if source.is_paper and not is_wanted(figure, self.wanted):
                continue
            found = True
            if figure.id in before:
                yield _Item(source, kept=before[figure.id])
            else:
                yield _Item(source, figure=self._read(source, opened, figure))
        if not found and self.wanted and source.is_paper:
            has = ", ".join(seen[:20]) + (", …" if len(seen) > 20 else "")
            asked = ", ".join(self.wanted)
            detail = f"asked for {asked}; it has {has or 'no figures'}"
            yield _Item(source, failed=Dropped(item=source.name, reason="no-such-figure", detail=detail))
        yield _Item(source, end=(opened.paper, opened.dropped))

    def _read(self, source: Source, opened: Opened, figure: Figure) -> Figure:
        """The figure with its text, if that is wanted; a reader that fails costs the text, not the answer."""
        if not self.wish.ocr:
            return figure
        self.listener.opening(source, f"reading the text in {figure.label or 'the figure'}")
        try:
            return opened.with_text(figure)
        except Exception as error:  # noqa: BLE001  (engines are foreign code: onnxruntime, OpenCV, subprocesses)
            self.listener.note(f"the text in {figure.id} is not used: {error}")
            return figure

    def _settle(self, item: _Item, result: ExplainedFigure | Exception | None) -> None:
        """Count one item, keep it, tell of it."""
        if item.end is not None:
            paper, dropped = item.end
            self.outcome.papers.append(paper)
            self.outcome.left_out += dropped
            if item.source.name not in self._broken:
                self.store.finish(item.source.name, self._mark(item.source), paper, dropped)
        elif item.failed is not None:
            self._lose(item.source, item.failed)
        elif item.kept is not None:
            self.outcome.figures.append(item.kept)
            self.listener.explained(item.source, item.kept, kept=True)
        elif isinstance(result, Exception) and item.figure is not None:
            self._failures = self._failures + 1 if isinstance(result, ServeError) else 0
            lost = Dropped(item=item.figure.id, reason=reason_of(result), detail=told(result, item.figure.id))
            self._lose(item.source, lost)
            if self._failures >= FAILURES_IN_A_ROW:
                self.outcome.gave_up = told(result)
        elif isinstance(result, ExplainedFigure) and result.answers[-1].finish_reason != "cancelled":
            self._failures = 0
            explained = replace(result, source=item.source.name)
            self.store.add(item.source.name, item.source.fingerprint, explained)
            self.outcome.figures.append(explained)
            self.outcome.new += 1
            self.listener.explained(item.source, explained, kept=False)

    def _lose(self, source: Source, dropped: Dropped) -> None:
        self._broken.add(source.name)
        self.outcome.failed.append(dropped)
        self.listener.lost(dropped)

    def _mark(self, source: Source) -> str:
        """What has to be as it was for a finished source to stay finished."""
        return f"{source.fingerprint} {','.join(self.wanted)}".strip()


def _is_done(future: "Future[Any] | None") -> bool:
    return future is None or future.done()
