"""One GET, politely: turns, timeouts, limits, back-off, Retry-After, redirects within the site. An address in, an answer out."""

import email.utils
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import httpx

from llava_graph.errors import AccessDenied, FetchError, InputError
from scicap_builder.fetch.pace import DELAY_S, MAX_WAIT_S, SYSTEM_CLOCK, Clock, Pace
from scicap_builder.progress import tell

BASE_URL = "https://export.arxiv.org"
"""arXiv's host for programs (info.arxiv.org/help/bulk_data)."""
TRIES = 5
"""By default; a person who waits in front of a page wants to know sooner."""
BACKOFF_S = (10.0, 20.0, 40.0)
"""s before the second, third and every later try, where the server names no time itself."""
RETRIED = frozenset({429, 500, 502, 503, 504})
ANSWERS = frozenset({200, 304, 400, 404, 410})
"""Statuses that are an answer to the question asked; the caller knows what they mean."""
NOT_PUBLIC = b"Source Not Public"
NOT_PUBLIC_BYTES = 64 * 1024
"""How much of a 403's page is looked at."""
MAX_HOPS = 5
TOLD_S = 0.5
"""s between two words about a download; whoever listens can end it there."""
PASSING_REASONS = frozenset({"unreachable", "timeout", "busy", "too-slow"})


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """How arXiv is asked."""

    base_url: str = BASE_URL
    contact: str = ""
    """An e-mail address for the User-Agent, so that arXiv can write instead of blocking."""
    cache: Path | None = None
    """Folder for downloads; None: the platform's cache folder."""
    refresh: bool = False
    """Ask again for files that are in the cache (by ETag, so an unchanged file is not sent again)."""
    html: bool = False
    """Ask for the HTML page of every paper too; without it only one that is in the cache is read."""
    delay_s: float = DELAY_S
    tries: int = TRIES
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    """s without a single byte."""
    deadline_s: float = 900.0
    """s for one answer in all: 50 MB (arXiv's limit for a submission) at 60 kB/s."""
    max_bytes: int = 256 * 2**20
    """arXiv takes submissions up to 50 MB; a few by permission are larger."""

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise InputError(f"tries must be at least 1, got {self.tries}")
        if not self.contact.isprintable() or not self.contact.isascii():
            raise InputError(f"the contact must be a plain e-mail address, got {self.contact!r}")
        if urlsplit(self.base_url).scheme not in ("http", "https") or not urlsplit(self.base_url).hostname:
            raise InputError(f"the base URL must begin with http:// or https://, got {self.base_url!r}")

    @property
    def cache_folder(self) -> Path:
        """Where downloads and the lock lie."""
        return self.cache or default_cache()


DEFAULTS = FetchOptions()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer: `status` is one of ANSWERS, `body` is empty where the caller gave a file."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    url: str = ""
    """Where it came from in the end."""


