"""An image URL that a client sent, in; the bytes behind it, out. Nothing but public hosts is ever called.

The host is resolved once, by us; every one of its addresses is checked, and the connection goes to a checked address itself,
so that no second look-up can answer something else (DNS rebinding). The name still stands in the Host header and in TLS. Every
redirect begins anew. No proxy, no cookies, no compression, and limits on bytes and time.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import urljoin

import httpcore

from llava_graph.errors import FetchError
from serve.http.addresses import Address, Target, checked_url, is_public, not_public, refused

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) -> its addresses, as text."""


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """How much is fetched, from where, and for how long."""

    max_bytes: int = 20 * 2**20
    accept: tuple[str, ...] = ("image/", "application/octet-stream", "binary/octet-stream")
    """How a Content-Type may begin; what the bytes are is decided by decoding them."""
    allowed_hosts: tuple[str, ...] = ()
    """See `checked_url`; empty: any public host."""
    ports: tuple[int, ...] = (80, 443)
    max_redirects: int = 3
    total_s: float = 15.0
    """From the first look-up to the last byte, all redirects together: a server that drips is cut off here."""
    silence_s: float = 5.0
    """Of one connection attempt, and between two reads."""


async def fetch_public(
    url: str,
    *,
    limit: int = FetchLimits.max_bytes,
    accept: tuple[str, ...] = FetchLimits.accept,
    allowed_hosts: Collection[str] = (),
) -> bytes:
    """The bytes at a public http(s) URL, at most `limit`. Raises FetchError; see `Fetcher.fetch`."""
    return await Fetcher(FetchLimits(max_bytes=limit, accept=accept, allowed_hosts=tuple(allowed_hosts))).fetch(url)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system's resolver gives them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Fetcher:
    """Fetches under `limits`. `resolver` and `connector` are how a name becomes addresses and an address a connection."""

    def __init__(
        self,
        limits: FetchLimits = FetchLimits(),
        *,
        resolver: Resolve = resolve,
        connector: httpcore.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.limits = limits
        self._backend = CheckedBackend(resolver, connector or httpcore.AnyIOBackend())
        self._tls = tls

    async def fetch(self, url: str) -> bytes:
        """The bytes at `url`.

        Raises FetchError. Its reason: "refused" (a URL or an address that is not called), "too-large", "not-an-image" (by its
        Content-Type), "status" (no 200), "redirects", "timeout", "unreachable".
        """
        try:
            async with asyncio.timeout(self.limits.total_s):
                return await self._follow(self._checked(url))
        except TimeoutError as error:
            raise _failed("timeout", f"the image did not arrive within {self.limits.total_s:g} s") from error

    def _checked(self, url: str) -> Target:
        return checked_url(url, ports=self.limits.ports, hosts=self.limits.allowed_hosts)

    async def _follow(self, target: Target) -> bytes:
        for _ in range(self.limits.max_redirects + 1):
            found = await self._get(target)
            if isinstance(found, bytes):
                return found
            onward = self._checked(urljoin(target.url, found.location))
            if target.scheme == "https" and onward.scheme == "http":
                raise refused("the URL leads from https to http")
            target = onward
        raise _failed("redirects", f"the URL redirects more than {self.limits.max_redirects} times")

    async def _get(self, target: Target) -> "bytes | Redirect":
        """One request. A connection of its own: nothing is kept for the next one."""
        # Only plain bytes are asked for: a small gzip cannot become a large image's worth of memory.
        headers = [("Host", _host_header(target)), ("Accept", "image/*"), ("Accept-Encoding", "identity")]
        headers += [("User-Agent", "llava-graph"), ("Connection", "close")]
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), self.limits.silence_s)
        try:
            async with (
                httpcore.AsyncConnectionPool(
                    ssl_context=self._tls or _certificates(), network_backend=self._backend, retries=0
                ) as pool,
                pool.stream("GET", target.url, headers=headers, extensions={"timeout": timeout}) as response,
            ):
                return await self._read(response)
        except httpcore.TimeoutException as error:
            raise _failed("timeout", f"{target.host} did not answer within {self.limits.silence_s:g} s") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _failed("unreachable", f"{target.host} cannot be read ({_plain(error)})") from error

    async def _read(self, response: httpcore.Response) -> "bytes | Redirect":
        headers = {name.lower(): value.decode("latin-1").strip() for name, value in response.headers}
        if response.status in (301, 302, 303, 307, 308) and headers.get(b"location"):
            return Redirect(headers[b"location"])
        if response.status != 200:
            raise _failed("status", f"the image's server answers {response.status}")
        kind = headers.get(b"content-type", "application/octet-stream").lower()
        if not kind.startswith(self.limits.accept) or kind.startswith("image/svg"):
            raise _failed("not-an-image", f"the URL leads to {kind.partition(';')[0][:60]}, not to an image")
        if headers.get(b"content-encoding", "identity").lower() != "identity":
            raise _failed("not-an-image", "the image's server compresses what it was asked not to")
        length = headers.get(b"content-length", "0")[:20]
        self._check_size(int(length) if length.isdecimal() else 0)
        data = bytearray()
        async for piece in response.aiter_stream():
            data += piece
            self._check_size(len(data))
        return bytes(data)

    def _check_size(self, size: int) -> None:
        if size > self.limits.max_bytes:
            raise _failed("too-large", f"the image has more than {self.limits.max_bytes / 2**20:g} MB")


@dataclass(frozen=True)
class Redirect:
    """Where a server sends us on to; still to be checked."""

    location: str


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to a host only at an address that was checked; TLS goes on with the host's name (SNI, certificate)."""

    def __init__(self, resolver: Resolve, connector: httpcore.AsyncNetworkBackend) -> None:
        self._resolve = resolver
        self._connector = connector

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first of the host's addresses that answers. Raises FetchError if any of them is not public."""
        last: Exception = httpcore.ConnectError("no address")
        for address in (await self.public_addresses(host, port))[:MAX_ATTEMPTS]:
            try:
                return await self._connector.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def public_addresses(self, host: str, port: int) -> list[Address]:
        """All addresses of a host. One inside among them refuses the whole: a name that leads to both is no accident."""
        try:
            found = [ipaddress.ip_address(text.partition("%")[0]) for text in await self._resolve(host, port)]
        except (OSError, UnicodeError, ValueError) as error:
            raise not_public(host) from error
        if not found or not all(map(is_public, found)):
            raise not_public(host)
        return found

    async def sleep(self, seconds: float) -> None:
        """As the connector does."""
        await self._connector.sleep(seconds)


MAX_ATTEMPTS = 3
"""Addresses of one host that are tried."""


def _host_header(target: Target) -> str:
    return replace(target, path="").url.partition("://")[2]


def _failed(reason: str, what: str) -> FetchError:
    return FetchError(what, reason=reason, where="image URL", next_step="Or send the image itself, as a data URI")


def _plain(error: Exception) -> str:
    """A network error in few words, without addresses."""
    return "its certificate is not valid" if "CERTIFICATE_VERIFY_FAILED" in str(error) else type(error).__name__


@cache
def _certificates() -> ssl.SSLContext:
    # Reading the certificates takes 20 ms; once is enough.
    return ssl.create_default_context()
