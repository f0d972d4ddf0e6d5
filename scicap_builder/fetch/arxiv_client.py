"""What arXiv has of a paper: metadata (by the `arxiv` package), licence (OAI-PMH), source, PDF, HTML; cached by exact version."""

import dataclasses
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from llava_graph.durable import read_json, write_json, write_text
from llava_graph.errors import DatasetError, FetchError
from scicap_builder.arxiv_id import ArxivId, parse_arxiv_id
from scicap_builder.fetch.http import DEFAULTS, FetchOptions, PoliteHttp
from scicap_builder.fetch.pace import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    import arxiv

BATCH = 100
"""Ids per metadata request; the API takes 2000 a slice, but the address grows with them."""
_BAD_ID = re.compile(rb"/api/errors#incorrect_id_format_for_([^\s<\"']+)")
_WITHDRAWN = re.compile(r"\b(?:has been|is|was)\s+withdrawn\b|\bwithdrawn by\b|^withdrawn\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What the query API says of one version of a paper."""

    id: ArxivId
    """With the exact version, so that metadata, source and PDF agree."""
    title: str = ""
    abstract: str = ""
    categories: tuple[str, ...] = ()
    comment: str = ""

    @property
    def withdrawn(self) -> bool:
        """Whether the authors say so; arXiv keeps no flag for it."""
        return bool(_WITHDRAWN.search(self.comment) or _WITHDRAWN.search(self.abstract[:200]))


class ArxivClient:
    """Asks arXiv as it wants to be asked. Use as a context manager; one at a time is enough."""

    def __init__(self, options: FetchOptions = DEFAULTS, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.options = options
        self.base_url = options.base_url.rstrip("/")
        self._http = PoliteHttp(options, clock=clock)
        self._oai_url = f"{self.base_url}/oai2"

    def __enter__(self) -> "ArxivClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.__exit__(kind, error, trace)

    def metadata(self, ids: Sequence[ArxivId]) -> dict[ArxivId, Metadata]:
        """Metadata by the id asked for; ids that arXiv does not know are absent. One request per BATCH. Raises FetchError."""
        found = (
            {} if self.options.refresh else {asked: known for asked in ids if (known := self._cached_metadata(asked))}
        )
        missing = [asked for asked in ids if asked not in found]
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            results = self._query(batch)
            for asked in batch:
                if known := results.get(str(asked)) or results.get(asked.base):
                    found[asked] = known
                    self._remember(known)
        return found

    def licence(self, arxiv: ArxivId) -> str:
        """The licence's address ("http://creativecommons.org/licenses/by/4.0/"); empty if arXiv names none. Raises FetchError."""
        file = self._folder(arxiv) / "licence.txt"
        if file.is_file() and not self.options.refresh:
            return file.read_text(encoding="utf-8").strip()
        asked = f"verb=GetRecord&metadataPrefix=arXiv&identifier=oai:arXiv.org:{arxiv.base}"
        answer = self._http.get(f"{self._oai_url}?{asked}")
        self._oai_url = answer.url.partition("?")[0]  # it has moved once; a redirect a paper would be a second request
        licence = parse_licence(answer.body)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, licence + "\n")  # half a file would be a paper without a licence for ever
        return licence

    def source(self, arxiv: ArxivId) -> Path:
        """The submission as arXiv stores it (tar.gz, gz or PDF). Raises FetchError: no-source, bad-answer, …"""
        return self._file(f"{self.base_url}/src/{arxiv}", self._folder(arxiv) / "source", _check_source)

    def pdf(self, arxiv: ArxivId) -> Path:
        """The paper's PDF. Raises FetchError: no-pdf, bad-answer, …"""
        return self._file(f"{self.base_url}/pdf/{arxiv}", self._folder(arxiv) / "paper.pdf", _check_pdf)

    def html(self, arxiv: ArxivId) -> Path:
        """The paper as an HTML page. Raises FetchError: no-html (older papers have none), bad-answer, …"""
        return self._file(f"{self.base_url}/html/{arxiv}", self._folder(arxiv) / "paper.html", _check_html)

    def cached_html(self, arxiv: ArxivId) -> Path | None:
        """The page if it is in the cache already, put there by us or by hand."""
        file = self._folder(arxiv) / "paper.html"
        return file if file.is_file() else None

    def _folder(self, arxiv: ArxivId) -> Path:
        return self.options.cache_folder / "papers" / arxiv.file_key

    def _file(self, url: str, file: Path, check: Callable[[int, Path, str], None]) -> Path:
        """A file from the cache, or fetched into it: written beside its place, checked, renamed; the server's notes beside it."""
        notes = file.with_name(file.name + ".json")
        known = _read_notes(notes) if file.is_file() else {}
        if known and not self.options.refresh:
            return file
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        try:
            with part.open("w+b") as target:
                answer = self._http.get(
                    url, into=target, headers={"If-None-Match": known["etag"]} if known.get("etag") else None
                )
            if answer.status == 304:
                return file
            check(answer.status, part, url)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
        said = {name: answer.headers.get(name, "") for name in ("etag", "last-modified", "content-type")}
        write_json(notes, {"url": url, **said, "filename": _file_name(answer.headers), "bytes": file.stat().st_size})
        return file

    def _query(self, ids: Sequence[ArxivId]) -> dict[str, Metadata]:
        """One request of the query API. One bad id spoils the whole answer: it is left out and the rest asked again."""
        asking = list(ids)
        while asking:
            try:
                results = self._results(asking)
                return {
                    key: known
                    for result in results
                    for known in [_metadata(result)]
                    for key in (str(known.id), known.id.base)
                }
            except _BadId as bad:
                kept = [one for one in asking if bad.id not in (str(one), one.base)]
                if len(kept) == len(asking):
                    raise FetchError(
                        f"arXiv refuses an id that was not asked for: {bad.id}", reason="bad-answer"
                    ) from bad
                asking = kept
        return {}

    def _results(self, ids: Sequence[ArxivId]) -> "list[arxiv.Result]":
        import arxiv

        # The package waits, repeats and times out by no rules of ours: its requests go through our one connection.
        client = arxiv.Client(page_size=BATCH, delay_seconds=0, num_retries=0)
        client.query_url_format = f"{self.base_url}/api/query?{{}}"
        client._session = polite_session(self._http)
        try:
            return list(client.results(arxiv.Search(id_list=[str(one) for one in ids], max_results=len(ids))))
        except arxiv.ArxivError as error:
            raise FetchError(f"the query API failed ({error.message})", reason="bad-answer", where=error.url) from error

    def _cached_metadata(self, arxiv: ArxivId) -> Metadata | None:
        if arxiv.version is None:  # "the latest" is a question that only arXiv answers
            return None
        known = _read_notes(self._folder(arxiv) / "metadata.json")
        return Metadata(**{**known, "id": arxiv, "categories": tuple(known["categories"])}) if known else None

    def _remember(self, known: Metadata) -> None:
        folder = self._folder(known.id)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "metadata.json", dataclasses.asdict(known) | {"id": str(known.id)})


