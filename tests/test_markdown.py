"""The light Markdown of answers: blocks, styles, and every run where it stands in the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.markdown import blocks_of

TEXT = """## Head **b**
Para with **bold and *em* x** and `code <b>` and $a_1$.
Second line, snake_case, a*b, 3 * 4, \\*x.

- one
  - two
1. n
   goes on

---

| a | b |
|---|---|
| 1 | **2** |

```
x = **1**
  y
```
"""


def told(text: str, **options) -> list[tuple]:
    """(kind, level, number, [(text, style), …] of all cells) of each block."""
    return [
        (block.kind, block.level, block.number, [(run.text, run.style) for cell in block.cells for run in cell])
        for block in blocks_of(text, **options)
    ]


def test_blocks_and_styles():
    heading, paragraph, *rest = told(TEXT)
    assert heading == ("heading", 2, "", [("Head ", ""), ("b", "strong")])
    assert paragraph[3][:9] == [
        ("Para with ", ""),
        ("bold and ", "strong"),
        ("em", "strong em"),
        (" x", "strong"),
        (" and ", ""),
        ("code <b>", "code"),
        (" and ", ""),
        ("a_1", "formula"),
        (".\nSecond line, snake_case, a*b, 3 * 4, ", ""),
    ]
    assert rest == [
        ("item", 0, "", [("one", "")]),
        ("item", 1, "", [("two", "")]),
        ("numbered", 0, "1", rest[2][3]),
        ("row", 0, "", [("a", ""), ("b", "")]),
        ("row", 0, "", [("1", ""), ("2", "strong")]),
        ("code", 0, "", [("x = **1**", ""), ("  y", "")]),
    ]
    assert "".join(text for text, _ in rest[2][3]).split() == ["n", "goes", "on"]


@pytest.mark.parametrize(
    "text", ["![x](http://e/y.png)", "<script>alert(1)</script>", "[a](javascript:b)", "&lt; &amp;"]
)
def test_what_is_no_light_markdown_stays_as_it_is_written(text):
    assert told(text) == [("paragraph", 0, "", [(text, "")])]


def test_in_a_growing_answer_an_open_mark_counts_and_in_a_whole_one_it_is_text():
    assert told("It is **very", complete=False)[0][3] == [("It is ", ""), ("very", "strong")]
    assert told("It is **very")[0][3] == [("It is **very", "")]


@pytest.mark.parametrize("text", ["", "\n\n", "---", "***", "|---|:--:|", "##", "```\n```"])
def test_rules_and_empty_blocks_are_nothing(text):
    assert told(text) == []


@given(st.text(alphabet="aB *_`$#-|\\\n1.~[]()<", max_size=60) | st.text(max_size=40), st.booleans())
def test_every_run_stands_where_it_says(text, complete):
    place = 0
    for block in blocks_of(text, complete=complete):
        for cell in block.cells:
            for run in cell:
                assert place <= run.start
                assert run.end <= len(text)
                assert text[run.start : run.end].replace("\n", " ") == run.text.replace("\n", " ")
                place = run.end
