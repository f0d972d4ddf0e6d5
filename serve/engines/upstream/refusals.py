"""What an OpenAI-compatible server says when it does not answer -> what that means to a worker's client. Pure."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from llava_graph.errors import ServeError
from llava_graph.openai_wire import OVERFLOW, reason_in, reason_of
from serve.engines.upstream.request import SAMPLING
from serve.protocol.codes import ErrorCode

KEY_VARIABLE = "LLAVA_GRAPH_UPSTREAM_KEY"


def refusal_of(status: int, body: bytes, sent: Collection[str], model: str) -> ServeError:
    """An answer with an HTTP status that is not 200. `sent`: the fields of the request; `model`: as the server knows it."""
    reason, param = reason_in(body)
    return _error(status, reason, param, sent, model)


def failure_in(data: Mapping[str, Any], model: str) -> ServeError | None:
    """An error where a chunk should be, or None."""
    if not data.get("error") and data.get("object") != "error":
        return None
    reason, param = reason_of(data)
    inner = data["error"] if isinstance(data.get("error"), Mapping) else data
    code = inner.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return _error(status, reason, param, SAMPLING, model)


@dataclass(frozen=True)
class _Meaning:
    """What an HTTP status of the server means to somebody who asked this worker."""

    what: str
    code: ErrorCode = ErrorCode.INTERNAL_ERROR
    next_step: str = ""


_KEY = _Meaning("refuses this worker's key", next_step=f"Set {KEY_VARIABLE} for the worker")
_BUSY = _Meaning("is busy", ErrorCode.ENGINE_OVERLOADED, "Try again in a moment")
_AWAY = _Meaning("does not answer its proxy", ErrorCode.CONTROLLER_WORKER_TIMEOUT, "Try again in a moment")
_MOVED = _Meaning(
    "sends this worker elsewhere",
    next_step="Give --upstream the address itself; redirects are not followed, so that the key stays with it",
)
_FAILED = _Meaning("failed")
_MEANINGS = {401: _KEY, 403: _KEY, 429: _BUSY, 503: _BUSY, 502: _AWAY, 504: _AWAY}


def _error(status: int, reason: str, param: str, sent: Collection[str], model: str) -> ServeError:
    said = f"{status}: {reason}" if reason else str(status)
    if status in (400, 413, 422):
        return _bad_request(said, reason, param, sent)
    if status == 404:
        return ServeError(
            f"the upstream server does not know the model {model!r} or the address ({said})",
            code=ErrorCode.INVALID_MODEL,
            next_step="Check the worker's --upstream (it ends in /v1) and --upstream-model",
        )
    meaning = _MEANINGS.get(status, _MOVED if 300 <= status < 400 else _FAILED)
    return ServeError(f"the upstream server {meaning.what} ({said})", code=meaning.code, next_step=meaning.next_step)


def _bad_request(said: str, reason: str, param: str, sent: Collection[str]) -> ServeError:
    if OVERFLOW.search(reason):
        return ServeError(
            f"the prompt does not fit the upstream model's context ({said})",
            code=ErrorCode.CONTEXT_OVERFLOW,
            next_step="Shorten the question or the context, or clear the chat",
        )
    named = [name for name in sent if name == param or (name in SAMPLING and re.search(rf"\b{name}\b", reason))]
    if named and (param in SAMPLING or not param):
        return ServeError(
            f"the upstream server does not take {named[0]} ({said})",
            code=ErrorCode.PARAM_OUT_OF_RANGE,
            next_step="Leave it out, or send another value",
        )
    return ServeError(f"the upstream server refuses the request ({said})", code=ErrorCode.VALIDATION_TYPE_ERROR)
