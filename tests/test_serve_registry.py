"""The registry alone, with a clock of ours."""

import random
import threading
from collections import Counter
from dataclasses import replace

import pytest

from llava_graph.errors import InputError, ServeError
from serve.controller.admission import HostList
from serve.controller.registry import Registry
from serve.protocol.workers import Registration, WorkerStatus


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def registry(dispatch="shortest_queue", clock=None, replicas="a,b,fast,slow"):
    return Registry(
        dispatch,
        expire_after=90,
        clock=clock or Clock(),
        rng=random.Random(0),
        replica_hosts=HostList.parse(replicas),
    )


def add(reg, address, *models, speed=1.0, queue=0, beats=True, multimodal=True):
    registration = Registration(address, beats, None, multimodal)
    return reg.register(registration, WorkerStatus(models or ("m",), speed, queue))


def test_a_worker_is_offered_until_its_expiry_and_not_a_moment_longer():
    clock = Clock()
    reg = registry(clock=clock)
    add(reg, "http://a")
    clock.now = 90
    assert reg.address_of("m") == "http://a"
    clock.now = 90.1
    assert reg.address_of("m") == ""
    assert reg.models() == []
    assert not reg.heart_beat("http://a", 0), "it must register again"


def test_a_heartbeat_keeps_it_and_brings_the_queue_length():
    clock = Clock()
    reg = registry(clock=clock)
    add(reg, "http://a")
    for now in range(45, 450, 45):
        clock.now = now
        assert reg.heart_beat("http://a", 3)
    told = reg.status()
    assert (told.model_names, told.speed, told.queue_length) == (("m",), 1, 3)


def test_one_without_heartbeats_never_expires():
    clock = Clock()
    reg = registry(clock=clock)
    add(reg, "http://a", beats=False)
    clock.now = 1e9
    assert reg.address_of("m") == "http://a"


def test_an_unknown_worker_is_told_to_register_and_is_then_known():
    reg = registry()
    assert not reg.heart_beat("http://a", 0)
    assert add(reg, "http://a") is True
    assert add(reg, "http://a") is False
    assert reg.heart_beat("http://a", 0)


def test_registering_again_replaces_the_models():
    reg = registry()
    add(reg, "http://a", "old")
    add(reg, "http://a", "new")
    assert reg.models() == ["new"]


def test_shortest_queue_spreads_a_burst_by_speed():
    reg = registry()
    add(reg, "http://fast", speed=3)
    add(reg, "http://slow", speed=1)
    assert Counter(reg.address_of("m") for _ in range(40)) == {"http://fast": 30, "http://slow": 10}


def test_lottery_draws_by_speed():
    reg = registry("lottery")
    add(reg, "http://fast", speed=3)
    add(reg, "http://slow", speed=1)
    drawn = Counter(reg.address_of("m") for _ in range(4000))
    assert 0.7 < drawn["http://fast"] / 4000 < 0.8


def test_a_worker_that_was_tried_is_not_offered_again():
    reg = registry()
    add(reg, "http://a")
    add(reg, "http://b")
    assert {reg.address_of("m", without=["http://a"]) for _ in range(9)} == {"http://b"}
    assert reg.address_of("m", without=["http://a", "http://b"]) == ""


def test_models_by_kind():
    reg = registry()
    add(reg, "http://a", "eye", "shared")
    add(reg, "http://b", "word", "shared", multimodal=False)
    assert reg.models() == ["eye", "shared", "word"]
    assert reg.models(multimodal=True) == ["eye", "shared"]
    assert reg.models(multimodal=False) == ["shared", "word"]
    assert reg.address_of("nothing") == ""


def test_an_answer_of_a_removed_worker_does_not_bring_it_back():
    reg = registry()
    add(reg, "http://a")
    reg.remove("http://a")
    reg.remove("http://a")
    reg.answered("http://a", WorkerStatus(("m",)))
    assert reg.workers() == ()


def test_an_unknown_dispatch_method_is_named():
    with pytest.raises(InputError, match="lottery, shortest_queue"):
        Registry("fastest")  # type: ignore[arg-type]


