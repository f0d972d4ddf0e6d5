"""The page under attack: files named in events, uploads that are two things at once, and text that wants to be more than text.

Without a browser; what a browser does with all of it is in tests/test_web_page.py and tests/test_web_viewer.py.
"""

import asyncio
import io
import json
import re
import tempfile
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image, PngImagePlugin

from llava_graph.errors import ServeError
from serve.client import ModelClient
from serve.http import guard
from serve.http.servers import Server, bind
from serve.web import create_web, uploads
from serve.web.banner import error_banner
from serve.web.figure.opening import open_figure
from serve.web.models.finding import find_models
from tests.serving import HTTP, png

API = "/gradio_api"


@pytest.fixture(scope="module")
def site():
    with Server(create_web("http://127.0.0.1:9"), bind("127.0.0.1", 0), "web page") as server:
        yield server


@pytest.fixture(scope="module")
def events(site):
    """(number, api name) of every event that takes an uploaded file or any other value."""
    return [(call["id"], call["api_name"]) for call in HTTP.get(site.url + "/config").json()["dependencies"]]


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(png(123, 77))
    return path


def named(path):
    return {"path": path, "url": None, "orig_name": "x.png", "meta": {"_type": "gradio.FileData"}}


def test_no_event_of_the_page_can_be_called_with_a_file_that_was_not_uploaded(site, events, secret):
    """Also not through gradio's other doors, by an event's own name: `upload` is one (/gradio_api/call/upload)."""
    assert "upload" in {name for _, name in events}
    for number, name in events:
        body = {"data": [named(str(secret))], "fn_index": number, "session_hash": "attack"}
        assert HTTP.post(site.url + API + "/queue/join", json=body).status_code == 403, name
        assert HTTP.post(site.url + API + f"/call/{name}", json=body).status_code == 403, name
    for path in (str(secret), "http://169.254.169.254/x.png"):
        body = {"data": [named(path)], "fn_index": 2, "session_hash": "attack"}
        for door in ("/run/upload", "/api/upload", "/call/upload", "/call/upload/", "/call/v2/upload", "/queue/join/"):
            assert HTTP.post(site.url + API + door, json=body).status_code == 403, (door, path)


def test_a_file_may_hide_at_any_depth_and_under_any_neighbour(site, secret):
    for hidden in (
        [[[[named(str(secret))]]]],
        {"a": {"b": [{"c": named(str(secret))}]}},
        {"path": str(secret)},
        [{"image": {"path": f"{tempfile.gettempdir()}/gradio/../{secret.name}"}}],
        [{"file": {"path": "file:///etc/passwd"}}],
        [{"path": {"path": str(secret)}}],
    ):
        body = {"data": hidden, "fn_index": 2, "session_hash": "attack"}
        assert HTTP.post(site.url + API + "/queue/join", json=body).status_code == 403


def test_only_json_gets_through_and_only_to_the_doors_that_the_page_uses(site, secret):
    form = {"data": (None, json.dumps([named(str(secret))])), "fn_name": (None, "x"), "component_id": (None, "1")}
    assert HTTP.post(site.url + API + "/component_server", files=form).status_code == 400
    assert HTTP.post(site.url + API + "/queue/join", content=b"[" * 100_000).status_code == 400
    assert HTTP.post(site.url + API + "/queue/join", content=b"\x00").status_code == 400
    for door in (
        "/process_recording",
        "/stream/x",
        "/vibe-edit",
        "/vibe-code",
        "/run-history/connect",
        "/login",
        "/upload/x",
    ):
        assert HTTP.post(site.url + API + door, json={}).status_code == 403, door
    for method in ("PUT", "DELETE", "PATCH"):
        assert HTTP.request(method, site.url + API + "/upload", content=b"x").status_code == 403


def test_get_gives_out_no_file_and_no_url(site, secret):
    for door in (
        f"/file={secret}", "/file=/etc/passwd", "/file=../../../etc/passwd", "/file=http://169.254.169.254/latest",
        "/file=file:///etc/passwd", "/proxy=http://127.0.0.1:9/x", "/proxy=https://evil.hf.space.example.com/",
        "/static/../../../etc/passwd", "/custom_component/1/component/x/..%2f..%2fetc%2fpasswd",
    ):  # fmt: skip
        answer = HTTP.get(site.url + API + door)
        assert answer.status_code >= 400, door
        assert b"root:" not in answer.content
        assert answer.content != secret.read_bytes()
    for told in ("/monitoring", "/openapi.json", "/docs", "/redoc"):
        assert HTTP.get(site.url + told).status_code >= 400, told
    assert HTTP.get(site.url + API + "/info").json()["named_endpoints"] == {}, "no event is offered as an API"


