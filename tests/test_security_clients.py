"""Slow, greedy and malformed clients over raw sockets: each is cut off, and everybody else is answered meanwhile."""

import asyncio
import json
import socket
import time
from contextlib import contextmanager, suppress

import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from llava_graph.errors import ServeError
from serve.api import create_api
from serve.http import guard
from serve.http.guard import BodyTooLarge, BodyTooSlow, read_json
from serve.http.impatient import ImpatientProtocol
from serve.http.servers import MAX_HEAD, Server, bind
from serve.http.stream import Stream
from tests.serving import HTTP, ScriptedEngine, eventually, running_controller, running_worker

POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def controller():
    with running_controller() as server, running_worker(ScriptedEngine(), server.url):
        eventually(lambda: HTTP.post(server.url + "/list_models").json()["models"])
        yield server


@pytest.fixture(scope="module")
def api(controller):
    with Server(create_api(controller.url), bind("127.0.0.1", 0), "API") as server:
        yield server


@pytest.fixture
def impatient(monkeypatch):
    """Waits that a test can wait for."""
    monkeypatch.setattr(ImpatientProtocol, "head_timeout", 0.3)
    monkeypatch.setattr(ImpatientProtocol, "read_timeout", 0.3)
    monkeypatch.setattr(guard, "BODY_GRACE_S", 0.3)


@contextmanager
def connected(server):
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        yield client


def rest(client):
    """What comes until the server hangs up."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("begun", [b"", b"POST /v1/models HT", POST, POST + b"X-A: 1\r\n"])
def test_a_head_that_does_not_end_is_hung_up_on(api, impatient, begun):
    with connected(api) as client:
        client.sendall(begun)
        began = time.monotonic()
        rest(client)
        assert time.monotonic() - began < 3


def test_a_head_that_drips_is_hung_up_on_and_others_are_answered(api, impatient):
    with connected(api) as client:
        began = time.monotonic()
        assert drip(client, POST + b"a" * 100) > 3
        assert time.monotonic() - began < 3
        assert HTTP.get(api.url + "/health").status_code == 200


def drip(client, data):
    """How many bytes the server took, one every 50 ms, until it hung up; at most 60."""
    sent = 0
    with suppress(OSError):
        for sent in range(60):
            client.sendall(data[sent : sent + 1])
            time.sleep(0.05)
    assert sent < 59, "it took them all"
    return sent


def test_a_second_request_on_a_connection_may_not_drip_either(api, impatient):
    with connected(api) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in client.recv(65536)
        client.sendall(b"GET /hea")
        began = time.monotonic()
        rest(client)
        assert time.monotonic() - began < 3


def test_a_body_that_drips_is_a_request_timeout(api, impatient):
    with connected(api) as client:
        client.sendall(POST + b"Content-Length: 1000000\r\n\r\n{")
        told = client.recv(65536)
        while b"}" not in told:
            told += client.recv(65536)
    assert told.startswith(b"HTTP/1.1 408 ")
    assert json.loads(told.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


def test_a_large_body_may_take_its_time(monkeypatch):
    """A slow line is no attack: the time that a body has grows with what has come."""
    monkeypatch.setattr(guard, "BODY_GRACE_S", 0.15)
    monkeypatch.setattr(guard, "MIN_BYTES_PER_S", 1000)
    pieces = [b"[" + b"1," * 100, *[b"1," * 100] * 4, b"1]"]

    async def receive():
        await asyncio.sleep(0.1)
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    scope = {"type": "http", "method": "POST", "headers": []}
    assert len(asyncio.run(read_json(Request(scope, receive)))) == 501


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"x" * 2000, BodyTooLarge), (None, BodyTooSlow), (b"[" * 900, ServeError), (b"\xff\xfe", ServeError)],
)
def test_a_body_is_bounded_in_bytes_time_and_depth(body, error, monkeypatch):
    monkeypatch.setattr(guard, "BODY_GRACE_S", 0.05)

    async def receive():
        if body is None:
            await asyncio.sleep(5)
        return {"type": "http.request", "body": body, "more_body": False}

    with pytest.raises(error):
        asyncio.run(read_json(Request({"type": "http", "method": "POST", "headers": []}, receive), 1000))


@pytest.mark.parametrize(
    "body", [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b"1" * 100_000, b"NaN", b"\x00"]
)
def test_deeply_nested_and_odd_json_is_a_bad_request_everywhere(api, controller, body):
    address = HTTP.post(controller.url + "/get_worker_address", json={"model": "scripted"}).json()["address"]
    for url in (api.url + "/v1/chat/completions", controller.url + "/register_worker", address + "/worker_generate"):
        answer = HTTP.post(url, content=body)
        told = answer.json()
        assert answer.status_code == 400 or told["error_code"] == 40001, (url, answer.status_code)
    assert HTTP.get(api.url + "/health").status_code == 200


def test_a_huge_head_is_refused(api):
    with connected(api) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * (2 * MAX_HEAD))
        assert rest(client).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\nb\r\n\r\n",
        b"POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
        b"GET /v1/models HTTP/1.1\r\nHost : x\r\n\r\n",
    ],
)
def test_smuggled_requests_are_refused(api, request_):
    with connected(api) as client:
        client.sendall(request_)
        client.shutdown(socket.SHUT_WR)
        told = rest(client)
    assert told.count(b"HTTP/1.1 ") <= 1, "one request, one answer"
    assert b"llava_graph_api" not in told


def test_a_client_that_reads_nothing_is_cut_off_and_its_generator_closed(impatient):
    closed = asyncio.Event()

    async def endless():
        try:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)
        finally:
            closed.set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Stream(endless())(scope, receive, send)

    with Server(app, bind("127.0.0.1", 0), "stream") as server, connected(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(closed.is_set, 5)
        eventually(lambda: not server._uvicorn.server_state.connections, 5)


def test_many_slow_clients_leave_nothing_behind(api, impatient):
    clients = []
    try:
        for _ in range(100):
            client = socket.create_connection(api.url.removeprefix("http://").split(":"), timeout=5)
            client.sendall(POST)
            clients.append(client)
        assert HTTP.get(api.url + "/health").status_code == 200
        eventually(lambda: len(api._uvicorn.server_state.connections) <= 2)
    finally:
        for client in clients:
            client.close()


def test_the_server_does_not_say_what_it_is_built_of(api):
    assert "server" not in HTTP.get(api.url + "/health").headers
