"""What an OpenAI-compatible server is: which model, which kind of server, how long its context, how it counts tokens.

In: its /v1/models, and where there is one llama.cpp's /props, Ollama's /api/ps. Out: frozen facts, or InputError that says which
option of the command tells what the server does not.
"""

import ipaddress
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from llava_graph.errors import InputError, ServeError, did_you_mean
from llava_graph.openai_wire import reason_in
from llava_graph.prompt import about_tokens
from serve.engines.engine import Estimate
from serve.engines.upstream.refusals import KEY_VARIABLE, refusal_of
from serve.http.addresses import INSIDE, is_public
from serve.http.tokens import bearer, is_loopback
from serve.protocol.codes import ErrorCode

OWNERS = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llamacpp", "library": "ollama"}
"""`owned_by` in /v1/models -> the kind of server."""
CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 90.0
"""Below the 100 s after which FastChat's clients give a worker up, so that they hear the reason."""
QUESTION_TIMEOUT_S = 10.0
"""For what a server answers from memory."""
WAIT_BETWEEN_S, REMIND_S = 1.0, 30.0
"""Between two attempts at the start, and between two lines that say so."""
TOKENS_AROUND_A_TURN = 8
TOKENS_OF_AN_IMAGE = 576
"""LLaVA-1.5's. Models cut an image into 64 to several thousand tokens; only an answer's usage tells."""


@dataclass(frozen=True, kw_only=True)
class UpstreamOptions:
    """Where the server is and what is known of it beforehand."""

    url: str
    """The address that ends in /v1."""
    model: str = ""
    """As the server calls it; empty: its only one."""
    context_length: int = 0
    """tokens; 0: as the server says."""
    key: str = field(default="", repr=False)
    silence_s: float = SILENCE_TIMEOUT_S
    """Without a byte for so long, an answer has failed."""
    connect_s: float = CONNECT_TIMEOUT_S


@dataclass(frozen=True)
class Upstream:
    """What the server has said."""

    model: str
    kind: str
    """vllm, sglang, llamacpp, ollama, or openai for every other one."""
    context_length: int


def upstream_options(url: str, model: str, context_length: int, timeout: float) -> UpstreamOptions | None:
    """What a command line says, with the key from the environment; None where it names no server."""
    if not url:
        return None
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return UpstreamOptions(url=url, model=model, context_length=context_length, key=key, silence_s=timeout)


def checked_address(url: str) -> str:
    """`url` without a final slash, with /v1 if it has no path. Raises InputError: no http(s), a user or a query in it."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InputError(
            f"the upstream must be an address such as http://127.0.0.1:8000/v1, got {url.rpartition('@')[2][:80]!r}"
        )
    if "@" in parts.netloc:
        raise InputError("the upstream's address has a user or password in it", next_step=f"Set {KEY_VARIABLE} instead")
    return parts._replace(path=parts.path.rstrip("/") or "/v1").geturl()


def public_host(url: str) -> str:
    """The host of a server on the internet, which those who use it must know of; empty for one of our own network."""
    host = (urlsplit(checked_address(url)).hostname or "").lower()
    try:
        return host if is_public(ipaddress.ip_address(host)) else ""
    except ValueError:
        return host if "." in host and not host.endswith(INSIDE) else ""


def client_settings(options: UpstreamOptions) -> dict[str, Any]:
    """How the server is called: the key in a header, no redirects, the environment's proxy unless it is on this machine."""
    address = checked_address(options.url)
    return {
        "base_url": address,
        "headers": bearer(options.key),
        "trust_env": not is_loopback(urlsplit(address).hostname or ""),
        "timeout": httpx.Timeout(options.silence_s, connect=options.connect_s),
    }


