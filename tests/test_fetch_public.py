"""Image URLs: what is never called, and that what is called is what was checked. No network: names resolve to what a test says,
and every public address leads to one server on this machine."""

import asyncio
import ssl
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpcore
import pytest
import trustme

from llava_graph.errors import FetchError
from serve.http.addresses import checked_url, is_public
from serve.http.fetch import Fetcher, FetchLimits
from tests.serving import png

LIMITS = FetchLimits()
PUBLIC = "93.184.216.34"
ALSO_PUBLIC = "2606:2800:220:1:248:1893:25c8:1946"


class Handler(BaseHTTPRequestHandler):
    """Serves `answers`: path -> (status, headers, body pieces)."""

    answers: ClassVar[dict] = {}
    asked: ClassVar[list] = []

    def do_GET(self):
        type(self).asked.append((self.path, dict(self.headers)))
        status, headers, pieces = self.answers.get(self.path, (404, {}, []))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for piece in pieces:
                self.wfile.write(piece)
                self.wfile.flush()
                if len(piece) == 1:
                    time.sleep(0.05)
        except OSError:
            pass

    def log_message(self, *_):
        pass


@contextmanager
def server(tls=None):
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.configure_cert(context)
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield httpd.server_address[1]
    finally:
        httpd.shutdown()
        httpd.server_close()


@pytest.fixture(scope="module")
def port():
    with server() as port:
        yield port


@pytest.fixture(autouse=True)
def answers():
    Handler.answers = {"/chart.png": (200, {"Content-Type": "image/png"}, [png()])}
    Handler.asked = []
    return Handler.answers


class Wire(httpcore.AnyIOBackend):
    """Every address leads to the test's server; what was dialled is written down."""

    def __init__(self, port):
        self.port = port
        self.dialled = []

    async def connect_tcp(self, host, port, *rest, **options):
        self.dialled.append((host, port))
        return await super().connect_tcp("127.0.0.1", self.port, *rest, **options)


def names(**hosts):
    """A resolver; each look-up of a host takes the next of its answers, and the last one again and again; "*": all others."""
    asked = []

    async def resolve(host, port):
        asked.append(host)
        if not (answers := hosts.get(host, hosts.get("*"))):
            raise OSError("no such host")
        return answers[min(asked.count(host), len(answers)) - 1]

    resolve.asked = asked
    return resolve


def fetch(url, port, limits=LIMITS, tls=None, **hosts):
    """(bytes, resolver, wire) of one fetch; hosts as name="address" or a list of successive answers."""
    listed = {
        name: [
            [answer] if isinstance(answer, str) else answer
            for answer in ([answers] if isinstance(answers, str) else answers)
        ]
        for name, answers in hosts.items()
    }
    resolver, wire = names(**{"example.org": [[PUBLIC]], **listed}), Wire(port)
    fetched = asyncio.run(Fetcher(limits, resolver=resolver, connector=wire, tls=tls).fetch(url))
    return fetched, resolver, wire


def test_an_image_is_fetched_from_the_checked_address_under_its_hosts_name(port):
    data, resolver, wire = fetch("http://Example.ORG./chart.png", port)
    assert data == png()
    assert wire.dialled == [(PUBLIC, 80)], "the address itself is dialled, not the name"
    assert resolver.asked == ["example.org"], "one look-up"
    ((path, headers),) = Handler.asked
    assert (path, headers["Host"]) == ("/chart.png", "example.org")
    assert not {"Cookie", "Authorization", "Referer"} & set(headers)


def test_no_proxy_of_the_environment_is_used(port, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch("http://example.org/chart.png", port)[0] == png()


def test_tls_asks_for_and_verifies_the_name_although_the_address_is_dialled():
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with server(authority.issue_cert("example.org")) as port:
        data, _, wire = fetch("https://example.org/chart.png", port, tls=trusting)
        assert (data, wire.dialled) == (png(), [(PUBLIC, 443)])
        with pytest.raises(FetchError, match="certificate is not valid"):
            fetch("https://other.example.com/chart.png", port, tls=trusting, **{"other.example.com": PUBLIC})


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
        "100.100.100.200", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "203.0.113.7",
        "168.63.129.16", "192.88.99.1",
        "::1", "::", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "2002:7f00:1::", "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1", "2001::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1",
        "::ffff:0:7f00:1", "100::1", "5f00::1", "3fff::1",
    ],
)  # fmt: skip
def test_addresses_inside_are_refused_whether_written_in_the_url_or_behind_a_name(address, port):
    literal = f"[{address}]" if ":" in address else address
    for url, hosts in (
        (f"http://{literal}/chart.png", {}),
        ("http://inside.example.net/", {"inside.example.net": address}),
    ):
        with pytest.raises(FetchError, match="is no public host") as refused:
            fetch(url, port, **hosts)
        assert refused.value.reason == "refused"
    assert Handler.asked == []


