"""The choice of a token: transformers' and OpenAI's meaning of every parameter, and one answer's draws independent of another's."""

import pytest
import torch
from transformers import (
    GenerationConfig,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llava_graph.errors import InputError
from llava_graph.sampling import NO_NUMBER, GenerationOptions, Sampler, Sampling, choose, resolve

LOGITS = torch.randn(50, generator=torch.Generator().manual_seed(0)) * 2


def drawn(count=3000, **asked):
    return (
        torch.bincount(
            torch.tensor([int(Sampler(Sampling(**asked, seed=seed)).pick(LOGITS)) for seed in range(count)]),
            minlength=50,
        )
        / count
    )


@pytest.mark.parametrize(
    ("asked", "warpers"),
    [
        ({"temperature": 1.0}, []),
        ({"temperature": 0.5}, [TemperatureLogitsWarper(0.5)]),
        ({"temperature": 1.0, "top_k": 7}, [TopKLogitsWarper(7)]),
        ({"temperature": 1.0, "top_p": 0.6}, [TopPLogitsWarper(0.6)]),
        ({"temperature": 1.0, "top_p": 0.01}, [TopPLogitsWarper(0.01)]),
        ({"temperature": 1.0, "min_p": 0.3}, [MinPLogitsWarper(0.3)]),
        ({"temperature": 0.8, "top_k": 20, "top_p": 0.7}, [TemperatureLogitsWarper(0.8), TopKLogitsWarper(20), TopPLogitsWarper(0.7)]),
    ],
)  # fmt: skip
def test_tokens_are_drawn_from_transformers_distribution(asked, warpers):
    scores = LOGITS[None]
    for warper in warpers:
        scores = warper(None, scores)
    theirs, ours = scores[0].softmax(-1), drawn(**asked)
    assert set(ours.nonzero().flatten().tolist()) <= set(theirs.nonzero().flatten().tolist())
    assert (ours - theirs).abs().max() < 0.03


def test_the_repetition_penalty_is_transformers():
    prompt, sampling = [3, 4, 4], Sampling(repetition_penalty=1.7)
    ours = Sampler(sampling, prompt)._penalise(LOGITS)
    theirs = RepetitionPenaltyLogitsProcessor(1.7)(torch.tensor([prompt]), LOGITS[None])[0]
    assert torch.equal(ours, theirs)


def test_presence_and_frequency_count_the_answer_and_not_the_prompt():
    sampler = Sampler(Sampling(presence_penalty=0.5, frequency_penalty=0.25), [1, 2, 3])
    logits = torch.tensor([5.0, 4.9, 4.0, 0.0])
    assert [int(sampler.pick(logits)) for _ in range(5)] == [0, 1, 0, 1, 0]
    assert sampler._penalise(logits).tolist() == pytest.approx([5 - 0.5 - 0.75, 4.9 - 0.5 - 0.5, 4.0, 0.0])


def test_what_is_written_becomes_less_likely_under_a_repetition_penalty():
    sampler = Sampler(Sampling(repetition_penalty=2.0))
    assert [int(sampler.pick(torch.tensor([1.0, 0.9, 0.8]))) for _ in range(3)] == [0, 1, 2]


def test_rows_do_not_disturb_each_other():
    asked = [Sampling(temperature=1.0, seed=1), Sampling(), Sampling(temperature=2.0, top_p=0.9, seed=3)]
    together = [Sampler(one) for one in asked]
    rows = torch.stack([LOGITS, LOGITS.flip(0), LOGITS * 0.5])
    both = [choose(together, rows) for _ in range(5)]
    for place, one in enumerate(asked):
        alone = Sampler(one)
        assert [tokens[place] for tokens in both] == [choose([alone], rows[place : place + 1])[0] for _ in range(5)]


def test_without_a_seed_answers_differ():
    draws = {
        tuple(int(sampler.pick(LOGITS)) for _ in range(12))
        for sampler in (Sampler(Sampling(temperature=2.0)) for _ in range(4))
    }
    assert len(draws) > 1


def test_logits_that_are_no_numbers_give_no_token():
    rows = torch.stack([LOGITS, LOGITS * float("nan"), torch.full_like(LOGITS, float("-inf"))])
    forbidden = LOGITS.clone()
    forbidden[:40] = float("-inf")
    tokens = choose([Sampler(Sampling())] * 4, torch.cat([rows, forbidden[None]]))
    assert tokens[1:3] == [NO_NUMBER, NO_NUMBER]
    assert tokens[0] == int(LOGITS.argmax())
    assert tokens[3] >= 40


def test_what_is_left_open_is_the_checkpoints():
    own = GenerationConfig(do_sample=True, temperature=0.6, top_p=0.9, top_k=40, repetition_penalty=1.1)
    assert resolve(GenerationOptions(), own) == Sampling(temperature=0.6, top_p=0.9, top_k=40, repetition_penalty=1.1)
    asked = GenerationOptions(temperature=0, top_p=1.0, top_k=0, repetition_penalty=1.0, seed=4)
    assert resolve(asked, own) == Sampling(seed=4)
    assert resolve(GenerationOptions(), GenerationConfig(temperature=0.6)).greedy


@pytest.mark.parametrize("wrong", [{"top_k": -2}, {"repetition_penalty": 0}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        GenerationOptions(**wrong)
