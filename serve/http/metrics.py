"""What a server counts of its own work, for Prometheus: requests, errors, tokens, times. One registry per app."""

import time
from collections.abc import Callable, Sequence

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FIRST_TOKEN_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
DURATION_S = (0.01, 0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 120, 300)

# Otherwise every counter has a second line that says when it began, for a format that nobody asks us for.
disable_created_metrics()


class Metrics:
    """The counters of one app (`server`: api, worker, controller)."""

    def __init__(self, server: str) -> None:
        self.registry = CollectorRegistry()
        self._prefix = f"llava_graph_{server}_"
        self.requests = self._counter("requests", "Requests answered", "route", "status")
        self.errors = self._counter("errors", "Requests and streams that ended in an error, by its code", "code")
        self.prompt_tokens = self._counter("prompt_tokens", "Tokens read, images included", "model")
        self.completion_tokens = self._counter("completion_tokens", "Tokens written", "model")
        self.first_token = self._times("time_to_first_token", "Until an answer begins", "model", FIRST_TOKEN_S)
        self.duration = self._times("request_duration", "Until a request is answered whole", "route", DURATION_S)
        self.running = self._gauge("requests_running", "Answers being written")
        self.queued = self._gauge("requests_queued", "Requests whose answer has not begun")

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(self._prefix + name, what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(self._prefix + name, what, registry=self.registry)

    def _times(self, name: str, what: str, label: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"{self._prefix}{name}_seconds", what, (label,), buckets=buckets, registry=self.registry)

    def watch(self, running: Callable[[], float], queued: Callable[[], float]) -> None:
        """Read both gauges from where the truth is, whenever somebody asks."""
        self.running.set_function(running)
        self.queued.set_function(queued)

    def response(self) -> Response:
        """What GET /metrics answers."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class Measured:
    """ASGI middleware: counts every request under its route. Paths that are none of `routes` count as "other"."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: frozenset[str]) -> None:
        self.app = app
        self.metrics = metrics
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and take the time until its last byte is sent."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        # A client's string never becomes a label: labels are kept for ever.
        route = scope["path"] if scope["path"] in self.routes else "other"
        begun, status = time.monotonic(), "none"

        async def counting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, counting)
        finally:
            self.metrics.requests.labels(route, status).inc()
            self.metrics.duration.labels(route).observe(time.monotonic() - begun)
        return None