def test_many_threads_lose_nothing():
    reg = registry()
    add(reg, "http://a")

    def ask():
        for _ in range(500):
            reg.address_of("m")
            reg.models()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reg.status() == replace(reg.status(), queue_length=8 * 500)


def test_one_that_is_gone_is_offered_no_more_and_comes_back_with_its_answer():
    reg = registry()
    add(reg, "http://a")
    assert reg.unanswered("http://a", gone=True)
    assert (reg.address_of("m"), reg.models(), reg.workers(), reg.known()) == ("", [], (), ("http://a",))
    assert not reg.unanswered("http://a", gone=True), "said once"
    assert reg.heart_beat("http://a", 0), "it lives"
    assert reg.address_of("m") == "", "and cannot be reached all the same"
    reg.answered("http://a", WorkerStatus(("m",)))
    assert reg.address_of("m") == "http://a"


def test_one_that_is_slow_once_is_still_offered():
    reg = registry()
    add(reg, "http://a")
    assert not reg.unanswered("http://a")
    assert reg.address_of("m") == "http://a"
    assert reg.unanswered("http://a")
    assert reg.address_of("m") == ""
    assert not reg.unanswered("http://nobody")


def test_a_name_belongs_to_the_host_that_serves_it():
    clock = Clock()
    reg = registry(clock=clock, replicas="")
    add(reg, "http://10.0.0.1:21002")
    add(reg, "http://10.0.0.1:21003")  # a replica on the same host
    with pytest.raises(
        ServeError, match="'m' is served by the worker at http://10.0.0.1:2100., on another host"
    ) as raised:
        add(reg, "http://10.0.0.2:21002")
    assert raised.value.code == 40103
    add(reg, "http://10.0.0.2:21002", "other")
    reg.answered("http://10.0.0.2:21002", WorkerStatus(("other", "m")))
    assert {reg.address_of("m")[:15] for _ in range(9)} == {"http://10.0.0.1"}, "nor by a changed status"
    for address in ("http://10.0.0.1:21002", "http://10.0.0.1:21003"):
        reg.unanswered(address, gone=True)
    with pytest.raises(ServeError):
        add(reg, "http://10.0.0.2:21002")  # it may only be restarting
    clock.now = 90.1
    add(reg, "http://10.0.0.2:21002")
    assert reg.address_of("m") == "http://10.0.0.2:21002"


def test_one_that_never_beats_does_not_hold_its_names_for_ever():
    clock = Clock()
    reg = registry(clock=clock, replicas="")
    add(reg, "http://a", beats=False)
    reg.unanswered("http://a", gone=True)
    clock.now = 91
    add(reg, "http://b")
    assert reg.address_of("m") == "http://b"


def test_this_machine_has_one_name():
    reg = registry(replicas="")
    for address in ("http://127.0.0.1:1", "http://localhost:2", "http://[::1]:3"):
        add(reg, address)
    assert len(reg.workers()) == 3


@pytest.mark.parametrize(
    "replicas", ["10.0.0.0/24", "10.0.0.1,10.0.0.2", ".example.org", "w1.example.org,w2.example.org"]
)
def test_replicas_share_a_name_where_the_operator_says_so(replicas):
    reg = registry(replicas=replicas)
    hosts = ("10.0.0.1", "10.0.0.2") if replicas[0] == "1" else ("w1.example.org", "w2.example.org")
    for host in hosts:
        add(reg, f"http://{host}:21002")
    assert {reg.address_of("m") for _ in range(4)} == {f"http://{host}:21002" for host in hosts}
    with pytest.raises(ServeError):
        add(reg, "http://10.0.1.9:21002")


def test_names_that_were_served_lately_are_remembered_for_a_while():
    clock = Clock()
    reg = registry(clock=clock)
    add(reg, "http://a", "early", beats=False)
    clock.now = 300
    reg.answered("http://a", WorkerStatus(("later",)))
    assert (reg.models(), reg.lately()) == (["later"], ["early", "later"])
    reg.remove("http://a")
    clock.now = 700
    assert (reg.models(), reg.lately()) == ([], ["later"])
    clock.now = 900
    assert reg.lately() == []