def test_public_addresses_are_public():
    import ipaddress

    for text in ("8.8.8.8", PUBLIC, ALSO_PUBLIC, "1.1.1.1", "2a00:1450:4001:82a::200e"):
        assert is_public(ipaddress.ip_address(text)), text


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.1", "017700000001", "127.0.0.01", "1.2.3",
        "localhost", "LOCALHOST.", "a.localhost", "metadata.google.internal", "printer.local", "intranet", "x.test",
        "１２７.０.０.１", "①②⑦.0.0.1", "127。0。0。1", "[::1%25eth0]", "[::ffff:7f00:1]", "0", "0.0.0.0.",
        "169.254.169.254.", "[fd00:ec2::254]", "exa mple.org", "-a.org", "a..org", "a.org..", "xn--a.1", "*.org",
    ],
)  # fmt: skip
def test_hosts_spelled_in_unusual_ways_are_no_way_in(host, port):
    with pytest.raises(FetchError) as refused:
        # Whatever the system's resolver would make of it: it is refused before.
        fetch(f"http://{host}/chart.png", port, **{"*": PUBLIC})
    assert refused.value.reason == "refused"
    assert Handler.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "/etc/passwd", "../../etc/passwd", "ftp://example.org/a", "gopher://example.org/", "chart.png",
        "http:///chart.png", "http://", "", "javascript:alert(1)", "data:text/html,x", "unix:///var/run/docker.sock",
        "http://user@example.org/", "http://user:secret@example.org/", "http://@example.org/", "http://example.org:secret@127.0.0.1/",
        "http://example.org@127.0.0.1/", "http://127.0.0.1#@example.org/", "http://example.org\\@127.0.0.1/",
        "http://example.org:22/", "http://example.org:8080/", "https://example.org:6379/", "http://example.org:99999/",
        "http://example.org/\r\nX-Injected: 1", "http://example.org/a b", "http://example.org/\0", " http://example.org/",
        "http://example.org/" + "a" * 5000, "HTTP+UNIX://example.org/", "jar:http://example.org/a!/b",
    ],
)  # fmt: skip
def test_urls_that_are_no_plain_public_http_are_refused(url, port):
    with pytest.raises(FetchError) as refused:
        fetch(url, port, **{"*": PUBLIC})
    assert refused.value.reason == "refused"
    assert Handler.asked == []


def test_a_name_with_one_address_inside_among_public_ones_is_refused(port):
    with pytest.raises(FetchError, match="no public host"):
        fetch("http://mixed.example.net/", port, **{"mixed.example.net": [[PUBLIC, "10.0.0.5"]]})
    with pytest.raises(FetchError, match="no public host"):
        fetch("http://empty.example.net/", port, **{"empty.example.net": [[]]})


def test_a_name_that_does_not_exist_and_one_inside_sound_the_same(port):
    """Otherwise the answers would list the names of our own network."""
    said = []
    for hosts in ({}, {"db.example.net": "10.0.0.5"}):
        with pytest.raises(FetchError) as refused:
            fetch("http://db.example.net/", port, **hosts)
        said.append(str(refused.value))
    assert said[0] == said[1]


def test_dns_rebinding_finds_no_second_look_up(port):
    answers = {"turncoat.example.net": [[PUBLIC], ["127.0.0.1"]]}
    data, resolver, wire = fetch("http://turncoat.example.net/chart.png", port, **answers)
    assert data == png()
    assert resolver.asked == ["turncoat.example.net"]
    assert wire.dialled == [(PUBLIC, 80)]


def test_a_redirect_back_to_the_same_name_is_looked_up_and_checked_again(port, answers):
    answers["/again"] = (302, {"Location": "/chart.png"}, [])
    turncoat = {"turncoat.example.net": [[PUBLIC], ["127.0.0.1"]]}
    with pytest.raises(FetchError, match="no public host"):
        fetch("http://turncoat.example.net/again", port, **turncoat)
    assert [path for path, _ in Handler.asked] == ["/again"]


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest/meta-data/", "http://[::ffff:127.0.0.1]/", "http://localhost/", "file:///etc/passwd",
     "//10.0.0.1/", "http://example.org:6379/", "http://user@example.org/chart.png", "http://2130706433/", "gopher://example.org/"],
)  # fmt: skip
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_hop_of_a_redirect_is_checked(location, status, port, answers):
    answers["/first"] = (status, {"Location": location}, [])
    with pytest.raises(FetchError) as refused:
        fetch("http://example.org/first", port)
    assert refused.value.reason == "refused"
    assert len(Handler.asked) == 1


