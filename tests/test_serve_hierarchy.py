"""Controllers that are each other's workers: nobody hears of himself, and a dead worker is dead for all of them."""

import json
from contextlib import ExitStack

import pytest

from llava_graph.errors import ServeError
from serve.controller.registry import Registry
from serve.protocol.workers import Registration, Route, WorkerStatus
from tests.serving import HTTP, ScriptedEngine, eventually, running_controller, running_worker


def post(server, path, **body):
    return HTTP.post(server.url + path, json=body).json()


def models(controller):
    return post(controller, "/list_models")["models"]


def register(below, above):
    body = {"worker_name": below.url, "check_heart_beat": False, "worker_status": None, "multimodal": True}
    return HTTP.post(above.url + "/register_worker", json=body)


def test_a_controller_is_no_worker_of_its_own_under_any_name():

    def refuses(controller):
        port = controller.url.rpartition(":")[2]
        for address in (controller.url, f"http://localhost:{port}"):
            body = {"worker_name": address, "check_heart_beat": False, "worker_status": None, "multimodal": True}
            refused = HTTP.post(controller.url + "/register_worker", json=body)
            assert (refused.status_code, refused.json()["error_code"]) == (401, 40103)
            assert "no worker of its own" in refused.json()["text"]

    with running_controller(probe_every=0.2) as controller:
        refuses(controller)
        with running_worker(ScriptedEngine(), controller.url):
            eventually(lambda: models(controller))
            refuses(controller)
            assert HTTP.get(controller.url + "/health").json()["workers"] == 1


def test_a_worker_whose_address_has_become_this_controllers_is_forgotten():
    registry = Registry()
    with running_controller(registry, probe_every=0.1) as controller:
        registry.register(Registration(controller.url, False), WorkerStatus(("m",)))
        eventually(lambda: registry.known() == ())


@pytest.mark.parametrize("count", [2, 3])
def test_a_circle_of_controllers_forgets_a_dead_worker_and_counts_nothing_twice(count):
    with ExitStack() as stack:
        circle = [stack.enter_context(running_controller(probe_every=0.2)) for _ in range(count)]
        with (
            running_worker(ScriptedEngine(), circle[0].url, model_names=("first",)),
            running_worker(ScriptedEngine(), circle[1].url, model_names=("second",)),
        ):
            eventually(lambda: models(circle[0]) and models(circle[1]))
            for number, controller in enumerate(circle):
                register(controller, circle[(number + 1) % count])
                register(circle[(number + 1) % count], controller)
            for controller in circle:
                eventually(lambda controller=controller: models(controller) == ["first", "second"])
                said = post(controller, "/model_details", model="second")
                assert said["name"] == "second"
        for controller in circle:
            eventually(lambda controller=controller: models(controller) == [], seconds=15)


def test_the_speed_of_two_that_are_each_others_workers_does_not_grow():
    one, two = Registry(), Registry()
    with (
        running_controller(one) as first,
        running_controller(two) as second,
        running_worker(ScriptedEngine(), first.url),
        running_worker(ScriptedEngine(), second.url),
    ):
        eventually(lambda: models(first) and models(second))
        register(second, first)
        register(first, second)
        for _ in range(3):
            post(first, "/refresh_all_workers")
            post(second, "/refresh_all_workers")
        assert (one.status().speed, two.status().speed) == (2, 2)


def test_a_request_is_not_sent_back_to_a_controller_that_it_has_passed():
    """Both have a worker of the same name: however busy that one is, the request goes to it and not round in circles."""
    engine, one, two = ScriptedEngine(), Registry(), Registry()
    with (
        running_controller(one) as first,
        running_controller(two) as second,
        running_worker(engine, second.url) as worker,
        running_worker(ScriptedEngine(), first.url) as other,
    ):
        eventually(lambda: models(first) and models(second))
        register(second, first)
        register(first, second)
        one.heart_beat(other.url, 50)
        two.heart_beat(worker.url, 50)
        assert one.address_of("scripted") == second.url
        assert two.address_of("scripted") == first.url
        assert two.leading_back("scripted", [one.id]) == [first.url]
        assert post(first, "/worker_generate", model="scripted", prompt="Q")["error_code"] == 0
        assert len(engine.requests) == 1


def test_what_a_controller_has_from_the_one_that_asks_is_left_out():
    own, through = Route((), ("own", "both"), 1, 2), Route(("x", "asker"), ("theirs", "both"), 5, 7)
    status = WorkerStatus(("both", "own", "theirs"), 6, 9, "c", (own, through))
    assert WorkerStatus.from_json(json.loads(json.dumps(status.to_json()))) == status
    assert status.without("asker") == WorkerStatus(("both", "own"), 1, 2, "c", (own,))
    with pytest.raises(ServeError, match="nothing that it does not have from here"):
        WorkerStatus(("theirs",), 5, 7, "c", (through,)).without("x")
    plain = WorkerStatus(("m",), 1, 0)
    assert plain.without("asker") is plain
    assert plain.to_json() == {"model_names": ["m"], "speed": 1, "queue_length": 0}, (
        "a worker says what FastChat's says"
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"controller": 7},
        {"routes": 7},
        {"routes": {"path": []}},
        {"routes": [7]},
        {"routes": [{}] * 300},
        {"routes": [{"path": [], "model_names": ["m"], "speed": 0}]},
        {"routes": [{"path": [[]], "model_names": ["m"]}]},
        {"routes": [{"path": [], "model_names": "m"}]},
    ],
)
def test_a_controllers_word_is_read_strictly(odd):
    with pytest.raises(ServeError):
        WorkerStatus.from_json({"model_names": ["m"], "controller": "c", "routes": []} | odd)
