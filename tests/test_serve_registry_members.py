"""How workers come and go at a running controller: asked before they are believed, gone within seconds, back by themselves."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from serve.controller.admission import Admission
from serve.controller.app import create_controller
from serve.controller.registry import Registry
from serve.http.servers import Server, bind
from serve.protocol.workers import Registration, WorkerStatus
from serve.worker.heartbeat import Heartbeat
from tests.serving import HTTP, ScriptedEngine, eventually, running_controller, running_worker

ROOT = Path(__file__).parent.parent
SCRIPTED = """
import sys
from tests.serving import ScriptedEngine, running_worker
from serve.http.servers import wait_for_signal
with running_worker(ScriptedEngine(pause=0.05, words=("word",) * 400), sys.argv[1]) as server:
    print(server.url, flush=True)
    wait_for_signal([server])
"""


def post(url, path, **body):
    return HTTP.post(url + path, json=body)


def models(controller):
    return post(controller.url, "/list_models").json()["models"]


@contextmanager
def worker_process(controller):
    """A worker in a process of its own."""
    command = [sys.executable, "-c", SCRIPTED, controller.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            url = process.stdout.readline().strip()
            eventually(lambda: models(controller) == ["scripted"])
            yield process, url
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


@pytest.fixture
def controller():
    with running_controller(probe_every=0.2) as server:
        yield server


def test_a_killed_worker_is_offered_no_more_within_a_probe_and_its_stream_ends_in_a_clear_message(controller):
    with worker_process(controller) as (process, _):
        body = {"model": "scripted", "prompt": "Q"}
        with HTTP.stream("POST", controller.url + "/worker_generate_stream", json=body) as response:
            pieces = response.iter_bytes()
            next(pieces)
            process.kill()
            last = b"".join(pieces).split(b"\0")[-2]
        assert json.loads(last)["error_code"] == 50006
        assert "stopped in the middle" in json.loads(last)["text"]
        eventually(lambda: models(controller) == [], seconds=5)
        assert post(controller.url, "/get_worker_address", model="scripted").json() == {"address": ""}
        health = HTTP.get(controller.url + "/health").json()
        assert health == {"status": "ok", "workers": 0, "unreachable": 1, "models": []}


def test_a_hanging_worker_is_offered_no_more_and_is_back_when_it_wakes(controller):
    with worker_process(controller) as (process, _):
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: models(controller) == [], seconds=5)
        process.send_signal(signal.SIGCONT)
        eventually(lambda: models(controller) == ["scripted"], seconds=5)


def test_a_worker_that_ends_signs_off_at_once():
    with running_controller(probe_every=60) as controller, worker_process(controller) as (process, _):
        process.terminate()
        assert process.wait(10) == 0
        assert models(controller) == []
        assert HTTP.get(controller.url + "/health").json()["unreachable"] == 0


def test_a_worker_that_listens_after_it_has_registered_is_taken_in(controller):
    """FastChat's model worker registers from its constructor."""
    sock = bind("127.0.0.1", 0)
    address = f"http://127.0.0.1:{sock.getsockname()[1]}"
    sock.close()
    status = {"model_names": ["scripted"], "speed": 1, "queue_length": 0}
    registered = post(
        controller.url, "/register_worker", worker_name=address, check_heart_beat=True, worker_status=status
    )
    assert (registered.status_code, registered.json()) == (200, None)
    assert models(controller) == []
    assert post(controller.url, "/receive_heart_beat", worker_name=address, queue_length=0).json() == {"exist": True}
    with running_worker(ScriptedEngine(), port=int(address.rpartition(":")[2])):
        eventually(lambda: models(controller) == ["scripted"])


def test_a_worker_that_the_controller_cannot_reach_says_so(controller, caplog):
    """Its address is wrong, or a firewall stands between them: the one line that its operator needs."""

    async def status():
        return WorkerStatus(("m",))

    async def beat():
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await Heartbeat(controller.url, "http://127.0.0.1:59998").run(status)

    asyncio.run(beat())
    assert (
        "the controller cannot reach this worker at http://127.0.0.1:59998 yet; is --worker-address right?"
        in caplog.text
    )
    assert models(controller) == []


def test_an_address_that_is_refused_is_never_called():
    """Not even to ask it for its status, which a registration without one would make a controller do."""
    called = []

    def transport(request):
        called.append(str(request.url))
        return httpx.Response(500)

    app = create_controller(admission=Admission(token="t"), transport=httpx.MockTransport(transport))
    with Server(app, bind("127.0.0.1", 0), "controller") as controller:
        for address in ("http://169.254.169.254/latest", "http://10.0.0.1:22", "http://[::ffff:169.254.169.254]"):
            body = {"worker_name": address, "check_heart_beat": False, "worker_status": None}
            answer = HTTP.post(controller.url + "/register_worker", json=body, headers={"Authorization": "Bearer t"})
            assert answer.json()["error_code"] == 40103
        HTTP.post(controller.url + "/refresh_all_workers")
    assert called == []


