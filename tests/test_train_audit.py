"""The length audit: what it counts is so, and it suggests what helps."""

from dataclasses import replace

import numpy as np
import pytest

from llava_graph.record import Dropped
from train.batching.checking import Checked
from train.batching.order import Order
from train.planning.audit import audit_lines, padding_shares


def checked(lengths, dropped=()):
    lengths = np.array(lengths, dtype=np.int64)
    return Checked(
        kept=np.arange(len(lengths)), lengths=lengths, answers=lengths // 2, images=lengths % 2, dropped=dropped
    )


def order(some, **more):
    return Order(lengths=some.lengths, images=some.images, batch=4, **more)


def test_everything_is_counted():
    refused = tuple(Dropped(item=str(n), reason=("no-target", "image-missing")[n > 0]) for n in range(3))
    some = replace(checked([10, 20, 31, 1000], refused), answers_cut=1, repaired={"image-moved": 2})
    text = "\n".join(audit_lines(some, order(some), max_length=1000))
    assert "4 of 7 kept, 1 with images, 3 without" in text
    assert "2 image-missing, 1 no-target" in text
    assert "2 image-moved" in text
    assert "1 answers at their end" in text
    assert "256: 25.00%, 512: 25.00%, 1000: 0.00%" in text
    [tokens] = [line.split() for line in text.splitlines() if line.startswith("tokens  ") and "samples" not in line]
    assert (tokens[1], tokens[-1]) == ("10", "1061")


def test_bins_hold_every_sample():
    some = checked(np.random.default_rng(0).integers(5, 500, 1000))
    lines = audit_lines(some, order(some), max_length=512)
    start = next(index for index, line in enumerate(lines) if line.startswith("tokens         samples"))
    bins = [line.split() for line in lines[start + 1 : lines.index("", start)]]
    assert sum(int(count) for _, count, *_ in bins) == 1000
    for span, count, *_ in bins:
        first, last = map(int, span.split("–"))
        assert int(((some.lengths >= first) & (some.lengths <= last)).sum()) == int(count)


@pytest.mark.parametrize(
    ("lengths", "advice"),
    [
        (np.full(400, 100), "nothing to gain"),
        (np.random.default_rng(0).integers(100, 1000, 400), "--group_by_modality_length True"),
        (np.array([1000] * 2 + [100] * 10), "--packing True"),
        (np.array([100] * 999 + [2000]), "the longest 0.5 % are up to 2000"),
    ],
)
def test_the_suggestion_is_what_saves_most(lengths, advice):
    some = checked(lengths)
    lines = audit_lines(some, order(some, seed=1), max_length=max(1000, lengths.max()))
    assert advice in lines[-1]


def test_shares_are_those_of_the_runs_own_batches():
    some = checked([10, 30] * 20)
    shares = padding_shares(order(some), 40)
    random, grouped, packed = shares.values()
    assert packed == pytest.approx(0)
    assert grouped < random


def test_nothing_kept_is_told_too():
    some = checked([], (Dropped(item="a", reason="no-target"),))
    assert "0 of 1 kept" in audit_lines(some, order(some), max_length=10)[0]
