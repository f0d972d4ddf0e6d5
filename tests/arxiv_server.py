"""A local server that speaks arXiv: query API (Atom), OAI-PMH, /src, /e-print, /pdf and /html, with answers in arXiv's shapes.

The shapes follow the API user's manual (info.arxiv.org/help/api/user-manual), OAI-PMH 2.0 with arXiv's own format, and the
public code of arxiv-browse. `script` says what comes before the usual answer: a status, a redirect, a hang.
"""

import gzip
import io
import re
import tarfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

HANG = "hang"
DRIP = "drip"
CUT = "cut"
NOT_PUBLIC = b"not public"
"""As a source: its author keeps it, and /src answers 403 with words of its own (arxiv-browse, not_public.html)."""


@dataclass(kw_only=True)
class FakeClock:
    """Time that passes only by sleeping."""

    time: float = 1_000_000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One paper as arXiv holds it. `sources` by version; a version that is absent was withdrawn or never given."""

    base: str
    latest: int = 1
    title: str = "A Title\n  Over Two Lines"
    abstract: str = "We show\nsomething."
    comment: str = ""
    categories: tuple[str, ...] = ("cs.CL", "cs.LG")
    licence: str = "http://creativecommons.org/licenses/by/4.0/"
    sources: dict[int, bytes] = field(default_factory=dict)
    pdfs: dict[int, bytes] = field(default_factory=dict)
    pages: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request: path with query, headers, and the time on the clock."""

    path: str
    headers: dict[str, str]
    time: float


def tar_gz(files: dict[str, bytes]) -> bytes:
    """An e-print archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class ArxivServer(ThreadingHTTPServer):
    """`papers` by base id; `script[path]` is worked off before the usual answer; `seen` is every request."""

    daemon_threads = True

    def __init__(self, papers: list[Submission], now: Callable[[], float]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.papers = {paper.base: paper for paper in papers}
        self.script: dict[str, list[tuple[int | str, dict[str, str]]]] = defaultdict(list)
        self.seen: list[Seen] = []
        self.now = now
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def paths(self) -> list[str]:
        return [request.path for request in self.seen]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


@contextmanager
def serving(papers: list[Submission], now: Callable[[], float] = lambda: 0.0) -> Iterator[ArxivServer]:
    server = ArxivServer(papers, now)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: ArxivServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.seen.append(Seen(path=self.path, headers=dict(self.headers), time=self.server.now()))
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        try:
            self.answer()
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    def answer(self) -> None:
        url = urlsplit(self.path)
        scripted = self.server.script[url.path]
        if scripted:
            status, headers = scripted.pop(0)
            if status == HANG:
                self.server.closing.wait(10)
                return
            if status in (DRIP, CUT):
                self.drip(cut=status == CUT)
                return
            self.send(int(status), b"<html><body>scripted</body></html>", headers)
            return
        if url.path == "/api/query":
            self.query(parse_qs(url.query))
        elif url.path == "/oai2":
            self.oai(parse_qs(url.query))
        elif match := re.fullmatch(r"/e-print/(.+)", url.path):
            self.send(301, b"", {"Location": f"/src/{match[1]}"})
        elif match := re.fullmatch(r"/(src|pdf|html)/(.+?)", url.path):
            self.file(match[1], unquote(match[2]))
        else:
            self.send(404, b"<html>Not found</html>")

    def drip(self, *, cut: bool) -> None:
        """A body that comes byte by byte, or stops before its announced end."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(3 if cut else 1000):
            self.wfile.write(b"%")
            self.wfile.flush()
            if self.server.closing.wait(0.02):
                break
        self.close_connection = True

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def query(self, query: dict[str, list[str]]) -> None:
        ids = query["id_list"][0].split(",")
        start, most = int(query.get("start", ["0"])[0]), int(query.get("max_results", ["10"])[0])
        bad = next((one for one in ids if not re.fullmatch(r"(\d{4}\.\d{4,5}|[a-z-]+/\d{7})(v\d+)?", one)), None)
        if bad:
            self.send(400, feed([error_entry(bad)], 1, start, most), {"Content-Type": "application/atom+xml"})
            return
        entries = []
        for one in ids:
            base, _, version = one.partition("v")
            paper = self.server.papers.get(base)
            if paper and (not version or int(version) <= paper.latest):
                entries.append(entry(paper, int(version or paper.latest)))
        body = feed(entries[start : start + most], len(entries), start, most)
        self.send(200, body, {"Content-Type": "application/atom+xml; charset=UTF-8"})

    def oai(self, query: dict[str, list[str]]) -> None:
        if query["verb"] == ["ListRecords"]:
            inner = self.records(query)
        else:
            base = query["identifier"][0].removeprefix("oai:arXiv.org:")
            paper = self.server.papers.get(base)
            inner = (
                f"<GetRecord>{oai_record(paper)}</GetRecord>"
                if paper
                else '<error code="idDoesNotExist">No matching identifier</error>'
            )
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">'
            f"<responseDate>2026-11-20T00:00:00Z</responseDate><request>http://export.arxiv.org/oai2</request>{inner}</OAI-PMH>"
        )
        self.send(200, body.encode(), {"Content-Type": "text/xml"})

    def records(self, query: dict[str, list[str]]) -> str:
        """Two papers a page; the token names the next one."""
        token = query.get("resumptionToken", ["0"])[0]
        if not token.isdecimal():
            return '<error code="badResumptionToken">too old</error>'
        papers, start = list(self.server.papers.values()), int(token)
        if query.get("from") == ["2999-01-01"]:
            return '<error code="noRecordsMatch">nothing</error>'
        more = str(start + 2) if start + 2 < len(papers) else ""
        records = "".join(map(oai_record, papers[start : start + 2]))
        return f"<ListRecords>{records}<resumptionToken cursor='{start}'>{more}</resumptionToken></ListRecords>"

    def file(self, kind: str, id_: str) -> None:
        base, _, version = id_.partition("v")
        paper = self.server.papers.get(base)
        held = {"src": paper.sources, "pdf": paper.pdfs, "html": paper.pages}[kind] if paper else {}
        data = held.get(int(version or paper.latest)) if paper else None
        if data == NOT_PUBLIC:
            page = f"<h1>Source Not Public for {id_}</h1><p>This was the author's choice.</p>"
            self.send(403, b"<html>" + b" " * 9000 + page.encode() + b"</html>")
            return
        if data is None:
            self.send(404, b"<html><title>404</title>No source for this version</html>")
            return
        etag = f'"{len(data):x}-{data[:2].hex()}"'
        if self.headers.get("If-None-Match") == etag:
            self.send(304, b"", {"ETag": etag})
            return
        pdf = data.startswith(b"%PDF")
        ending = ".pdf" if pdf else ".tar.gz" if is_tar(data) else ".gz"
        types = {True: "application/pdf", False: "text/html; charset=utf-8" if kind == "html" else "application/gzip"}
        headers = {
            "Content-Type": types[pdf],
            "ETag": etag,
            "Last-Modified": "Wed, 02 Aug 2023 00:41:18 GMT",
        }
        if kind == "src":
            headers["Content-Disposition"] = f'attachment; filename="arXiv-{id_.replace("/", "")}{ending}"'
        self.send(200, data, headers)