@pytest.mark.parametrize(
    "status",
    [
        b"[" * 100_000,
        b"{}",
        b"x" * 2_000_000,
        b'{"model_names": ["a\\u0000"]}',
        b'{"model_names": ["a/../b"]}',
        b"\xff",
    ],
)
def test_a_worker_that_answers_nonsense_stays_out(status):
    app = create_controller(transport=httpx.MockTransport(lambda request: httpx.Response(200, content=status)))
    with Server(app, bind("127.0.0.1", 0), "controller") as controller:
        answer = post(controller.url, "/register_worker", worker_name="http://127.0.0.1:21002", check_heart_beat=True)
        assert (answer.status_code, models(controller)) == (200, [])


def test_what_a_worker_registers_must_be_what_it_serves(controller):
    with running_worker(ScriptedEngine()) as worker:
        status = {"model_names": ["gpt-4"], "speed": 1, "queue_length": 0}
        refused = post(controller.url, "/register_worker", worker_name=worker.url, worker_status=status)
        assert (refused.status_code, refused.json()["error_code"]) == (403, 40301)
        assert "registers gpt-4 and serves scripted" in refused.json()["text"]
        assert models(controller) == []


def test_a_registration_that_waits_for_its_worker_does_not_hold_up_the_others():
    """A port that takes connections and says nothing: its caller hears after two seconds, everybody else at once."""
    with (
        running_controller() as controller,
        socket.create_server(("127.0.0.1", 0)) as silent,
        running_worker(ScriptedEngine()) as worker,
    ):
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        waiting = threading.Thread(target=lambda: post(controller.url, "/register_worker", worker_name=address))
        waiting.start()
        post(controller.url, "/register_worker", worker_name=worker.url)
        assert models(controller) == ["scripted"]
        assert waiting.is_alive()
        waiting.join()


def test_controllers_above_controllers_answer_everything_that_a_worker_does():
    engine = ScriptedEngine()
    with running_controller() as top, running_controller() as below, running_worker(engine, below.url) as worker:
        eventually(lambda: models(below))
        post(top.url, "/register_worker", worker_name=below.url, check_heart_beat=False, worker_status=None)
        address = post(top.url, "/get_worker_address", model="scripted").json()["address"]
        assert address == below.url
        for path, body in (
            ("/model_details", {}),
            ("/worker_get_conv_template", {}),
            ("/count_token", {"prompt": "a b c"}),
            ("/worker_generate", {"prompt": "Q", "echo": False}),
            ("/worker_get_embeddings", {"input": ["a"]}),
        ):
            through = post(top.url, path, model="scripted", **body)
            assert through.json() == post(worker.url, path, model="scripted", **body).json(), path
        unknown = post(top.url, "/model_details", model="other")
        assert (unknown.status_code, unknown.json()["error_code"]) == (500, 50005)


def test_two_controllers_that_are_each_others_workers_pass_nothing_on_for_ever():
    one, two = Registry(), Registry()
    with running_controller(one) as first, running_controller(two) as second:
        one.register(Registration(second.url, False), WorkerStatus(("m",)))
        two.register(Registration(first.url, False), WorkerStatus(("m",)))
        answer = post(first.url, "/worker_generate_stream", model="m", prompt="Q")
        assert "each other's workers" in json.loads(answer.content[:-1])["text"]
        assert "each other's workers" in post(first.url, "/model_details", model="m").json()["text"]


def test_a_controllers_numbers_are_given_to_prometheus(controller):
    with running_worker(ScriptedEngine(), controller.url):
        eventually(lambda: models(controller))
        told = HTTP.get(controller.url + "/metrics").text
    assert 'llava_graph_controller_requests_total{route="/register_worker",status="200"} 1.0' in told


def test_a_controller_restarted_in_the_middle_of_an_answer_leaves_it_alone():
    """The client is connected with the worker; the worker finds the new controller by itself."""
    engine = ScriptedEngine(words=("word",) * 60, pause=0.02)
    with running_controller() as first, running_worker(engine, first.url) as worker:
        eventually(lambda: models(first))
        with HTTP.stream(
            "POST", worker.url + "/worker_generate_stream", json={"prompt": "Q", "echo": False}
        ) as response:
            pieces = response.iter_bytes()
            begun = next(pieces)
            first.stop()
            with running_controller(port=int(first.url.rsplit(":", 1)[1])) as second:
                last = json.loads((begun + b"".join(pieces)).split(b"\0")[-2])
                assert (last["error_code"], last["finish_reason"], last["text"].count("word")) == (0, "stop", 60)
                eventually(lambda: models(second) == ["scripted"])


def test_one_controller_serves_many_registrations_at_once():
    app_engine = ScriptedEngine()
    with running_controller() as controller, running_worker(app_engine, model_names=("a", "b")) as worker:
        threads = [
            threading.Thread(target=lambda: post(controller.url, "/register_worker", worker_name=worker.url))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert models(controller) == ["a", "b"]
        assert HTTP.get(controller.url + "/health").json()["workers"] == 1
