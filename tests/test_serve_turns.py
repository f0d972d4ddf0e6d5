"""How a scheduler shares its time, with a clock and a writer that do nothing but take time: what happens is the same every run."""

import asyncio
import threading
import time
from concurrent.futures import Future
from itertools import pairwise

import pytest

from llava_graph.batched import Prompt, Row
from llava_graph.explain import Explainer
from llava_graph.generate import Decoder
from llava_graph.model import load
from llava_graph.sampling import Sampler, Sampling
from serve.engines.batching.answer import Answer
from serve.engines.batching.limits import WRITE_SHARE, Limits
from serve.engines.batching.request import Begun, Ended, Prepared, Written
from serve.engines.batching.scheduler import Scheduler
from serve.engines.in_process import ExplainerEngine
from serve.protocol.messages import Usage
from tests.serving import eventually
from tests.test_serve_batching import last_of, request
from tests.tiny_model import build_tiny_model

PROMPT_S, STEP_S = 1.0, 0.1
"""Reading a prompt, and a step of all rows."""


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class TakesTime:
    """Every answer is one token again and again."""

    joins_several = True

    def __init__(self, clock):
        self.clock, self.rows, self.done = clock, [], []

    def admit(self, prompts, rows):
        self.clock.now += PROMPT_S * len(prompts)
        self.done.append(("read", len(prompts), len(self.rows)))
        self.rows += rows
        return [7] * len(rows)

    def step(self):
        self.clock.now += STEP_S
        self.done.append(("write", len(self.rows), 0))
        return [7] * len(self.rows)

    def remove(self, row):
        self.rows.remove(row)

    def clear(self):
        self.rows.clear()


class Notes:
    """A listener that keeps what it hears."""

    def __init__(self, loop):
        self.loop, self.news = loop, []

    def hear(self, news):
        self.news.append(news)

    @property
    def ended(self):
        return self.news and isinstance(self.news[-1], Ended)


def prepared(answer, prompt=100):
    return Prepared(
        Prompt({"pixel_values": "many"}, tuple(range(prompt))), Row(Sampler(Sampling()), max_new_tokens=answer)
    )


class AtOnce:
    """A pool that has done what it is given."""

    def submit(self, work, *what):
        work(*what)
        return Future()

    def shutdown(self, **_):
        pass


async def run(scheduler, answers):
    """Submit all at once; the notes of each when all have ended."""
    listeners = [Notes(asyncio.get_running_loop()) for _ in answers]
    scheduler._line._pool = AtOnce()
    with scheduler._wake:  # nothing happens before all are in line
        for listener, answer in zip(listeners, answers, strict=True):
            scheduler.submit(lambda answer=answer: prepared(answer), listener)
    while not all(listener.ended for listener in listeners):
        await asyncio.sleep(0.001)
    await asyncio.to_thread(scheduler.close)
    return listeners


@pytest.fixture
def scheduler():
    def make(**limits):
        clock = Clock()
        return Scheduler(TakesTime(clock), Limits(max_queue_s=1e9, **limits), clock=clock)

    return make


def test_rows_are_written_between_the_prompts_that_are_read(scheduler):
    made = scheduler(max_batch_size=3)
    asyncio.run(run(made, [200] + [4] * 11))
    done = made._writer.done
    reads = [place for place, (what, _, beside) in enumerate(done) if what == "read" and beside]
    assert len(reads) == 9
    for place, following in pairwise(reads):
        steps = done[place + 1 : following]
        assert len(steps) * STEP_S >= WRITE_SHARE * PROMPT_S, "rows had their share before the next prompt"
        assert len(steps) * STEP_S <= WRITE_SHARE * PROMPT_S + 2 * STEP_S, "and no more: somebody waited"
    # A model that reads 100 tokens a second reads one prompt at once.
    assert {done[place][1] for place in reads} == {1}


def test_a_place_that_becomes_free_is_taken_at_once_where_nothing_is_owed(scheduler):
    made = scheduler(max_batch_size=2)
    asyncio.run(run(made, [3, 20, 5, 5]))
    write = [("write", 2, 0)]
    assert made._writer.done == [
        ("read", 2, 0), *write * 2,  # the first has its three tokens, nobody was kept waiting by reading
        ("read", 1, 1), *write * 4, ("write", 1, 0),  # five steps are owed
        ("read", 1, 1), *write * 4, *[("write", 1, 0)] * 8,
    ]  # fmt: skip