def is_tar(data: bytes) -> bool:
    return data[:2] == b"\x1f\x8b" and gzip.decompress(data)[257:262] == b"ustar"


def feed(entries: list[str], total: int, start: int, most: int) -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <link href="http://arxiv.org/api/query?search_query%3D%26id_list%3D" rel="self" type="application/atom+xml"/>
  <title type="html">ArXiv Query: search_query=&amp;id_list=</title>
  <id>http://arxiv.org/api/cHxbiOdZaP56ODnBPIenZhzg5f8</id>
  <updated>2026-11-20T00:00:00-05:00</updated>
  <opensearch:totalResults xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">{total}</opensearch:totalResults>
  <opensearch:startIndex xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">{start}</opensearch:startIndex>
  <opensearch:itemsPerPage xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">{most}</opensearch:itemsPerPage>
  {"".join(entries)}
</feed>
""".encode()


def entry(paper: Submission, version: int) -> str:
    id_ = f"{paper.base}v{version}"
    comment = f'<arxiv:comment xmlns:arxiv="http://arxiv.org/schemas/atom">{escape(paper.comment)}</arxiv:comment>'
    categories = "".join(
        f'<category term="{name}" scheme="http://arxiv.org/schemas/atom"/>' for name in paper.categories
    )
    return f"""<entry>
    <id>http://arxiv.org/abs/{id_}</id>
    <updated>2023-08-02T00:41:18Z</updated>
    <published>2017-06-12T17:57:34Z</published>
    <title>{escape(paper.title)}</title>
    <summary>  {escape(paper.abstract)}
</summary>
    <author><name>A. Author</name></author>
    {comment if paper.comment else ""}
    <link href="http://arxiv.org/abs/{id_}" rel="alternate" type="text/html"/>
    <link title="pdf" href="http://arxiv.org/pdf/{id_}" rel="related" type="application/pdf"/>
    <arxiv:primary_category xmlns:arxiv="http://arxiv.org/schemas/atom" term="{paper.categories[0]}"/>
    {categories}
  </entry>
"""


def error_entry(bad: str) -> str:
    """As the API says it: one entry without <published>, for the whole request."""
    return f"""<entry>
    <id>http://arxiv.org/api/errors#incorrect_id_format_for_{bad}</id>
    <title>Error</title>
    <summary>incorrect id format for {bad}</summary>
    <updated>2026-11-20T00:00:00-05:00</updated>
    <link href="http://arxiv.org/api/errors#incorrect_id_format_for_{bad}" rel="alternate" type="text/html"/>
    <author><name>arXiv api core</name></author>
  </entry>
"""


def oai_record(paper: Submission) -> str:
    licence = f"<license>{paper.licence}</license>" if paper.licence else ""
    return f"""<record>
  <header><identifier>oai:arXiv.org:{paper.base}</identifier><datestamp>2023-08-03</datestamp><setSpec>cs</setSpec></header>
  <metadata><arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>{paper.base}</id><created>2017-06-12</created>
    <title>{escape(paper.title)}</title><categories>{" ".join(paper.categories)}</categories>{licence}
    <abstract>{escape(paper.abstract)}</abstract></arXiv></metadata>
</record>"""
