"""Explanations as documents: one figure, or all figures of a paper or of a request, as JSON, Markdown or one HTML page.

POST /v1/papers            open a paper: what figures it has
POST /v1/figures/explain   one figure
POST /v1/figures/report    all of them, line by line as they come (JSON lines), the document last; before them what is being done
                           where a paper has to be opened
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from llava_graph.explained import Answer, ExplainedFigure, ExplainedPaper, now, to_html, to_markdown, to_plain, versions
from llava_graph.record import Dropped, Paper
from scicap_builder.one_paper import PaperRecords
from scicap_builder.progress import Step
from serve.api.chat import Chat
from serve.api.documents_request import ExplainRequest, Item, PaperRequest, ReportRequest
from serve.api.errors import ApiError, refusal_of
from serve.client import ModelDetails
from serve.http.guard import read_json
from serve.http.stream import Stream, unless_gone

Steps = AsyncGenerator[Step | PaperRecords]
AT_ONCE = 4
"""Figures of one report that are explained side by side: the worker batches them, and other callers get their turn."""


@dataclass(frozen=True)
class _Job:
    """A report whose paper is open."""

    asked: ReportRequest
    items: tuple[Item, ...]
    paper: Paper = Paper()
    dropped: tuple[Dropped, ...] = ()
    """What the paper's readers left out."""