def discover(
    options: UpstreamOptions, *, wait_s: float = 0.0, tell: Callable[[str], None] = lambda _: None
) -> Upstream:
    """Ask the server what it is, for up to `wait_s` until it answers: a large model takes minutes to load.

    Raises InputError (no such model, no context length) and ServeError (it does not answer, or refuses the key).
    """
    deadline, told, told_at = time.monotonic() + wait_s, "", 0.0
    with httpx.Client(**client_settings(options)) as http:
        while True:
            try:
                return _discover(http, options)
            except ServeError as error:
                if time.monotonic() >= deadline or error.code not in WAITING:
                    raise
                if str(error) != told or time.monotonic() - told_at > REMIND_S:
                    told, told_at = str(error), time.monotonic()
                    tell(f"waiting for the upstream server: {error}")
                time.sleep(WAIT_BETWEEN_S)


WAITING = (ErrorCode.CONTROLLER_WORKER_TIMEOUT, ErrorCode.ENGINE_OVERLOADED)


def _discover(http: httpx.Client, options: UpstreamOptions) -> Upstream:
    # Who is told everything need not be listed: some servers have no list, or one that fails.
    told = bool(options.model and options.context_length)
    response = _get(http, "models", may_fail=told)
    listed = _models(response)
    if not listed and not options.model:
        raise InputError(
            f"the upstream server lists no models ({response.status_code})",
            next_step="Check --upstream (its address ends in /v1), or give --upstream-model and --context-length",
        )
    entry = _chosen(listed, options.model)
    model = str(entry.get("id") or options.model)
    kind = _kind(http, entry, response)
    length = options.context_length or _context_length(http, kind, entry)
    if length <= 0:
        raise InputError(
            f"the upstream server does not say how long the context of {model} is",
            next_step="Give --context-length (tokens, prompt and answer together)",
        )
    return Upstream(model, kind, length)