class _BadId(Exception):
    def __init__(self, bad: str) -> None:
        self.id = bad
        super().__init__(bad)


def polite_session(http: PoliteHttp) -> Any:
    """A requests.Session whose every request is one of `http`."""
    import requests
    from requests.adapters import BaseAdapter

    class Through(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
            answer = http.get(str(request.url))
            if bad := _BAD_ID.search(answer.body):
                raise _BadId(bad[1].decode("ascii", "replace"))
            response = requests.Response()
            response.status_code, response.url, response.request = answer.status, str(request.url), request
            response.raw = io.BytesIO(answer.body)
            return response

        def close(self) -> None:
            """The connection is not ours to close."""

    session = requests.Session()
    session.mount("http://", Through())
    session.mount("https://", Through())
    return session


def _metadata(result: "arxiv.Result") -> Metadata:
    return Metadata(
        id=parse_arxiv_id(result.get_short_id()),
        title=" ".join(result.title.split()),
        abstract=" ".join(result.summary.split()),
        categories=tuple(result.categories),
        comment=" ".join((result.comment or "").split()),
    )


def parse_licence(answer: bytes) -> str:
    """<license> of an OAI-PMH answer in arXiv's own format; empty where there is none. Raises FetchError if it is no XML."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    try:
        root = ElementTree.fromstring(answer)
    except (ParseError, DefusedXmlException) as error:
        raise FetchError(f"the OAI-PMH answer is no XML of ours ({error})", reason="bad-answer") from error
    return (root.findtext(".//{http://arxiv.org/OAI/arXiv/}license") or "").strip()


def _check_source(status: int, file: Path, url: str) -> None:
    if status == 403:
        raise FetchError("its author keeps the source (403: not public)", reason="source-not-public", where=url)
    if status != 200:
        raise FetchError("arXiv has no source for it (404: withdrawn, or never given)", reason="no-source", where=url)
    head = _head(file)
    if not head or head.lstrip()[:1] == b"<":
        raise FetchError("arXiv answered with a page instead of a source", reason="bad-answer", where=url)


def _check_pdf(status: int, file: Path, url: str) -> None:
    if status != 200:
        raise FetchError("arXiv has no PDF for it (404: withdrawn, or cannot be made)", reason="no-pdf", where=url)
    if b"%PDF-" not in _head(file):
        raise FetchError("arXiv answered with a page instead of a PDF", reason="bad-answer", where=url)


def _check_html(status: int, file: Path, url: str) -> None:
    if status != 200:
        raise FetchError("arXiv has no HTML page for it (404)", reason="no-html", where=url)
    if _head(file).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"<":
        raise FetchError("arXiv answered with something that is no HTML page", reason="bad-answer", where=url)


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(1024)


def _file_name(headers: Mapping[str, str]) -> str:
    """The name in Content-Disposition, for people; what a file holds is found out from its bytes."""
    message = Message()
    message["content-disposition"] = headers.get("content-disposition", "")
    return message.get_filename() or ""


def _read_notes(file: Path) -> dict[str, Any]:
    """Notes that we wrote; a missing or half-written file means that we know nothing."""
    try:
        notes = read_json(file)
    except DatasetError:
        return {}
    return notes if isinstance(notes, dict) else {}
