"""What breaks between client and model: clients that give up, workers that die, a controller that goes away."""

import asyncio
import gc
import json

import httpx
import pytest

from serve.api import create_api
from serve.http.servers import Server, bind
from tests.serving import HTTP, ScriptedEngine, eventually, running_controller, running_worker

ASK = {"model": "scripted", "messages": [{"role": "user", "content": "What?"}]}


def gauge(api, name):
    lines = HTTP.get(api.url + "/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"llava_graph_api_{name} ")).split()[-1])


def test_a_model_whose_only_worker_has_died_is_away_and_not_unknown():
    """OpenAI's clients ask again after a 503, never after a 404."""
    with (
        running_controller(probe_every=0.2) as controller,
        Server(create_api(controller.url), bind("127.0.0.1", 0), "API") as api,
    ):
        with running_worker(ScriptedEngine(), controller.url):
            eventually(lambda: registered(controller))
            assert HTTP.post(api.url + "/v1/chat/completions", json=ASK).status_code == 200
        eventually(lambda: not registered(controller))
        with Server(create_api(controller.url), bind("127.0.0.1", 0), "a new API, which has seen nothing") as new:
            for server in (api, new):
                for answer in (
                    HTTP.post(server.url + "/v1/chat/completions", json=ASK),
                    HTTP.get(server.url + "/v1/models/scripted"),
                ):
                    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_worker"), answer.text
                    assert int(answer.headers["retry-after"]) > 0
                unknown = HTTP.post(server.url + "/v1/chat/completions", json={**ASK, "model": "nobody"})
                assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
        controller.stop()
        with running_controller(port=int(controller.url.rpartition(":")[2])):
            answer = HTTP.post(api.url + "/v1/chat/completions", json=ASK)
            assert answer.status_code == 503, "a controller that has just started knows nobody yet; the API does"


def registered(controller):
    return HTTP.post(controller.url + "/list_models").json()["models"]


# A connection that is cancelled in the moment in which it stands is lost in anyio's connect_tcp until the collector finds it;
# the server at its other end hangs up on it after HEAD_TIMEOUT_S.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("n", [1, 2])
def test_a_crowd_of_clients_that_give_up_leaves_nothing_behind(n):
    """In the queue, before the first word and in the middle; streamed and not."""
    engine = ScriptedEngine(pause=0.02, words=("word",) * 200)
    with (
        running_controller() as controller,
        running_worker(engine, controller.url, limit_worker_concurrency=4, max_waiting=1000),
        Server(create_api(controller.url), bind("127.0.0.1", 0), "API") as api,
    ):
        eventually(lambda: registered(controller))

        async def give_up(client, number):
            body = {**ASK, "n": n, "stream": number % 2 == 0}
            patience = httpx.Timeout(10, read=0.02 + 0.01 * (number % 20))
            try:
                async with client.stream(
                    "POST", api.url + "/v1/chat/completions", json=body, timeout=patience
                ) as answer:
                    async for _ in answer.aiter_bytes():
                        if number % 3 == 0:
                            return
            except httpx.TimeoutException:
                return

        async def crowd():
            limits = httpx.Limits(max_connections=50)
            async with httpx.AsyncClient(trust_env=False, verify=False, limits=limits) as client:
                await asyncio.gather(*(give_up(client, number) for number in range(150)))

        asyncio.run(crowd())
        eventually(lambda: engine.running == 0 and engine.queue_length == 0)
        eventually(lambda: gauge(api, "requests_running") == 0 and gauge(api, "requests_queued") == 0)
        # One is the request that asks.
        eventually(lambda: len(api._uvicorn.server_state.tasks) <= 1)
        engine.words, engine.pause = ("fine",), 0
        answer = HTTP.post(api.url + "/v1/chat/completions", json=ASK).json()
        assert answer["choices"][0]["message"]["content"] == "fine"
    gc.collect()


def test_a_worker_that_dies_in_the_middle_stands_in_the_stream_and_the_next_request_finds_another():
    dying, other = ScriptedEngine(pause=0.05, words=("word",) * 500), ScriptedEngine(words=("from", "the", "other"))
    with running_controller() as controller, Server(create_api(controller.url), bind("127.0.0.1", 0), "API") as api:
        with running_worker(dying, controller.url) as worker:
            eventually(lambda: registered(controller))
            url = api.url + "/v1/chat/completions"
            with HTTP.stream("POST", url, json={**ASK, "stream": True}) as answer:
                lines = answer.iter_lines()
                seen = [next(lines) for _ in range(8)]
                worker.stop()
                seen += lines
        last = [line for line in seen if line][-1]
        error = json.loads(last.removeprefix("data: "))["error"]
        assert error["code"] in ("no_worker", "internal_error", "timeout")
        assert error["message"]
        with running_worker(other, controller.url):
            eventually(lambda: registered(controller))
            told = HTTP.post(url, json=ASK).json()
            assert told["choices"][0]["message"]["content"] == "from the other"


def test_a_controller_that_comes_back_is_used_again():
    engine = ScriptedEngine()
    with running_controller() as first:
        port = int(first.url.rsplit(":", 1)[1])
        with Server(create_api(first.url), bind("127.0.0.1", 0), "API") as api, running_worker(engine, first.url):
            url = api.url + "/v1/chat/completions"
            eventually(lambda: registered(first))
            assert HTTP.post(url, json=ASK).status_code == 200
            first.stop()
            gone = HTTP.post(url, json=ASK)
            assert gone.status_code == 504
            assert "controller" in gone.json()["error"]["message"]
            with running_controller(port=port) as second:
                eventually(lambda: registered(second))
                assert HTTP.post(url, json=ASK).status_code == 200