def test_public_redirects_are_followed_three_times_and_no_more(port, answers):
    for step in range(5):
        answers[f"/{step}"] = (302, {"Location": f"http://cdn{step}.example.org/{step + 1}"}, [])
    hosts = {f"cdn{step}.example.org": PUBLIC for step in range(5)}
    with pytest.raises(FetchError, match="more than 3 times"):
        fetch("http://example.org/0", port, **hosts)
    assert len(Handler.asked) == 4
    answers["/3"] = answers["/chart.png"]
    assert fetch("http://example.org/0", port, **hosts)[0] == png()


def test_https_does_not_fall_back_to_http(answers):
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    answers["/first"] = (302, {"Location": "http://example.org/chart.png"}, [])
    with server(authority.issue_cert("example.org")) as port, pytest.raises(FetchError, match="https to http"):
        fetch("https://example.org/first", port, tls=trusting)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, {"Content-Type": "image/png", "Content-Length": str(10**9)}, []), "too-large"),
        ((200, {"Content-Type": "image/png"}, [b"x" * 700, b"y" * 700]), "too-large"),
        ((200, {"Content-Type": "text/html"}, [b"<html>"]), "not-an-image"),
        ((200, {"Content-Type": "image/svg+xml"}, [b"<svg/>"]), "not-an-image"),
        ((200, {"Content-Type": "image/png", "Content-Encoding": "gzip"}, [b"x"]), "not-an-image"),
        ((404, {}, []), "status"),
        ((302, {}, []), "status"),
        ((200, {"Content-Type": "image/png", "Content-Length": "50"}, [b"half"]), "unreachable"),
    ],
)
def test_what_a_server_may_answer_is_bounded(answer, reason, port, answers):
    answers["/odd"] = answer
    with pytest.raises(FetchError) as failed:
        fetch("http://example.org/odd", port, FetchLimits(max_bytes=1000))
    assert failed.value.reason == reason


def test_a_server_that_drips_is_cut_off_by_the_whole_time(port, answers):
    answers["/drip"] = (200, {"Content-Type": "image/png"}, [b"x"] * 200)  # 10 s, never silent for long
    begun = time.monotonic()
    with pytest.raises(FetchError, match="did not arrive within"):
        fetch("http://example.org/drip", port, FetchLimits(total_s=0.5, silence_s=0.3))
    assert time.monotonic() - begun < 3


def test_a_resolver_that_hangs_is_cut_off_too(port):
    async def hanging(host, port):
        await asyncio.sleep(60)

    with pytest.raises(FetchError, match="did not arrive within"):
        asyncio.run(Fetcher(FetchLimits(total_s=0.1), resolver=hanging).fetch("http://example.org/"))


def test_a_dead_address_is_followed_by_the_next_one(port):
    class FirstDead(Wire):
        async def connect_tcp(self, host, *rest, **options):
            if host == ALSO_PUBLIC:
                raise httpcore.ConnectError("refused")
            return await super().connect_tcp(host, *rest, **options)

    resolver, wire = names(**{"example.org": [[ALSO_PUBLIC, PUBLIC]]}), FirstDead(port)
    assert asyncio.run(Fetcher(resolver=resolver, connector=wire).fetch("http://example.org/chart.png")) == png()


def test_an_allow_list_is_exact_or_everything_under_a_name(port):
    hosts = ("example.org", ".arxiv.org")
    for url in ("http://example.org/", "https://export.arxiv.org/a", "http://EXAMPLE.org./"):
        assert checked_url(url, hosts=hosts)
    for url in (
        "http://evil-example.org/",
        "http://example.org.evil.net/",
        "http://arxiv.org.net/",
        "http://evilarxiv.org/",
    ):
        with pytest.raises(FetchError, match="are not fetched here"):
            checked_url(url, hosts=hosts)


def test_a_url_keeps_its_path_and_query_and_international_names_become_ascii():
    assert checked_url("https://bücher.example.org/ä?q=ü&b=1#x").url == (
        "https://xn--bcher-kva.example.org/%C3%A4?q=%C3%BC&b=1"
    )


def test_the_real_resolver_and_connector_reach_nothing_inside(port):
    """Nothing is replaced here: the name of this machine and its address lead to no connection."""
    for url in ("http://localhost/chart.png", "http://127.0.0.1/chart.png"):
        with pytest.raises(FetchError, match="no public host"):
            asyncio.run(Fetcher(FetchLimits(ports=(80, port))).fetch(url.replace("/chart", f":{port}/chart")))
    assert Handler.asked == []