def polyglot(kind):
    """A picture that is also a page, a script or an archive."""
    image, buffer = Image.new("RGB", (64, 48), "white"), io.BytesIO()
    payload = b"<html><script>alert(1)</script></html>"
    if kind == "png with a page behind":
        image.save(buffer, "PNG")
        return buffer.getvalue() + payload
    if kind == "png with a script in its text":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", payload.decode())
        image.save(buffer, "PNG", pnginfo=text)
        return buffer.getvalue()
    if kind == "jpeg with a page in its comment":
        image.save(buffer, "JPEG", comment=payload)
        return buffer.getvalue()
    image.save(buffer, "GIF")
    return buffer.getvalue() + b"*/=1;alert(1)//"


POLYGLOTS = (
    "png with a page behind",
    "png with a script in its text",
    "jpeg with a page in its comment",
    "gif with a script behind",
)


@pytest.mark.parametrize("kind", POLYGLOTS)
def test_of_a_polyglot_only_the_pixels_go_on(kind, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(polyglot(kind))
    reading = open_figure(str(path))
    figure = reading.session.figure
    assert (figure.width, figure.height) == (64, 48)
    for made in (figure.image, json.dumps(reading.view).encode()):
        assert b"alert" not in made
        assert b"<script" not in made


@pytest.mark.parametrize(
    "name",
    [
        "x.html",
        "x.svg",
        "x.png",
        "x.js",
        "x.xml",
        "x.pdf",
        "x.exe",
        "..%2f..%2fx.html",
        "a/../x.html",
        "x.html\x00.png",
    ],
)
def test_an_upload_is_never_given_back_as_a_page_or_a_script(site, name):
    page = b"<html><script>alert(1)</script></html>"
    stored = HTTP.post(site.url + API + "/upload", files={"files": (name, page, "text/html")})
    if stored.status_code >= 400:
        return
    (path,) = stored.json()
    folder = Path(tempfile.gettempdir()) / "gradio"
    assert Path(path).resolve().is_relative_to(folder.resolve()), "its name led nowhere else"
    answer = HTTP.get(site.url + API + "/file=" + path)
    kind = answer.headers.get("content-type", "")
    harmless = kind.startswith(("image/", "application/octet-stream", "application/pdf")) and "svg" not in kind
    attached = answer.headers.get("content-disposition", "").startswith("attachment")
    assert answer.status_code >= 400 or attached or harmless, (name, kind)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "image"),
        (b"%PDF-1.7\n", "image"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "image"),
        (png(1, 1), "8"),
    ],
)
def test_what_is_no_picture_of_a_figure_is_refused_in_words(data, said, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(data)
    reading = open_figure(str(path))
    assert reading.session.figure is None
    assert said in reading.banner


def test_an_upload_that_drips_ends(monkeypatch):
    """As every other body; gradio itself would wait for ever."""
    monkeypatch.setattr(guard, "BODY_GRACE_S", 0.3)
    import socket

    with Server(create_web("http://127.0.0.1:9"), bind("127.0.0.1", 0), "web page") as site:
        for path, head in (
            ("/upload", "Content-Type: multipart/form-data; boundary=x"),
            ("/queue/join", "Content-Type: application/json"),
        ):
            with socket.create_connection(site.url.removeprefix("http://").split(":"), timeout=10) as client:
                client.sendall(
                    f"POST {API}{path} HTTP/1.1\r\nHost: x\r\n{head}\r\nContent-Length: 100000\r\n\r\n".encode()
                )
                began = time.monotonic()
                client.recv(65536)
                assert time.monotonic() - began < 3


def test_uploads_do_not_fill_the_disk(site, monkeypatch):
    picture = {"files": ("x.png", png(), "image/png")}
    assert HTTP.post(site.url + API + "/upload", files=picture).status_code == 200
    monkeypatch.setattr(uploads, "MIN_FREE", 2**60)
    assert HTTP.post(site.url + API + "/upload", files=picture).status_code == 507


def test_the_policy_of_the_page_lets_nothing_out(site):
    for door in ("/", API + "/info", "/config", "/no/such/page"):
        policy = HTTP.get(site.url + door).headers["content-security-policy"]
        directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert directives["default-src"] == "'self'"
        assert directives["object-src"] == "'none'"
        assert directives["frame-ancestors"] == "'self'"
        assert directives["form-action"] == "'self'"
        for sources in directives.values():
            assert not re.search(r"https?:|\*|wss?:", sources), "no other server, for anything"


def test_what_a_hostile_worker_calls_itself_stays_text():
    """Its name, what it says of itself, and its errors reach the page of everybody."""
    evil = "<img src=x onerror=alert(1)>"

    def worker(request):
        path = request.url.path
        if path == "/list_models":
            return httpx.Response(200, json={"models": [evil, "b"]})
        if path == "/get_worker_address":
            return httpx.Response(200, json={"address": "http://w"})
        return httpx.Response(200, json={"about": evil, "context_length": 9, "chat_template": "x"})

    found = asyncio.run(find_models(ModelClient("http://c", transport=httpx.MockTransport(worker))))
    for shown in (found.line, found.cards, error_banner(ServeError(evil, next_step=evil))):
        assert "<img" not in shown
        assert "&lt;img" in shown
