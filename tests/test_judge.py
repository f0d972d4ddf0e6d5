"""The judge: what it reads, what its words mean, and that nothing unreadable is averaged or asked for twice."""

import json

import pytest
from typer.testing import CliRunner
from upstream_server import OpenAiServer, chunk, running_openai

from llava_graph.cli import app
from llava_graph.dataset import write_dataset
from llava_graph.errors import InputError
from llava_graph.evaluate.answered import FREE, Item
from llava_graph.evaluate.judge import (
    pair_cases,
    pair_measures,
    published_pair,
    rating_case,
    rating_measures,
    read_pair,
    read_rating,
    read_similarity,
    similarity_case,
    similarity_measures,
)
from llava_graph.evaluate.judging import Cache
from llava_graph.record import Figure, Turn

FIGURE = Figure(id="qa:1", caption="Loss over epochs.", mentions=("The loss falls to 0.1.",), split="test")
ITEM = Item(id="qa:1", figure=FIGURE, question="What falls?", reference="The loss.", kind=FREE)


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("7", 7), ("7.5\nbecause 3 of 4", 7.5), ("Rating: 7/10", 7), ("\n 0 ", 0), ("10", 10), ("11", None), ("-3", None), ("", None),
        ("between 6 and 8", None), ("good", None), ("1e9", None),
    ],
)  # fmt: skip
def test_ratings(text, rating):
    assert read_rating(text) == rating


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("8 6", (8, 6)), ("8, 6\nAssistant 1 is better.", (8, 6)), ("8.5,9", (8.5, 9)), ("0 6", None), ("8", None), ("8 6 4", None),
        ("Assistant 1: 8", None), ("11 2", None), ("", None),
    ],
)  # fmt: skip
def test_pairs(text, pair):
    assert read_pair(text) == pair


@pytest.mark.parametrize(
    ("text", "similarity"),
    [
        ("{'score': 8}", 8), ('{"score": 7.5}', 7.5), ("Here: {'score': '10'}", 10), ("score: 0", 0), ("{'score': 11}", None),
        ("{'score': -1}", None), ("8", None), ("{'score': high}", None), ("{'score': 3} or {'score': 4}", None), ("", None),
    ],
)  # fmt: skip
def test_similarities(text, similarity):
    assert read_similarity(text) == similarity


def test_similarity_is_judged_without_the_context_and_the_unread_is_not_averaged():
    prompt = similarity_case(ITEM, "the candidate").prompt
    assert "Loss over epochs." not in prompt
    assert all(words in prompt for words in ("What falls?", "The loss.", "the candidate"))
    found = values(similarity_measures(["a", "b"], {("a", 0): "{'score': 6}", ("b", 0): "rather alike"}))
    assert found == {"strict/judge's similarity": 6, "strict/judge not read": 0.5}


def test_the_judge_reads_context_question_and_answers_and_each_order_is_a_case_of_its_own():
    straight, crossed = pair_cases(ITEM, "the first one", "the second one")
    for words in ("Loss over epochs.", "falls to 0.1", "What falls?", "the first one", "the second one"):
        assert words in straight.prompt
        assert words in crossed.prompt
    assert straight.prompt.index("the first one") < straight.prompt.index("the second one")
    assert crossed.prompt.index("the first one") > crossed.prompt.index("the second one")
    assert straight.key("a") != crossed.key("a") != crossed.key("b")
    assert "The loss." in rating_case(ITEM, "x").prompt


def values(measures):
    return {one.key: one.value for one in measures}


def test_what_cannot_be_read_is_counted_and_not_averaged():
    found = values(rating_measures(["a", "b", "c"], {("a", 0): "8", ("b", 0): "very good", ("c", 0): "4"}))
    assert found == {"strict/judge's rating": 6, "strict/judge not read": pytest.approx(1 / 3)}


