"""Continuous batching with a real, tiny model: requests join, wait, give up and fail without harm to those beside them."""

import asyncio
import random
import threading
import time
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from llava_graph.errors import ContextOverflow, ImageError, ServeError
from llava_graph.explain import Explainer
from llava_graph.generate import generate_stream
from llava_graph.model import load
from serve.engines.batching.limits import Limits
from serve.engines.in_process import ExplainerEngine, generation_options
from serve.protocol.messages import GenerateRequest, open_images
from tests.serving import b64, eventually, png
from tests.tiny_model import build_tiny_model

SHOWN = {"type": "image"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(build_tiny_model(tmp_path_factory.mktemp("model") / "tiny"), device="cpu")


@pytest.fixture
def engine_of(model):
    """Engines of the tiny model, closed afterwards; nothing of them may be left."""
    made = []

    def make(**limits):
        made.append(ExplainerEngine(Explainer(model=model), Limits(**limits)))
        return made[-1]

    before = set(threading.enumerate())
    yield make
    for engine in made:
        engine.close()
        check_clean(engine)
    eventually(lambda: set(threading.enumerate()) <= before)


def check_clean(engine):
    scheduler = engine._scheduler
    assert (engine.queue_length, scheduler._running, list(scheduler._line)) == (0, {}, [])
    assert scheduler._writer.rows == []
    assert engine.one_at_a_time or scheduler._writer._cache.layers == []


def request(number=0, text="What does it show?", **more):
    content = [SHOWN, {"type": "text", "text": f"{text} {number}"}]
    picture = b64(png(40 + number % 50, 30 + number % 7))
    asked = {
        "temperature": 0,
        "max_new_tokens": 12,
        "images": (picture,),
        "messages": ({"role": "user", "content": content},),
    }
    return GenerateRequest(**{**asked, **more})


def text_only(text, **more):
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    return GenerateRequest(**{"messages": (message,), "temperature": 0, "max_new_tokens": 12, **more})


async def last_of(engine, asked):
    """The last step."""
    async with aclosing(engine.stream(asked)) as steps:
        return [step async for step in steps][-1]


async def read(engine, asked):
    """The text, or the error."""
    try:
        return (await last_of(engine, asked)).text
    except ServeError as error:
        return error.code


def alone(model, asked):
    return alone_with_count(model, asked)[0]


def alone_with_count(model, asked):
    """Text and tokens."""
    pieces = list(generate_stream(model, asked.messages, open_images(asked), generation_options(asked)))
    return "".join(piece.text for piece in pieces), pieces[-1].completion_tokens


def test_every_answer_beside_others_is_the_one_alone(model, engine_of):
    engine = engine_of(max_batch_size=5)
    asked = [
        request(number, "Which curve? " * (number % 4), max_new_tokens=3 + number % 20, temperature=(0, 1.5)[number % 2],
                seed=number, stop=(("e",), ())[number % 3 == 0])
        for number in range(30)
    ]  # fmt: skip

    async def all_of_them():
        return await asyncio.gather(*(last_of(engine, one) for one in asked))

    steps = asyncio.run(all_of_them())
    assert len({step.text for step in steps}) > 10
    for one, step in zip(asked, steps, strict=True):
        assert (step.text, step.usage.completion_tokens) == alone_with_count(model, one)
    assert {step.finish_reason for step in steps} == {"stop", "length"}


def test_text_grows_and_usage_and_times_come_at_the_end(engine_of):
    engine = engine_of()

    async def grown():
        return [step async for step in engine.stream(request(max_new_tokens=40))]

    steps = asyncio.run(grown())
    assert all(later.text.startswith(earlier.text) for earlier, later in pairwise(steps))
    assert [step.finish_reason for step in steps[:-1]] == [None] * (len(steps) - 1)
    assert steps[-1].usage.completion_tokens == 40
    timings = steps[-1].timings
    assert timings.tokens_per_s == pytest.approx(39 / timings.decode_s)


def test_a_stop_string_frees_the_place_at_the_next_token(model, shaken):
    engine, writer = shaken
    steps = []
    writer.steps = lambda rows: steps.append(len(rows))
    endless = request(1, max_new_tokens=1500)
    stop = alone(model, replace(endless, max_new_tokens=20))[3:6]
    (text,) = outcomes(engine, [replace(endless, stop=(stop,))])
    assert stop not in text
    assert engine.queue_length == 0
    assert len(steps) < 200


def test_a_newcomer_joins_the_running_batch_and_does_not_wait_for_its_end(engine_of):
    engine = engine_of(max_batch_size=4)

    async def newcomer():
        async with aclosing(engine.stream(request(1, max_new_tokens=400))) as long:
            await anext(long)
            first = await last_of(engine, request(2, max_new_tokens=3))
            return first, await anext(long)

    quick, still = asyncio.run(newcomer())
    assert quick.usage.completion_tokens == 3
    assert 0 < still.usage.completion_tokens < 400


def test_nobody_overtakes(shaken):
    engine, writer = shaken
    begun = []
    writer.admits = lambda _, rows: begun.extend(row.max_new_tokens for row in rows)
    wanted = [60 + number if number < 4 else 4 + number for number in range(12)]
    outcomes(engine, [request(number, max_new_tokens=tokens) for number, tokens in enumerate(wanted)])
    assert begun == wanted


def test_requests_come_from_several_threads_and_event_loops(model, engine_of):
    engine = engine_of(max_batch_size=4)
    answers = {}

    def ask(number):
        answers[number] = asyncio.run(read(engine, request(number)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == {number: alone(model, request(number)) for number in range(8)}


def test_beyond_the_line_the_answer_is_busy_at_once(engine_of):
    engine = engine_of(max_batch_size=2, max_waiting=3)

    async def crowd():
        return await asyncio.gather(*(read(engine, request(number)) for number in range(9)))

    answers = asyncio.run(crowd())
    assert sorted(map(str, answers)).count("42903") == 4
    assert engine.queue_length == 0


def test_who_waits_too_long_is_told_so(engine_of):
    engine = engine_of(max_batch_size=2, max_queue_s=0.3)

    async def wait():
        async with (
            aclosing(engine.stream(request(1, max_new_tokens=1500))) as one,
            aclosing(engine.stream(request(2, max_new_tokens=1500))) as other,
        ):
            await asyncio.gather(anext(one), anext(other))
            begun = time.monotonic()
            with pytest.raises(ServeError, match="no place became free in") as caught:
                await last_of(engine, request(3))
            return caught.value.code, time.monotonic() - begun

    code, seconds = asyncio.run(wait())
    assert code == 42903
    assert 0.2 < seconds < 5


def test_the_cache_is_bounded_and_nobody_overtakes(model, engine_of):
    short = text_only("Hi", max_new_tokens=20)
    engine = engine_of(max_batch_size=8, max_batch_tokens=200)
    cells = []
    writer = engine._scheduler._writer = Shaken(engine._scheduler._writer)
    writer.steps = lambda rows: cells.append(len(rows) * writer.writer._cache.columns)

    async def crowd():
        return await asyncio.gather(*(last_of(engine, replace(short, seed=number)) for number in range(20)))

    assert len(asyncio.run(crowd())) == 20
    assert 100 < max(cells) <= 200
    assert asyncio.run(read(engine, text_only("why " * 80))) == 40303
    long = asyncio.run(last_of(engine, text_only("Hi", max_new_tokens=1000)))
    assert long.usage.prompt_tokens + long.usage.completion_tokens <= 200


def test_what_is_wrong_with_a_request_costs_that_request(model, engine_of):
    engine = engine_of(max_batch_size=4)
    broken = request(1, images=(b64(png()[:60]),))
    long = text_only("why " * 5000)

    async def together():
        return await asyncio.gather(
            *(last_of(engine, one) for one in (request(2), broken, request(3), long)), return_exceptions=True
        )

    good, bad, other, overflow = asyncio.run(together())
    assert isinstance(bad, ImageError)
    assert isinstance(overflow, ContextOverflow)
    assert (good.text, other.text) == (alone(model, request(2)), alone(model, request(3)))


def test_nothing_is_left_of_a_thousand_requests_that_were_given_up(model, engine_of):
    """While they wait, are prepared, are read and are written; those beside them are answered."""
    engine = engine_of(max_batch_size=4, max_waiting=100)
    dice = random.Random(0)
    stages = {}

    async def give_up(number):
        stage = number % 4
        stream = engine.stream(request(number, max_new_tokens=500))
        reading = asyncio.ensure_future(anext(stream))
        if stage == 3:
            await reading
            for _ in range(dice.randint(0, 4)):
                await anext(stream)
            stages["written"] = stages.get("written", 0) + 1
        else:
            await asyncio.sleep((0, 0.002, 0.02)[stage] * dice.random())
            reading.cancel()
            await asyncio.wait([reading])
        await stream.aclose()

    async def crowd():
        for start in range(0, 1000, 50):
            wave = asyncio.gather(*(give_up(number) for number in range(start, start + 50)))
            answered, _ = await asyncio.gather(last_of(engine, request(start)), wave)
            assert answered.usage.completion_tokens == 12
        while engine.queue_length:
            await asyncio.sleep(0.005)
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(crowd()) == []
    assert stages["written"] == 250
    check_clean(engine)
    assert asyncio.run(read(engine, request(7))) == alone(model, request(7))
    assert sum(thread.name in ("scheduler", "prepare_0", "prepare_1") for thread in threading.enumerate()) <= 3


def test_closing_ends_what_is_written_and_a_later_request_starts_anew(model, engine_of):
    engine = engine_of()

    async def closed():
        async with aclosing(engine.stream(request(1, max_new_tokens=1500))) as steps:
            await anext(steps)
            await asyncio.to_thread(engine.close)
            with pytest.raises(ServeError, match="the worker is stopping"):
                async for _ in steps:
                    pass

    asyncio.run(closed())
    check_clean(engine)
    assert asyncio.run(read(engine, request(2))) == alone(model, request(2))


def test_a_loop_that_ended_in_the_middle_of_an_answer_leaves_nothing(model, engine_of):
    engine = engine_of()

    async def cut():
        stream = engine.stream(request(1, max_new_tokens=300))
        await anext(stream)

    asyncio.run(cut())
    assert asyncio.run(read(engine, request(2))) == alone(model, request(2))
    eventually(lambda: engine.queue_length == 0)


@pytest.mark.parametrize("one_at_a_time", [True, False])
def test_a_model_that_cannot_be_batched_is_served_all_the_same(model, engine_of, one_at_a_time, caplog):
    own = model.model.generation_config
    own.no_repeat_ngram_size = 2 if one_at_a_time else None
    try:
        engine = engine_of(max_batch_size=4)
        assert bool(engine.one_at_a_time) == one_at_a_time
        asked = [request(number, max_new_tokens=20, temperature=number % 2, seed=number) for number in range(5)]

        async def crowd():
            return await asyncio.gather(*(read(engine, one) for one in asked))

        assert asyncio.run(crowd()) == [alone(model, one) for one in asked]
    finally:
        own.no_repeat_ngram_size = None
    said = "answers one request at a time: its generation_config sets no_repeat_ngram_size"
    assert (said in caplog.text) == one_at_a_time


class Shaken:
    """A writer that asks `admits` and `steps` before it does anything; they may raise."""

    def __init__(self, writer):
        self.writer = writer
        self.admits = self.steps = lambda *_: None

    def __getattr__(self, name):
        return getattr(self.writer, name)

    def admit(self, prompts, rows):
        self.admits(prompts, rows)
        return self.writer.admit(prompts, rows)

    def step(self):
        self.steps(self.writer.rows)
        return self.writer.step()


@pytest.fixture
def shaken(engine_of):
    engine = engine_of(max_batch_size=4)
    engine._scheduler._writer = Shaken(engine._scheduler._writer)
    return engine, engine._scheduler._writer


def outcomes(engine, asked):
    async def crowd():
        return await asyncio.gather(*(last_of(engine, one) for one in asked), return_exceptions=True)

    return [outcome if isinstance(outcome, Exception) else outcome.text for outcome in asyncio.run(crowd())]


def raising(error, *, when):
    def maybe(*what):
        if when(*what):
            raise error

    return maybe


ASKED = [request(number, max_new_tokens=15 + number) for number in range(4)]


def test_prompts_that_are_too_much_together_are_read_alone(model, shaken):
    engine, writer = shaken
    writer.admits = raising(torch.OutOfMemoryError("CUDA out of memory"), when=lambda prompts, _: len(prompts) > 1)
    assert outcomes(engine, ASKED) == [alone(model, one) for one in ASKED]


def test_without_memory_for_a_prompt_only_that_one_fails(model, shaken):
    engine, writer = shaken
    writer.admits = raising(MemoryError(), when=lambda _, rows: any(row.max_new_tokens == 77 for row in rows))
    asked = [*ASKED, request(4, max_new_tokens=77), request(5)]
    *told, large, last = outcomes(engine, asked)
    assert large.code == 50002
    assert [*told, last] == [alone(model, one) for one in (*ASKED, request(5))]


def test_without_memory_for_a_step_rows_are_given_up_until_it_fits(model, shaken):
    engine, writer = shaken
    writer.steps = raising(torch.OutOfMemoryError("CUDA out of memory"), when=lambda rows: len(rows) > 2)
    told = outcomes(engine, [request(number, "Which? " * (5 * number), max_new_tokens=60) for number in range(4)])
    failed = [one for one in told if isinstance(one, Exception)]
    assert 1 <= len(failed) <= 2
    assert {error.code for error in failed} == {50002}
    assert "--max-batch-size" in str(failed[0])
    assert isinstance(told[3], Exception), "the longest is given up first"
    assert told[0] == alone(model, request(0, "", max_new_tokens=60))


def test_a_step_that_fails_once_costs_nobody_anything(model, shaken):
    engine, writer = shaken
    calls = []
    writer.steps = raising(RuntimeError("a bug"), when=lambda _: calls.append(1) or len(calls) == 5)
    assert outcomes(engine, ASKED) == [alone(model, one) for one in ASKED]


def test_a_row_that_breaks_every_step_is_found_and_the_others_go_on(model, shaken):
    engine, writer = shaken
    poisoned = []

    def breaks(rows):
        if len(rows) == 4 and not poisoned:
            poisoned.append(rows[-1])
        if poisoned and poisoned[0] in rows:
            raise RuntimeError("this row is bad")

    writer.steps = breaks
    told = outcomes(engine, [replace(one, max_new_tokens=200) for one in ASKED])
    failed = [one for one in told if isinstance(one, Exception)]
    assert [type(one) for one in failed] == [RuntimeError]
    assert all(
        one == alone(model, replace(ASKED[place], max_new_tokens=200))
        for place, one in enumerate(told)
        if isinstance(one, str)
    )


def test_a_model_that_always_fails_leaves_a_healthy_engine(model, shaken):
    engine, writer = shaken
    writer.steps = raising(RuntimeError("broken"), when=lambda _: True)
    assert {type(one) for one in outcomes(engine, ASKED)} == {RuntimeError}
    writer.steps = lambda _: None
    assert outcomes(engine, ASKED) == [alone(model, one) for one in ASKED]


def test_logits_that_are_no_numbers_cost_their_row(model, engine_of):
    engine = engine_of(max_batch_size=4)

    def poison(_, __, logits):
        return logits.index_fill(0, torch.tensor([1]), float("nan")) if logits.shape[0] == 3 else logits

    hook = model.model.lm_head.register_forward_hook(poison)
    try:
        told = outcomes(engine, [request(number, max_new_tokens=90) for number in range(3)])
    finally:
        hook.remove()
    assert sum(isinstance(one, FloatingPointError) for one in told) == 1
    right = [alone(model, request(number, max_new_tokens=90)) for number in range(3)]
    assert sum(one == other for one, other in zip(told, right, strict=True)) == 2
