import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.errors import RecordError
from llava_graph.record import SPLITS, Figure, OcrLine, Paper, Table, Turn, split_of

unit = st.floats(0, 1)
boxes = st.tuples(unit, unit, unit, unit).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
words = st.text(max_size=20)
figures = st.builds(
    Figure,
    id=st.text(min_size=1, max_size=9),
    image=st.none() | st.binary(min_size=1, max_size=9) | st.just(Path("images/a.png")),
    width=st.integers(0, 9999),
    caption=words,
    ocr=st.lists(
        st.builds(OcrLine, text=words, box=boxes, confidence=unit, orientation=st.sampled_from([0, 90, 180, 270])),
        max_size=3,
    ).map(tuple),
    mentions=st.lists(words, max_size=3).map(tuple),
    paper=st.builds(Paper, id=words, page=st.none() | st.integers(1, 99), box=st.none() | boxes),
    table=st.none() | st.just(Table(header=("a", "b"), rows=(("1", "2"),))),
    turns=st.lists(st.builds(Turn, role=st.sampled_from(["user", "assistant"]), text=words), max_size=2).map(tuple),
    split=st.sampled_from(["", *SPLITS]),
)


@given(figures)
def test_a_figure_survives_its_row(figure):
    assert Figure.from_row(figure.to_row()) == figure


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": "a", "captoin": "x"}, "'captoin'. Did you mean 'caption'?"),
        ({"id": "a", "ocr": [{"text": "x", "box": [0, 0, 1, 1], "conf": 1}]}, "'ocr[0].conf'"),
        ({"id": "a", "ocr": [{"text": "x", "box": [0, 0, 2, 1]}]}, "ocr.box must be (x0, y0, x1, y1) in 0..1"),
        ({"id": "a", "ocr": [{"text": "x"}]}, "ocr[0].box is missing"),
        ({"id": "a", "ocr": "text"}, "ocr must be a list"),
        ({"id": "a", "mentions": [1]}, "mentions[0] must be str, got int"),
        ({"id": "a", "paper": {"page": 0}}, "paper.page counts from 1"),
        ({"id": "a", "table": {"header": ["x"], "rows": [["1", "2"]]}}, "table.rows[1] has 2 cells"),
        ({"id": "a", "turns": [{"role": "report", "text": "x"}]}, "unknown turns.role 'report'"),
        ({"id": "a", "split": "trian"}, "Did you mean 'train'?"),
        ({"id": "a", "width": True}, "width must be int, got bool"),
        ({"caption": "x"}, "Figure.id is missing"),
        ({"id": "a", "image": {"bytes": b"", "url": "x"}}, "'image.url'"),
    ],
)
def test_a_wrong_field_is_refused_by_name_and_place(row, said):
    with pytest.raises(RecordError) as caught:
        Figure.from_row(row, "train.parquet row 3")
    assert said in str(caught.value)
    assert str(caught.value).startswith("train.parquet row 3: ")


def test_all_versions_of_a_paper_are_in_one_split():
    assert split_of("arxiv:1801.01974v1") == split_of("arxiv:1801.01974v2") == split_of("arxiv:1801.01974")


def test_the_split_shares_are_kept():
    counts = [split_of(f"paper-{number}") for number in range(4000)]
    assert abs(counts.count("train") / 4000 - 0.90) < 0.02
    assert counts.count("validation") > 100
    assert counts.count("test") > 100


def test_errors_cross_process_borders_whole():
    error = RecordError("what", where="here", next_step="Do this")
    again = pickle.loads(pickle.dumps(error))
    assert (again.what, again.where, again.next_step, str(again)) == ("what", "here", "Do this", "here: what. Do this")