def _get(http: httpx.Client, path: str, *, may_fail: bool = False) -> httpx.Response:
    """Raises ServeError unless the server answers 200, or does not know `path` (404); `may_fail`: or fails at it (500)."""
    try:
        response = http.get(path, timeout=QUESTION_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unreachable(str(http.base_url), error) from error
    if response.status_code in (httpx.codes.OK, httpx.codes.NOT_FOUND):
        return response
    if may_fail and response.status_code == httpx.codes.INTERNAL_SERVER_ERROR:
        return response
    raise refusal_of(response.status_code, response.content, (), "")


def unreachable(address: str, error: Exception) -> ServeError:
    """No connection, or none that answers."""
    said = "in time" if isinstance(error, httpx.TimeoutException) else f"({error or type(error).__name__})"
    return ServeError(
        f"the upstream server does not answer {said}",
        code=ErrorCode.CONTROLLER_WORKER_TIMEOUT,
        where=address.rstrip("/"),
        next_step="Is it running? Its log says more",
    )


def _models(response: httpx.Response) -> list[Mapping[str, Any]]:
    data = _json(response)
    entries = data.get("data") if isinstance(data, Mapping) else None
    if response.status_code == httpx.codes.OK and not isinstance(entries, list):
        raise InputError(
            f"the upstream server answers /models with no list ({reason_in(response.content)[0][:80]!r})",
            next_step="Check --upstream: it is the address that ends in /v1",
        )
    return [entry for entry in entries or [] if isinstance(entry, Mapping) and isinstance(entry.get("id"), str)]


def _chosen(listed: Sequence[Mapping[str, Any]], wanted: str) -> Mapping[str, Any]:
    names = [entry["id"] for entry in listed]
    if not wanted:
        if len(listed) == 1:
            return listed[0]
        raise InputError(
            f"the upstream server has {len(listed)} models", next_step=f"Give --upstream-model: {', '.join(names[:20])}"
        )
    # Ollama answers to a name without its tag.
    found = [entry for entry in listed if entry["id"] in (wanted, f"{wanted}:latest")]
    if listed and not found:
        raise InputError(f"the upstream server has no model {wanted!r}", next_step=did_you_mean(wanted, names[:20]))
    return found[0] if found else {"id": wanted}


def _kind(http: httpx.Client, entry: Mapping[str, Any], response: httpx.Response) -> str:
    owner = str(entry.get("owned_by") or "").lower()
    if response.headers.get("server", "").lower().startswith("llama.cpp"):
        return "llamacpp"
    # Models that somebody uploaded are owned by that somebody.
    if owner not in OWNERS and "version" in _aside(http, "/api/version"):
        return "ollama"
    return OWNERS.get(owner, "openai")


def _context_length(http: httpx.Client, kind: str, entry: Mapping[str, Any]) -> int:
    if kind == "llamacpp":
        settings = _aside(http, "/props").get("default_generation_settings")
        return _whole(settings.get("n_ctx")) if isinstance(settings, Mapping) else 0
    if kind == "ollama":
        running = _aside(http, "/api/ps").get("models")
        named = [m for m in running if isinstance(m, Mapping)] if isinstance(running, list) else []
        return next((_whole(m.get("context_length")) for m in named if m.get("name") == entry["id"]), 0)
    # vLLM and SGLang say max_model_len, OpenRouter context_length; our own API says it of one model only.
    told = _whole(entry.get("max_model_len")) or _whole(entry.get("context_length"))
    one = {} if told else _json(_get(http, f"models/{quote(entry['id'])}"))
    return told or (_whole(one.get("context_length")) if isinstance(one, Mapping) else 0)


def _aside(http: httpx.Client, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """What stands beside /v1, as JSON; empty when there is no such thing."""
    url = http.base_url.copy_with(path=http.base_url.path.rstrip("/").removesuffix("/v1") + path)
    try:
        if body is None:
            response = http.get(url, timeout=QUESTION_TIMEOUT_S)
        else:
            response = http.post(url, json=dict(body), timeout=QUESTION_TIMEOUT_S)
    except httpx.HTTPError:
        return {}
    data = _json(response) if response.status_code == httpx.codes.OK else {}
    return data if isinstance(data, Mapping) else {}


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return {}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def count(http: httpx.Client, upstream: Upstream, messages: Sequence[Mapping[str, Any]]) -> int:
    """Tokens of chat messages, by the server's own tokenizer where it lends it; an Estimate otherwise, and with images."""
    images = sum(part["type"] == "image" for message in messages for part in message["content"])
    text = [{"role": m["role"], "content": "".join(p.get("text", "") for p in m["content"])} for m in messages]
    told = _COUNTERS[upstream.kind](http, upstream, text) if upstream.kind in _COUNTERS else 0
    if told and not images:
        return told
    by_length = sum(about_tokens(message["content"]) + TOKENS_AROUND_A_TURN for message in text)
    return Estimate((told or by_length) + images * TOKENS_OF_AN_IMAGE)


def _count_vllm(http: httpx.Client, upstream: Upstream, messages: list[dict[str, str]]) -> int:
    body = {"model": upstream.model, "messages": messages, "add_generation_prompt": True}
    return _whole(_aside(http, "/tokenize", body).get("count"))


def _count_sglang(http: httpx.Client, upstream: Upstream, messages: list[dict[str, str]]) -> int:
    """Its tokenizer takes no messages: what stands around them is estimated."""
    prompt = "\n".join(message["content"] for message in messages)
    told = _whole(_aside(http, "/tokenize", {"model": upstream.model, "prompt": prompt}).get("count"))
    return Estimate(told + TOKENS_AROUND_A_TURN * len(messages)) if told else 0


def _count_llamacpp(http: httpx.Client, upstream: Upstream, messages: list[dict[str, str]]) -> int:  # noqa: ARG001
    prompt = _aside(http, "/apply-template", {"messages": messages}).get("prompt")
    tokens = _aside(http, "/tokenize", {"content": prompt, "add_special": True}).get("tokens") if prompt else None
    return len(tokens) if isinstance(tokens, list) else 0


_COUNTERS: Mapping[str, Callable[[httpx.Client, Upstream, list[dict[str, str]]], int]] = {
    "vllm": _count_vllm,
    "sglang": _count_sglang,
    "llamacpp": _count_llamacpp,
}
