"""The registry alone, with a clock of ours."""

import random
import threading
from collections import Counter
from dataclasses import replace

import pytest

from llava_graph.errors import InputError
from serve.controller.registry import Registry
from serve.protocol.messages import Registration, WorkerStatus


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def registry(dispatch="shortest_queue", clock=None):
    return Registry(dispatch, expire_after=90, clock=clock or Clock(), rng=random.Random(0))


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
    assert reg.status() == WorkerStatus(("m",), 1, 3)


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
    reg.update("http://a", WorkerStatus(("m",)))
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
