"""Who joins a batch next, and how reading prompts and writing answers take turns: pure arithmetic."""

import pytest

from serve.engines.batching.limits import READ_AT_ONCE_S, WRITE_SHARE, Limits, Need, Pace, joining

LIMITS = Limits(max_batch_size=4, max_batch_tokens=1000)


def needs(*pairs):
    return [Need(prompt, prompt + answer) for prompt, answer in pairs]


@pytest.mark.parametrize(
    ("ready", "running", "most", "count"),
    [
        ([], [], 500, 0),
        ([(100, 50)] * 3, [], 500, 3),
        ([(100, 50)] * 9, [], 5000, 4),  # rows
        ([(100, 50)] * 9, [(10, 10)] * 3, 5000, 1),
        ([(100, 50)] * 9, [(10, 10)] * 4, 5000, 0),
        ([(100, 300)] * 4, [], 5000, 2),  # memory: 2 x 400, not 3 x 400
        ([(10, 10)], [(100, 500)], 5000, 0),  # as long as the longest
        ([(900, 100)], [], 5000, 1),
        ([(900, 101)], [], 5000, 0),  # never: refused before
        ([(900, 100), (1, 1)], [(1, 1)], 5000, 0),  # the head waits, and nobody overtakes it
        ([(100, 5)] * 4, [], 250, 2),  # so many tokens are read at once
        ([(400, 5)], [], 250, 1),  # one is always read
        ([(10, 5), (200, 5)], [], 5000, 1),  # not padded to twenty times its length
        ([(150, 5), (200, 5)], [], 5000, 2),
    ],
)
def test_who_joins(ready, running, most, count):
    assert joining(needs(*ready), needs(*running), LIMITS, most) == count


def test_without_a_limit_of_tokens_rows_alone_count():
    assert joining(needs((10**6, 10**6)), needs((1, 1)), Limits(), 10) == 1


def test_rows_are_written_for_a_share_of_the_time_in_which_prompts_were_read():
    pace = Pace(LIMITS)
    assert pace.may_read
    pace.read(100, 1.0, beside_rows=True)
    steps = 0
    while not pace.may_read:
        pace.written(0.1, rows_left=True)
        steps += 1
    assert steps == pytest.approx(WRITE_SHARE / 0.1, abs=1)
    pace.read(100, 1.0, beside_rows=True)
    pace.written(0.1, rows_left=False)
    assert pace.may_read, "nobody is left who could be kept waiting"
    pace.read(100, 1.0, beside_rows=False)
    assert pace.may_read


def test_a_slow_model_reads_fewer_tokens_at_once():
    pace = Pace(Limits(max_prefill_tokens=2048))
    assert pace.most == 2048
    pace.read(200, 1.0, beside_rows=False)
    assert pace.most == 200 * READ_AT_ONCE_S
    for _ in range(40):
        pace.read(2000, 0.01, beside_rows=False)
    assert pace.most == 2048
