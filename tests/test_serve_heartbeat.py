"""How a worker keeps its controller informed: soon known after a restart, sparing with FastChat's, never silent for good."""

import asyncio
import time
from contextlib import suppress

import httpx

from serve.http.servers import Server, address_of, bind
from serve.protocol.workers import CONTROLLER, WorkerStatus
from serve.worker.answering import WorkerOptions
from serve.worker.app import create_worker
from serve.worker.heartbeat import Heartbeat
from tests.serving import HTTP, ScriptedEngine, eventually, running_controller


async def status():
    return WorkerStatus(("m",))


def beat_for(seconds, heartbeat, told=status):
    async def run():
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await heartbeat.run(told)

    asyncio.run(run())


def models(controller):
    return HTTP.post(controller.url + "/list_models").json()["models"]


def test_a_restarted_controller_knows_its_workers_within_five_seconds_at_the_usual_interval():
    """No heartbeat falls into the outage: only asking often shows that the controller is another one."""
    sock = bind("127.0.0.1", 0)
    with running_controller() as first:
        beat = Heartbeat(first.url, address_of(sock))
        with Server(create_worker(ScriptedEngine(), WorkerOptions(), heartbeat=beat), sock, "worker"):
            eventually(lambda: models(first) == ["scripted"])
            first.stop()
            with running_controller(port=int(first.url.rpartition(":")[2])) as second:
                eventually(lambda: models(second) == ["scripted"], seconds=5)


def seen_by(controller_headers, monkeypatch):
    """The paths that a controller hears in 1.5 s, of a worker that beats to one of ours every 0.2 s."""
    monkeypatch.setattr("serve.worker.heartbeat.CLOSELY_S", 0.2)
    seen = []

    def controller(request):
        seen.append(request.url.path)
        return httpx.Response(200, json={"exist": True}, headers=controller_headers)

    beat_for(1.5, Heartbeat("http://c", "http://w", transport=httpx.MockTransport(controller)))
    return seen


def test_a_controller_of_ours_hears_often_and_fastchats_hears_its_own_interval(monkeypatch):
    ours = seen_by({CONTROLLER: "1"}, monkeypatch)
    assert ours[0] == "/register_worker"
    assert ours[1:].count("/receive_heart_beat") == len(ours) - 1 >= 3
    assert seen_by({}, monkeypatch) == ["/register_worker"]


def test_a_worker_that_its_controller_has_forgotten_registers_at_once():
    seen = []

    def controller(request):
        seen.append((request.url.path, time.monotonic()))
        return httpx.Response(200, json={"exist": False})

    beat_for(0.5, Heartbeat("http://c", "http://w", interval=0.1, retry=60, transport=httpx.MockTransport(controller)))
    paths = [path for path, _ in seen]
    assert paths[:3] == ["/register_worker", "/receive_heart_beat", "/register_worker"]


def test_an_error_that_nobody_thought_of_is_logged_and_the_worker_registers_later(caplog):
    failures = [RuntimeError("who knows"), UnicodeEncodeError("ascii", "é", 0, 1, "no")]
    seen = []

    def controller(request):
        seen.append(request.url.path)
        return httpx.Response(200, json={"exist": True})

    async def failing():
        if failures:
            raise failures.pop()
        return await status()

    beat = Heartbeat("http://c", "http://w", retry=0.05, transport=httpx.MockTransport(controller))
    beat_for(1, beat, failing)
    assert seen == ["/register_worker"]
    assert caplog.text.count("heartbeat has failed") == 2
