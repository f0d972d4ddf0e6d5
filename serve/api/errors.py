"""Every error as an OpenAI client knows it: {"error": {message, type, param, code}} and the status that its class goes by.

In: any error of ours. Out: a frozen refusal. What is not ours is told by its kind only.
"""

import logging
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import JSONResponse

from llava_graph.errors import (
    AccessDenied,
    ContextOverflow,
    FetchError,
    InputError,
    LlavaGraphError,
    PaperError,
    ServeError,
)
from serve.http.guard import BodyTooLarge, BodyTooSlow
from serve.protocol.codes import ErrorCode

log = logging.getLogger(__name__)

BAD = "invalid_request_error"
FAILED = "server_error"


class ApiError(ServeError):
    """A request that is refused. `name` is OpenAI's short code, `param` the part of the request that is wrong."""

    def __init__(
        self,
        what: str,
        *,
        status: int = 400,
        kind: str = BAD,
        name: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        next_step: str = "",
    ) -> None:
        self.headers = dict(headers or {})
        self.status, self.kind, self.name, self.param, self.retry_after = status, kind, name, param, retry_after
        super().__init__(what, code=ErrorCode.VALIDATION_TYPE_ERROR, next_step=next_step)


@dataclass(frozen=True)
class Refusal:
    """What the client hears."""

    status: int
    kind: str
    code: str | None
    message: str
    param: str | None = None
    retry_after: int | None = None
    """s"""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of an answer of its own."""

    def to_json(self) -> dict[str, Any]:
        """OpenAI's shape."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self, headers: dict[str, str] | None = None) -> JSONResponse:
        """As an answer of its own."""
        waiting = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        challenge = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        # The rest of such a body is not waited for.
        closing = {"Connection": "close"} if self.status in (408, 413) else {}
        return JSONResponse(
            self.to_json(), self.status, {**(headers or {}), **self.headers, **waiting, **challenge, **closing}
        )


@dataclass(frozen=True)
class _Meaning:
    status: int
    kind: str
    code: str | None
    retry_after: int | None = None


_OF_CODE: Mapping[int, _Meaning] = {
    ErrorCode.INVALID_MODEL: _Meaning(404, BAD, "model_not_found"),
    ErrorCode.CONTEXT_OVERFLOW: _Meaning(400, BAD, "context_length_exceeded"),
    ErrorCode.PARAM_OUT_OF_RANGE: _Meaning(400, BAD, "invalid_value"),
    ErrorCode.RATE_LIMIT: _Meaning(429, "requests", "rate_limit_exceeded", 10),
    ErrorCode.QUOTA_EXCEEDED: _Meaning(429, "requests", "insufficient_quota", 60),
    ErrorCode.ENGINE_OVERLOADED: _Meaning(503, FAILED, "overloaded", 2),
    ErrorCode.CUDA_OUT_OF_MEMORY: _Meaning(500, FAILED, "out_of_memory"),
    ErrorCode.CONTROLLER_NO_WORKER: _Meaning(503, FAILED, "no_worker", 5),
    ErrorCode.CONTROLLER_WORKER_TIMEOUT: _Meaning(504, FAILED, "timeout"),
}
"""FastChat's codes in OpenAI's terms; the other ones by their first digit."""
_OF_IMAGE_URL = {"refused": 403, "too-large": 413}
"""Reasons why an image URL is not fetched that are not 422, which is vLLM's answer to such a one."""


def refusal_of(error: Exception) -> Refusal:
    """What a client hears of `error`."""
    if isinstance(error, ApiError):
        return Refusal(error.status, error.kind, error.name, str(error), error.param, error.retry_after, error.headers)
    if isinstance(error, FetchError | PaperError):
        return _of_paper(error)
    if isinstance(error, LlavaGraphError):
        meaning = _of_serving(error) if isinstance(error, ServeError) else _of_input(error)
        return Refusal(meaning.status, meaning.kind, meaning.code, str(error), retry_after=meaning.retry_after)
    number = secrets.token_hex(4)
    log.error("request %s failed", number, exc_info=error)
    return Refusal(
        500, FAILED, "internal_error", f"the server failed on this request. Its log tells more under {number}"
    )


def _of_serving(error: ServeError) -> _Meaning:
    if isinstance(error, BodyTooLarge):
        return _Meaning(413, BAD, "request_too_large")
    if isinstance(error, BodyTooSlow):
        return _Meaning(408, BAD, "request_timeout")
    other = (
        _Meaning(400, BAD, "invalid_request") if error.code // 100 < 500 else _Meaning(500, FAILED, "internal_error")
    )
    return _OF_CODE.get(error.code, other)


def _of_input(error: LlavaGraphError) -> _Meaning:
    if isinstance(error, ContextOverflow):
        return _Meaning(400, BAD, "context_length_exceeded")
    bad = isinstance(error, InputError)
    return _Meaning(400, BAD, "invalid_value") if bad else _Meaning(500, FAILED, "internal_error")


_ADDRESS = re.compile(r"https?://\S+:\s")
REFUSED_S = 3600
"""s after which a server that arXiv refuses may ask again; the refusal is lifted by arXiv, if at all."""


def _of_paper(error: FetchError | PaperError) -> Refusal:
    """Why there is no paper, for a caller: addresses, paths and advice for an operator go to the log."""
    log.warning("a paper was not opened (%s): %s", error.reason, error)
    code = f"paper_{error.reason.replace('-', '_')}"
    if isinstance(error, AccessDenied):
        what = "arXiv refuses this server; send the figures as images"
        return Refusal(503, FAILED, "paper_not_fetched", what, retry_after=REFUSED_S)
    if isinstance(error, FetchError):
        what = "arXiv cannot be reached; try again in a minute"
        return Refusal(503, FAILED, "paper_not_fetched", what, retry_after=60)
    if error.reason == "no-room":
        return Refusal(503, FAILED, code, "there is no room for this paper here")
    missing = error.reason == "not-found"
    next_step = f". {error.next_step}" if missing and error.next_step else ""
    what = _ADDRESS.sub("", error.what).rstrip(".") + next_step
    return Refusal(404 if missing else 422, BAD, code, what)


def image_not_fetched(error: FetchError, param: str) -> ApiError:
    """An image URL that was refused or gave no image."""
    status = _OF_IMAGE_URL.get(error.reason, 422)
    return ApiError(str(error), status=status, name=f"image_url_{error.reason.replace('-', '_')}", param=param)


def model_not_found(model: str, known: list[str]) -> ApiError:
    """Nobody serves `model`."""
    return ApiError(
        f"the model {model[:200]!r} is not served here",
        status=404,
        name="model_not_found",
        param="model",
        next_step=f"Models: {', '.join(known)}" if known else "No model is running",
    )