@dataclass(frozen=True)
class Documents:
    """What answers the three routes."""

    chat: Chat

    async def open_paper(self, request: Request) -> Response:
        """A paper and its figures, without pixels. Raises what the shelf raises."""
        asked = PaperRequest.from_json(await read_json(request, self.chat.options.max_body))
        paper = await unless_gone(request, self.chat.kitchen.papers.open(asked.paper))
        figures = [
            {
                "id": figure.id,
                "label": figure.label,
                "caption": figure.caption,
                "kind": figure.kind,
                "page": figure.paper.page,
                "width": figure.width,
                "height": figure.height,
                "mentions": list(figure.mentions),
            }
            for figure in paper.figures
        ]
        dropped = [{"item": one.item, "reason": one.reason, "detail": one.detail} for one in paper.dropped]
        about = {"id": paper.id, "object": "paper", "title": paper.title, "abstract": paper.abstract}
        return JSONResponse({**about, "figures": figures, "dropped": dropped})

    async def explain(self, request: Request, caller: str) -> Response:
        """One figure, explained, in the form that was asked for."""
        asked = ExplainRequest.from_json(await read_json(request, self.chat.options.max_body))
        details = await self.chat.details(asked.item.chat.model)
        explained = await unless_gone(request, self._explained(asked.item, details, caller))
        return _as_response(explained, asked.form)

    async def report(self, request: Request, caller: str) -> Response:
        """JSON lines: {"event": "opening" | "opened" | "explained" | "failed" | "report", …}. What fails costs that figure.

        What fails before the first line has a status of its own; what fails while a paper is opened after it stands in the last.
        """
        asked = ReportRequest.from_json(await read_json(request, self.chat.options.max_body))
        details = await self.chat.details(asked.model)
        if asked.paper is None:
            return Stream(self._lines(_Job(asked, asked.items), details, caller), "application/x-ndjson")
        steps = self.chat.kitchen.papers.steps(asked.paper)
        begun = await unless_gone(request, _within(self.chat.options.paper_patience_s, steps))
        if isinstance(begun, PaperRecords):
            await steps.aclose()
            return Stream(self._lines(_job(asked, begun), details, caller), "application/x-ndjson")
        return Stream(self._from(begun, steps, asked, details, caller), "application/x-ndjson", begun=steps)

    async def _from(
        self, begun: Step, steps: Steps, asked: ReportRequest, details: ModelDetails, caller: str
    ) -> AsyncGenerator[bytes]:
        """A report whose paper is still being opened."""
        yield _opening(begun)
        try:
            async for step in steps:
                if isinstance(step, PaperRecords):
                    job = _job(asked, step)
                    break
                if step != begun:
                    yield _opening(step)
                begun = step
            else:
                raise TypeError("a paper was opened without end")
        except Exception as error:  # noqa: BLE001  (the status is sent: the error can only stand in the stream)
            refusal = refusal_of(error)
            self.chat.metrics.errors.labels(refusal.code or str(refusal.status)).inc()
            yield _line({"event": "failed", **refusal.to_json()})
            return
        async with aclosing(self._lines(job, details, caller)) as lines:
            async for line in lines:
                yield line

    async def _lines(self, job: "_Job", details: ModelDetails, caller: str) -> AsyncGenerator[bytes]:
        yield _line({"event": "opened", "paper": job.paper.id, "title": job.paper.title, "figures": len(job.items)})
        found: dict[int, ExplainedFigure] = {}
        failed: list[Dropped] = []
        async with aclosing(self._side_by_side(job.items, details, caller)) as results:
            async for number, result in results:
                if isinstance(result, ExplainedFigure):
                    found[number] = result
                    told = {"figure": result.figure.id, "label": result.figure.label, "text": result.text}
                    yield _line({"event": "explained", "number": number, **told})
                else:
                    refusal, name = refusal_of(result), job.items[number].name
                    self.chat.metrics.errors.labels(refusal.code or str(refusal.status)).inc()
                    failed.append(Dropped(item=name, reason=refusal.code or "failed", detail=refusal.message))
                    yield _line({"event": "failed", "number": number, "figure": name, **refusal.to_json()})
        document = ExplainedPaper(
            paper=job.paper,
            figures=tuple(found[number] for number in sorted(found)),
            dropped=(*job.dropped, *failed),
            options=job.asked.told,
        )
        made = await asyncio.to_thread(_written, document, job.asked.form)
        counts = {"explained": len(found), "failed": len(failed)}
        yield _line({"event": "report", "format": job.asked.form, **counts, "document": made})

    async def _side_by_side(
        self, items: Sequence[Item], details: ModelDetails, caller: str
    ) -> AsyncGenerator[tuple[int, ExplainedFigure | Exception]]:
        """(its number, a figure explained or why not), as they come, AT_ONCE at the same time."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, item: Item) -> tuple[int, ExplainedFigure | Exception]:
            async with turn:
                try:
                    return number, await self._explained(item, details, caller)
                except Exception as error:  # noqa: BLE001  (it costs this figure; the client hears of it)
                    return number, error

        tasks = [asyncio.create_task(one(number, item)) for number, item in enumerate(items)]
        try:
            for task in asyncio.as_completed(tasks):
                yield await task
        finally:
            for unfinished in tasks:
                unfinished.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _explained(self, item: Item, details: ModelDetails, caller: str) -> ExplainedFigure:
        asked = item.chat
        try:
            given = await self.chat.kitchen.prepare(asked, details)
        except ApiError as error:
            raise item.meant(error) from error
        begun = time.monotonic()
        reply = await self.chat.last(asked, given, caller)
        answer = Answer(
            question=given.question,
            text=reply.text.strip(),
            model=asked.model,
            about=details.about,
            finish_reason=reply.finish_reason or "",
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            seconds=round(time.monotonic() - begun, 3),
        )
        figure = given.figure
        if figure is None:
            raise TypeError("a request for a figure has none")
        region = asked.figure.region if asked.figure else None
        return ExplainedFigure(
            figure=figure,
            answers=(answer,),
            prompt=given.text,
            region=region,
            created=now(),
            versions=versions(("llava-graph",)),
        )


async def _within(seconds: float, steps: Steps) -> Step | PaperRecords:
    """The paper, or what is being done when `seconds` are over. Raises what the shelf raises."""
    until = time.monotonic() + seconds
    async for step in steps:
        if isinstance(step, PaperRecords) or time.monotonic() > until:
            return step
    raise TypeError("a paper was opened without end")


def _job(asked: ReportRequest, records: PaperRecords) -> _Job:
    """Raises ApiError when the paper has no such figures."""
    items = asked.of_figures([figure for figure in records.figures if asked.wants(figure)])
    paper = Paper(id=records.id, title=records.title, abstract=records.abstract)
    return _Job(asked, tuple(items), paper, tuple(records.dropped))


def _opening(step: Step) -> bytes:
    return _line({"event": "opening", "doing": step.what, "done": step.done, "total": step.total})


def _written(document: ExplainedPaper, form: str) -> Any:
    """The document as a JSON value: an object, or the text of a page."""
    if form == "json":
        return to_plain(document, pictures=False)
    return to_html(document) if form == "html" else to_markdown(document)


def _as_response(explained: ExplainedFigure, form: str) -> Response:
    if form == "html":
        # A page of ours, and yet a download: whatever a caption holds, it is never shown under the API's own address.
        headers = {"Content-Disposition": "attachment; filename=figure.html", "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(to_html(explained), headers=headers)
    if form == "markdown":
        return PlainTextResponse(to_markdown(explained), media_type="text/markdown")
    return JSONResponse({"object": "figure.explanation", **to_plain(explained, pictures=False)})


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