def test_times_are_those_of_each_request(scheduler):
    listeners = asyncio.run(run(scheduler(max_batch_size=1), [11, 11]))
    first, second = (listener.news[-1].timings for listener in listeners)
    assert (first.queue_s, first.prefill_s) == (0, PROMPT_S)
    assert first.decode_s == pytest.approx(10 * STEP_S)
    assert first.tokens_per_s == pytest.approx(10)
    assert second.queue_s == pytest.approx(PROMPT_S + 10 * STEP_S)
    assert [type(listener.news[0]) for listener in listeners] == [Begun, Begun]
    assert [listener.news[-1].tokens for listener in listeners] == [11, 11]


def test_a_row_that_nobody_wants_leaves_at_the_next_token(scheduler):
    made = scheduler(max_batch_size=2)

    async def give_up():
        listener = Notes(asyncio.get_running_loop())
        endless = made.submit(lambda: prepared(10**9), listener)
        while len(listener.news) < 3:
            await asyncio.sleep(0.001)
        assert endless.prepared.prompt.inputs == {}, "its pixels are read"
        made.cancel(endless)
        steps = len(made._writer.done)
        while not listener.ended:
            await asyncio.sleep(0)
        assert endless.prepared is None
        return listener.news[-1], endless.written - steps

    ended, more = asyncio.run(give_up())
    assert ended.reason == "cancelled"
    assert more <= 2
    assert made._writer.rows == []
    made.close()


def test_an_idle_scheduler_keeps_no_thread(scheduler, monkeypatch):
    monkeypatch.setattr("serve.engines.batching.scheduler.LINGER_S", 0.05)
    made = scheduler()
    listener = Notes(asyncio.new_event_loop())
    made.submit(lambda: prepared(3), listener)
    eventually(lambda: made._thread is None)
    assert made.queue_length == 0
    listener.loop.close()


def test_few_images_are_opened_at_once_and_never_by_the_models_thread(tmp_path):
    engine = ExplainerEngine(
        Explainer(model=load(build_tiny_model(tmp_path / "m"), device="cpu")), Limits(max_batch_size=2, prepared=3)
    )
    now, most, threads, prepare = [], [0], set(), engine._prepare

    def watched(asked):
        now.append(1)
        most.append(len(now))
        threads.add(threading.current_thread().name.split("_")[0])
        time.sleep(0.005)
        ahead = sum(one.prepared is not None for one in engine._scheduler._line)
        assert ahead <= 3
        try:
            return prepare(asked)
        finally:
            now.pop()

    engine._prepare = watched

    async def crowd():
        return await asyncio.gather(*(last_of(engine, request(number)) for number in range(30)))

    assert len(asyncio.run(crowd())) == 30
    assert max(most) == engine.limits.threads == 2
    assert threads == {"prepare"}
    engine.close()


class Letters:
    """A tokenizer of code points."""

    def decode(self, ids, **_):
        return "".join(map(chr, ids))


def test_tokens_behind_a_stop_string_are_not_counted():
    async def told():
        stops = []
        answer = Answer(asyncio.get_running_loop(), Decoder(Letters(), ["##"]), lambda: stops.append(1))
        for news in (Begun(9), *(Written(ord(letter)) for letter in "ab##cd"), Ended("cancelled", 6)):
            answer.hear(news)
        return [step async for step in answer.steps()][-1], stops

    step, stops = asyncio.run(told())
    assert (step.text, step.usage, step.finish_reason) == ("ab", Usage(9, 4), "stop")
    assert stops == [1]


def test_a_text_that_cannot_be_made_ends_its_own_answer_alone():
    class Broken(Letters):
        def decode(self, ids, **_):
            raise OverflowError("no such token")

    async def told():
        stops = []
        answer = Answer(asyncio.get_running_loop(), Decoder(Broken(), []), lambda: stops.append(1))
        for news in (Begun(9), Written(1), Written(2), Ended("cancelled", 2)):
            answer.hear(news)
        with pytest.raises(OverflowError):
            [step async for step in answer.steps()]
        return stops

    assert asyncio.run(told()) == [1, 1]
