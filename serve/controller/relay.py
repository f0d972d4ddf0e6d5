"""The controller as a worker: a request goes on to one of its workers, so that controllers can stand above controllers."""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import httpx

from llava_graph.errors import ServeError
from serve.controller.membership import Membership
from serve.protocol.codes import ErrorCode
from serve.protocol.fields import text
from serve.protocol.messages import END, Unframer, error_chunk, frame

log = logging.getLogger(__name__)

RELAY_TIMEOUT_S = 100.0
"""Silence of a worker in the middle of a stream, FastChat's WORKER_API_TIMEOUT."""
HOPS = "X-LLaVA-Graph-Hops"
"""Header: the ids of the controllers that a request has passed, by commas. It is sent back to none of them."""
MAX_HOPS = 8
"""Controllers in a row, where that is not enough: circles are closed at the next round of questions only."""
TIMEOUT = httpx.Timeout(RELAY_TIMEOUT_S, connect=5.0)


class Relay:
    """Passes requests on to the workers of `members`."""

    def __init__(self, members: Membership) -> None:
        self.members = members

    async def stream(self, params: dict[str, Any], hops: tuple[str, ...]) -> AsyncGenerator[bytes]:
        """A worker's stream, chunk by chunk. A worker that cannot be reached is dropped and the next one is asked."""
        tried: list[str] = []
        try:
            while address := self._next(params, tried, hops):
                try:
                    async with aclosing(self._stream_from(address, params, hops)) as pieces:
                        async for piece in pieces:
                            yield piece
                    return
                except httpx.ConnectError:
                    self._dropped(address)
                except (httpx.HTTPError, ServeError) as error:
                    raise self._broken_off(address, error) from error
        except ServeError as error:
            yield frame(error_chunk(error))

    async def ask(self, path: str, params: Mapping[str, Any], hops: tuple[str, ...]) -> httpx.Response:
        """A worker's whole answer to anything else. Raises ServeError 50005 (nobody serves the model), 50006 (it broke off)."""
        tried: list[str] = []
        while True:
            address = self._next(params, tried, hops)
            try:
                return await self.members.client.post(
                    address + path, json=dict(params), headers=self._hopped(hops), timeout=TIMEOUT
                )
            except httpx.ConnectError:
                self._dropped(address)
            except httpx.HTTPError as error:
                raise self._broken_off(address, error) from error

    def _next(self, params: Mapping[str, Any], tried: list[str], hops: tuple[str, ...]) -> str:
        """The next worker to ask, noted in `tried`. Raises ServeError 50005 when there is none left."""
        if len(hops) >= MAX_HOPS:
            raise ServeError(
                f"the request has passed {len(hops)} controllers: two of them are each other's workers",
                code=ErrorCode.CONTROLLER_NO_WORKER,
            )
        model = text(params, "model")
        registry = self.members.registry
        address = registry.address_of(model, without=[*tried, *registry.leading_back(model, hops)])
        if not address:
            raise no_worker(model, registry.models())
        tried.append(address)
        return address

    def _dropped(self, address: str) -> None:
        log.warning("worker %s cannot be reached and is offered no more", address)
        self.members.registry.unanswered(address, gone=True)

    def _broken_off(self, address: str, error: Exception) -> ServeError:
        log.warning("worker %s failed in the middle of an answer: %s", address, error or type(error).__name__)
        self.members.suspect(address)
        silent = isinstance(error, httpx.TimeoutException)
        return ServeError(
            f"the worker has said nothing for {RELAY_TIMEOUT_S:.0f} s"
            if silent
            else "the worker stopped in the middle of the answer",
            code=ErrorCode.CONTROLLER_WORKER_TIMEOUT,
            next_step="Ask again; its log says why",
        )

    def _hopped(self, hops: tuple[str, ...]) -> dict[str, str]:
        return {HOPS: ",".join((*hops, self.members.registry.id))}

    async def _stream_from(self, address: str, params: dict[str, Any], hops: tuple[str, ...]) -> AsyncGenerator[bytes]:
        async with self.members.client.stream(
            "POST", address + "/worker_generate_stream", json=params, headers=self._hopped(hops), timeout=TIMEOUT
        ) as response:
            if response.status_code != httpx.codes.OK:
                # A refusal (a body too large, no JSON) is one chunk without its end mark.
                yield await response.aread() + END
                return
            unframer = Unframer()
            async for data in response.aiter_bytes():
                for piece in unframer.feed(data):
                    yield piece + END
            if unframer.rest:
                raise ServeError("the stream ends in the middle of a chunk")


def hops_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Ids of the controllers that a request has passed."""
    return tuple(filter(None, headers.get(HOPS.lower(), "").split(",")))


def no_worker(model: str, known: list[str]) -> ServeError:
    """Nobody serves `model`."""
    return ServeError(
        f"no worker serves the model {model!r}",
        code=ErrorCode.CONTROLLER_NO_WORKER,
        next_step=f"Models here: {', '.join(known)}" if known else "Start one: llava-graph-serve worker",
    )