def test_pairs_in_both_orders_and_as_published():
    """a: second wins twice. b: whoever stands first wins. c: the first order cannot be read."""
    verdicts = {
        ("a", 0): "4 8", ("a", 1): "8 4", ("b", 0): "8 4", ("b", 1): "8 4", ("c", 0): "both good", ("c", 1): "5 5",
    }  # fmt: skip
    found = values(pair_measures(["a", "b", "c"], verdicts))
    assert found["published/relative score"] == pytest.approx(100 * (8 + 4 - 1) / (4 + 8 - 1))  # -1 enters both means
    assert found["published/relative score, mean of ratios"] == pytest.approx((200 + 50) / 2)
    assert found["strict/relative score"] == pytest.approx(100 * (16 + 12) / (8 + 12))
    assert found["strict/win rate"] == pytest.approx((1 + 0.5) / 2)
    assert found["strict/order decides"] == pytest.approx(1 / 2)
    assert found["strict/judge not read"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("8 6", (8, 6)),
        ("8,6\nbecause", (8, 6)),
        ("8, 6", (-1, -1)),  # the comma becomes a second space
        ("\n8 6", (-1, -1)),  # the first line is empty
        ("0 12", (0, 12)),
        ("nan 5", (-1, -1)),
        ("8 6 7", (-1, -1)),
        ("", (-1, -1)),
    ],
)
def test_reviews_are_read_as_llavas_script_reads_them(words, read):
    assert published_pair(words) == read
    assert values(pair_measures(["a"], {("a", 0): words}))["published/relative score"] == (
        100 * read[1] / read[0] if read[0] else None
    )


def test_a_spoilt_line_costs_its_own_verdict_and_another_file_is_refused(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    path.write_bytes(b'{"key": "a", "text": "8"}\n\xff{"key":\n[]\n{"key": "b", "text": "7"}\n{"key": "c", "te')
    with Cache(path) as cache:
        assert [cache.get(key) for key in "abc"] == ["8", "7", None]
    path.write_text("a note\n")
    with pytest.raises(InputError, match="holds no verdicts"):
        Cache(path)


def test_a_run_is_judged_over_http_and_asked_once(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    turns = (Turn(role="user", text="What falls?"), Turn(role="assistant", text="The loss."))
    write_dataset([Figure(id=f"qa:{n}", caption="Loss.", turns=turns, split="test") for n in range(3)], data)
    out.mkdir()
    rows = [{"question_id": f"qa:{n}", "text": f"answer {n}"} for n in range(3)]
    (out / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    server = OpenAiServer(
        kind="openai", script=[chunk({"content": "9 6\nbecause"}), chunk({}, "stop"), "data: [DONE]\n\n"]
    )
    with running_openai(server) as url:
        command = ["judge", "--task", "llava-med-qa50", "--data", str(data), "--out", str(out), "--api", url]
        told = CliRunner().invoke(app, [*command, "--against", "reference"])
        assert (told.exit_code, len(server.bodies)) == (0, 6)
        assert CliRunner().invoke(app, [*command, "--against", "reference"]).exit_code == 0
        assert len(server.bodies) == 6
        assert server.bodies[0]["temperature"] == 0
        server.refusals = [(401, {"error": {"message": "no such key"}})] * 9
        refused = CliRunner().invoke(app, [*command])
        assert refused.exit_code != 0
    found = json.loads((out / "judged-reference.json").read_text())
    scores = {f"{one['flavour']}/{one['name']}": one["value"] for one in found["scores"]}
    assert (found["judge"], found["complete"]) == ("figures", True)
    assert scores["strict/order decides"] == 1  # this judge likes what stands first
    assert scores["strict/win rate"] == 0.5
    server = OpenAiServer(
        kind="openai", script=[chunk({"content": "{'score': 4}"}), chunk({}, "stop"), "data: [DONE]\n\n"]
    )
    with running_openai(server) as url:
        command = ["judge", "--task", "llava-med-qa50", "--data", str(data), "--out", str(out), "--api", url]
        assert CliRunner().invoke(app, [*command, "--against", "similarity"]).exit_code == 0
    (alike, unread) = json.loads((out / "judged-similarity.json").read_text())["scores"]
    assert json.loads((out / "judged-reference.json").read_text()) == found
    assert (alike["name"], alike["value"], alike["items"], unread["value"]) == ("judge's similarity", 4, 3, 0)