class PoliteHttp:
    """The one connection to one site. Raises FetchError, and AccessDenied on 403."""

    def __init__(self, options: FetchOptions, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.options = options
        self.clock = clock
        site = urlsplit(options.base_url).netloc.replace(":", "_")
        self.pace = Pace(options.cache_folder / f"{site}.lock", delay_s=options.delay_s, clock=clock)
        self._client = httpx.Client(
            timeout=httpx.Timeout(options.read_timeout_s, connect=options.connect_timeout_s),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            headers={"User-Agent": user_agent(options.contact)},
            follow_redirects=False,
        )

    def __enter__(self) -> "PoliteHttp":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, url: str, *, into: BinaryIO | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a GET, after as many tries as politeness allows. `into`: a file that takes a 200's body."""
        tries = self.options.tries
        for attempt in range(tries):
            try:
                return self._follow(url, into or io.BytesIO(), headers or {})
            except _TryLater as later:
                if attempt == tries - 1 or (later.wait_s or 0) > MAX_WAIT_S:
                    raise FetchError(
                        later.what,
                        reason=later.reason,
                        where=url,
                        next_step="Run the same command again later: it goes on where it stopped",
                    ) from later
                wait = later.wait_s if later.wait_s is not None else BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
                tell(f"arXiv: {later.reason}; trying again in {wait:.0f} s")
                self.pace.postpone(wait)
        raise AssertionError("unreachable: the last try returns or raises")

    def _follow(self, url: str, into: BinaryIO, headers: Mapping[str, str]) -> Answer:
        """Follow redirects that stay on the site; every hop is a request and takes its turn."""
        for _ in range(MAX_HOPS):
            with self.pace.turn():
                answer = self._request(url, into, headers)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            target = urljoin(url, answer.headers.get("location", ""))
            if not same_site(url, target):
                raise FetchError(f"the server sends us away, to {target}", reason="redirected-away", where=url)
            url = target
        raise FetchError(f"more than {MAX_HOPS} redirects", reason="redirected-away", where=url)

    def _request(self, url: str, into: BinaryIO, headers: Mapping[str, str]) -> Answer:
        into.seek(0)
        into.truncate()
        with _network_errors(url, self.options), self._client.stream("GET", url, headers=headers) as response:
            status = response.status_code
            if status == 403 and _says_not_public(url, response):
                return Answer(status=status, headers=dict(response.headers), url=url)
            if status == 403:
                raise AccessDenied(
                    "access denied (403); requests after this count as an attack, so nothing more is asked",
                    reason="access-denied",
                    where=url,
                    next_step="Wait a day, then run the same command again; if it stays, see info.arxiv.org/help/robots.html",
                )
            if status in RETRIED:
                wait = retry_after(response.headers.get("retry-after", ""), self.clock.now())
                raise _TryLater(f"the server is busy (HTTP {status})", "busy", wait)
            if status not in ANSWERS and not response.is_redirect:
                raise FetchError(f"an answer we do not know (HTTP {status})", reason="bad-answer", where=url)
            self._receive(response, into, url)
        body = into.getvalue() if isinstance(into, io.BytesIO) else b""
        return Answer(status=status, headers=dict(response.headers), body=body, url=url)

    def _receive(self, response: httpx.Response, into: BinaryIO, url: str) -> None:
        """Write the body, within the size limit and the deadline."""
        received, begun = 0, self.clock.now()
        deadline, told = begun + self.options.deadline_s, begun
        for chunk in response.iter_bytes():
            received += len(chunk)
            if received > self.options.max_bytes:
                raise FetchError(f"more than {self.options.max_bytes / 2**20:.0f} MB", reason="too-big", where=url)
            if self.clock.now() > deadline:
                raise FetchError(f"not done after {self.options.deadline_s:.0f} s", reason="too-slow", where=url)
            into.write(chunk)
            if self.clock.now() - told > TOLD_S:
                told = self.clock.now()
                tell(f"receiving from arXiv: {received / 1e6:.1f} MB")


def _says_not_public(url: str, response: httpx.Response) -> bool:
    """Whether a 403 is the answer to /src/ID of a paper whose author keeps its source: arXiv says so in words (arxiv-browse,
    dissemination/not_public.html). Every other 403 is a refusal of us."""
    if not urlsplit(url).path.startswith(("/src/", "/e-print/")):
        return False
    head = b""
    for chunk in response.iter_bytes():
        head += chunk
        if len(head) > NOT_PUBLIC_BYTES:
            break
    return NOT_PUBLIC in head


class _TryLater(Exception):
    def __init__(self, what: str, reason: str, wait_s: float | None = None) -> None:
        self.what, self.reason, self.wait_s = what, reason, wait_s
        super().__init__(what)


@contextmanager
def _network_errors(url: str, options: FetchOptions) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise _TryLater(f"no answer within {options.read_timeout_s:.0f} s", "timeout") from error
    except httpx.DecodingError as error:
        raise FetchError(f"a broken answer ({error})", reason="bad-answer", where=url) from error
    except httpx.TransportError as error:
        raise _TryLater(f"no connection ({error})", "unreachable") from error


def is_passing(error: FetchError) -> bool:
    """Whether another run may succeed where this one failed."""
    return error.reason in PASSING_REASONS


def retry_after(value: str, now: float) -> float | None:
    """s to wait, from a Retry-After header in either form (RFC 9110, 10.2.3): seconds or a date. None: it says nothing."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return None


def same_site(url: str, target: str) -> bool:
    """Whether a redirect stays: same host and port, or another host of arxiv.org over https."""
    one, other = urlsplit(url), urlsplit(target)
    if (one.scheme, one.netloc) == (other.scheme, other.netloc):
        return True
    both = (one.hostname or "", other.hostname or "")
    return (
        other.scheme == "https"
        and other.port in (None, 443)
        and all(f".{host}".endswith(".arxiv.org") for host in both)
    )


def user_agent(contact: str) -> str:
    """ "llava-graph/0.1.0 (+project page; mailto:contact)"."""
    try:
        about = metadata("llava-graph")
        name, pages = f"llava-graph/{about['Version']}", about.get_all("Project-URL") or []
    except PackageNotFoundError:
        name, pages = "llava-graph", []
    notes = [f"+{page.rpartition(' ')[2]}" for page in pages[:1]] + ([f"mailto:{contact}"] if contact else [])
    return f"{name} ({'; '.join(notes)})" if notes else name


def default_cache() -> Path:
    """The platform's folder for what can be fetched again (XDG base directory specification; %LOCALAPPDATA%; ~/Library)."""
    home = Path.home()
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif (home / "Library" / "Caches").is_dir():
        base = home / "Library" / "Caches"
    else:
        xdg = os.environ.get("XDG_CACHE_HOME", "")
        base = Path(xdg) if xdg.startswith("/") else home / ".cache"
    return base / "llava-graph" / "arxiv"
