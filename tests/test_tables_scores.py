"""Scores of tables read from charts: RMS and RNSS by hand, as deplot/metrics.py computes them, and in `llava-graph evaluate`."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from typer.testing import CliRunner

from llava_graph.cli import app
from llava_graph.dataset import write_dataset
from llava_graph.evaluate.answered import Pair
from llava_graph.evaluate.assignment import cheapest_pairs
from llava_graph.evaluate.edit_distance import edit_distances
from llava_graph.evaluate.measures import measure_all
from llava_graph.evaluate.table_similarity import (
    Similarity,
    likeness,
    numbers_of,
    published_rms,
    published_rnss,
    readings,
    rms,
    rnss,
    transposed,
)
from llava_graph.evaluate.tasks import find_task
from llava_graph.prompt import PromptOptions, build_messages
from llava_graph.record import Figure, Table
from llava_graph.tables.linearised import read_table
from llava_graph.tables.requests import DEPLOT

GOLD = Table(header=("Year", "A", "B"), rows=(("2000", "10", "0"), ("2001", "20", "4")))
TEXT = "TITLE | Sales\nYear | A | B\n2000 | 10 | 0\n2001 | 20 | 4"

texts = st.lists(st.text(alphabet="ab c12", max_size=70), min_size=1, max_size=5)


@given(texts, texts)
def test_edit_distances_are_levenshteins(ones, others):
    found = edit_distances(ones, others)
    assert found.tolist() == [[Levenshtein.distance(one, other) for other in others] for one in ones]


def test_edit_distances_across_a_machine_word():
    lengths = (0, 1, 63, 64, 65, 130)
    ones = ["ab" * (length // 2) + "c" * (length % 2) for length in lengths]
    others = ["ba" * (length // 2) + "c" * (length % 2) for length in lengths]
    assert edit_distances(ones, others).tolist() == [[Levenshtein.distance(a, b) for b in others] for a in ones]


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(1, 5), st.randoms(use_true_random=False))
def test_no_other_pairs_are_cheaper(rows, columns, source):
    cost = np.array([[source.choice((0, 0.25, 0.5, 1)) for _ in range(columns)] for _ in range(rows)])
    pairs = cheapest_pairs(cost)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == min(rows, columns) == len(pairs)
    small, large = sorted(cost.shape)
    wide = cost if cost.shape == (small, large) else cost.T
    least = min(
        sum(wide[row, column] for row, column in enumerate(chosen))
        for chosen in itertools.permutations(range(large), small)
    )
    assert sum(cost[pair] for pair in pairs) == pytest.approx(least)


def test_the_true_table_scores_one_turned_over_too():
    assert rms(GOLD, GOLD) == Similarity(1, 1, 1)
    assert rms(transposed(GOLD), GOLD) == Similarity(1, 1, 1)
    shuffled = Table(header=("Year", "B", "A"), rows=(("2001", "4", "20"), ("2000", "0", "10")))
    assert rms(shuffled, GOLD) == Similarity(1, 1, 1), "a table is a set of mappings"


def test_rms_by_hand():
    """Entries "2000 a" 10, "2000 b" 0, "2001 a" 20, "2001 b" 4."""
    five_off = Table(header=("Year", "A", "B"), rows=(("2000", "10.5", "0"), ("2001", "20", "4")))
    assert rms(five_off, GOLD).f1 == pytest.approx((3 + 0.95) / 4)
    far_off = Table(header=("Year", "A", "B"), rows=(("2000", "11", "0"), ("2001", "20", "4")))
    assert rms(far_off, GOLD).f1 == pytest.approx(3 / 4), "an error of theta = 0.1 is no hit"
    one_row = Table(header=("Year", "A", "B"), rows=(("2001", "20", "4"),))
    assert rms(one_row, GOLD) == Similarity(1, pytest.approx(0.5), pytest.approx(2 / 3))
    named = Table(header=("Year", "A", "Bx"), rows=GOLD.rows)  # "2000 bx" to "2000 b": distance 1 of 7
    assert rms(named, GOLD).f1 == pytest.approx((2 + 2 * 6 / 7) / 4)
    other = Table(header=("a quite different", "header entirely"), rows=(("and a row name", "10"),))
    assert rms(other, GOLD) == Similarity(0, 0, 0)


@pytest.mark.parametrize(
    ("true", "said", "score"),
    [("1,200", "1200", 1), ("12%", "12", 1), ("0.12", "12 %", 1), ("0", "0.0", 1), ("0", "0.1", 0), ("-3", "−3", 1), ("3", "-3", 0),
     ("high", "high", 1), ("high", "hight", 0.8), ("high", "low", 0), ("5", "", 0)],
)  # fmt: skip
def test_values_count_by_what_they_say(true, said, score):
    assert likeness(true, said) == pytest.approx(score)


def test_numbers_of_cells():
    assert [readings(cell) for cell in ("2.5", "12%", "1–2", "ResNet-50", "3 cats", "", "1e3")] == [(2.5,), (12, 0.12), (), (), (), (), (1000,)]  # fmt: skip
    assert numbers_of(GOLD) == [2000, 10, 0, 2001, 20, 4]


def test_rnss_by_hand():
    assert rnss([10, 20], [20, 10]) == 1
    assert rnss([11, 20], [10, 20]) == pytest.approx(1 - 0.1 / 2)
    assert rnss([10], [10, 20]) == pytest.approx(0.5), "strict: what is missing counts"
    assert rnss([0.0], [0.0]) == 1
    assert (rnss([], []), rnss([], [1]), rnss([1], [])) == (1, 0, 0)


def test_published_scores_are_those_of_the_script():
    """What google-research/deplot/metrics.py gives for these texts, worked out by its rules step by step."""
    assert published_rms(TEXT, TEXT) == Similarity(1, 1, 1)
    # Five entries, the title among them; without it 4 of 5 are found, of 4 said.
    untitled = TEXT.partition("\n")[2]
    assert published_rms(untitled, TEXT) == Similarity(1, pytest.approx(0.8), pytest.approx(8 / 9))
    # A true 0 is a word: "0.0" to "0" has distance 2 of 3 and counts nothing, strictly it is equal.
    assert published_rms(TEXT.replace("| 0\n", "| 0.0\n"), TEXT).f1 == pytest.approx(4 / 5)
    assert rms(read_table(TEXT.replace("| 0\n", "| 0.0\n")).table, GOLD).f1 == 1
    assert published_rms("", TEXT) == Similarity(1, 0, 0)
    assert published_rms(TEXT, "") == Similarity(0, 1, 0)
    assert published_rms("x | y\na | 12%", "x | y\na | 0.12").f1 == 1


def test_the_scripts_rnss_forgives_what_is_missing_and_mistakes_zero():
    assert published_rnss("a | 10", "a | 10\nb | 20") == 1
    assert published_rnss("a | 0", "a | 0") == 0, "its distance of a true 0 from 0 is 1"
    assert published_rnss("a | 7", "a | 0") == 1
    assert published_rnss("a | 11\nb | 20", "a | 10\nb | 20") == pytest.approx(0.95)
    assert (published_rnss("a", "b"), published_rnss("a", "1")) == (1, 0)


def test_published_scores_of_larger_tables_are_the_scripts():
    """Expected: what metrics.py itself returned."""
    true = (
        "TITLE | Accuracy over epochs\nEpoch | Baseline | Ours (full)\n10 | 71.2 | 80.05\n20 | 75% | 84.9\n30 | nan | 0"
    )
    said = "TITLE | Accuracy by epoch\nEpoch | Ours | Base line\n10 | 79.9 | 70.0\n20 | 84 | 0.75\n30 | 3 | -\n40 | 86.1 | 78"
    found = published_rms(said, true)
    assert (found.precision, found.recall, found.f1) == pytest.approx(
        (0.28532043279234287, 0.36684055644729796, 0.32098548689138573)
    )
    assert published_rnss(said, true) == pytest.approx(0.9064246847131805)
    turned = "Epoch | 10 | 20\nBaseline | 71.2 | 70\nOurs | 80 | 91"
    found = published_rms(turned, true)
    assert (found.precision, found.recall, found.f1) == pytest.approx((0.25, 0.14285714285714285, 0.18181818181818182))
    assert published_rnss(turned, true) == pytest.approx(0.990940769498451)


def pair(text, name="a", table=GOLD, finish=""):
    (item,) = find_task("tables").read(Figure(id=name, kind="chart", table=table))
    return Pair(item=item, text=text, finish_reason=finish)


def test_the_tables_task_scores_answers_of_any_form():
    answers = [
        pair(TEXT.partition("\n")[2]),
        pair("```csv\nYear,A,B\n2000,10,0\n2001,20,4\n```", "b"),
        pair("I see a chart.", "c"),
        pair("Year | A | B\n2000 | 10 | 0\n2001 | 20 | 4\n2002 | 3", "d", finish="length"),
    ]
    scores = {measure.key: measure.value for measure in measure_all(answers)}
    assert scores["strict/RMS F1"] == scores["strict/RMS precision"] == pytest.approx(3 / 4), (
        "prose is no table, the half row is no row"
    )
    assert scores["strict/RNSS"] == pytest.approx(3 / 4)
    assert scores["strict/no table in the answer"] == pytest.approx(1 / 4)
    assert scores["published/RMS F1"] < 3 / 4, "the script reads no CSV"
    titled = measure_all([pair(TEXT)])
    assert {measure.key: measure.value for measure in titled}["published/RMS F1"] == 1, (
        "a title is no mistake where the truth has none"
    )


def test_what_gives_the_table_away_is_not_shown():
    task = find_task("tables")
    figure = Figure(id="a", image=b"png", caption="Sales.", table=GOLD, mentions=("In 2001 sales were 20.",))
    (item,) = task.read(figure)
    (message,) = build_messages(figure, item.question, task.options(PromptOptions(title=True, mentions=True)))
    assert message["content"] == [{"type": "image"}, {"type": "text", "text": DEPLOT}]
    assert not list(task.read(Figure(id="b")))


def test_evaluate_scores_a_file_of_tables(tmp_path):
    write_dataset(
        [Figure(id="charts:1", kind="chart", table=GOLD, split="test"), Figure(id="charts:2", split="test")],
        tmp_path / "data",
    )
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"question_id": "charts:1", "text": TEXT}) + "\n")
    command = [
        "evaluate",
        "--task",
        "tables",
        "--data",
        str(tmp_path / "data"),
        "--answers",
        str(answers),
        "--out",
        str(tmp_path / "run"),
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())["scores"]
    assert {score["name"]: score["value"] for score in scores if score["flavour"] == "strict"}["RMS F1"] == 1
