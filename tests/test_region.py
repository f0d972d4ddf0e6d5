"""One part of a figure as a figure: its pixels are the figure's own, and what stands in it keeps its place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from llava_graph.errors import InputError, RecordError
from llava_graph.images import encode_png, open_image
from llava_graph.record import Figure, OcrLine, Panel, Paper, Table, Turn
from llava_graph.region import ENLARGED_SIDE_PX, crop, inner, lines_in, outer, pixel_box

rng = np.random.default_rng(5)
NOISE = Image.fromarray(rng.integers(0, 256, (900, 1600, 3), dtype=np.uint8))
FIGURE = Figure(
    id="arxiv:1801.01974v2#fig2",
    image=encode_png(NOISE),
    width=1600,
    height=900,
    label="Figure 2",
    caption="Loss (left) and accuracy (right).",
    mentions=("Figure 2 shows both.",),
    ocr=(
        OcrLine(text="Loss", box=(0.0, 0.4, 0.05, 0.6), role="y-axis", orientation=90),
        OcrLine(text="Accuracy", box=(0.5, 0.4, 0.55, 0.6), role="y-axis", orientation=90, panel="b"),
        OcrLine(text="Epoch", box=(0.7, 0.9, 0.8, 1.0), role="x-axis", panel="b"),
        OcrLine(text="cut in half", box=(0.4, 0.1, 0.55, 0.2)),
    ),
    panels=(Panel(letter="a", box=(0, 0, 0.48, 1)), Panel(letter="b", caption="Accuracy", box=(0.5, 0, 1, 1))),
    paper=Paper(id="1801.01974v2", page=3, box=(0.2, 0.4, 0.8, 0.6)),
    table=Table(header=("epoch", "loss")),
    turns=(Turn(role="user", text="What?"), Turn(role="assistant", text="That.")),
)
RIGHT_HALF = (0.5, 0.0, 1.0, 1.0)


def pixels(figure: Figure) -> np.ndarray:
    assert isinstance(figure.image, bytes)
    return np.asarray(open_image(figure.image))


def test_the_pixels_are_the_figures_own():
    part = crop(FIGURE, RIGHT_HALF)
    assert (part.width, part.height) == (800, 900)
    assert np.array_equal(pixels(part), np.asarray(NOISE)[:, 800:])


def test_every_pixel_that_the_box_touches_is_in():
    assert pixel_box((0.1001, 0.1, 0.2, 0.1999), (1000, 1000)) == (100, 100, 200, 200)
    assert pixel_box((1 / 3, 0, 2 / 3, 1), (300, 100)) == (100, 0, 200, 100), "no pixel more for a rounding error"
    assert pixel_box((0, 0, 1, 1), (7, 9)) == (0, 0, 7, 9)


def test_a_small_part_is_enlarged_up_to_what_models_see():
    wide = crop(FIGURE, (0, 0, 0.25, 0.1))
    assert (wide.width, wide.height) == (ENLARGED_SIDE_PX, round(90 * ENLARGED_SIDE_PX / 400))
    tiny = crop(FIGURE, (0, 0, 0.01, 0.02))
    assert (tiny.width, tiny.height) == (64, 72), "four times, not more"
    smooth = crop(Figure(id="x", image=encode_png(Image.linear_gradient("L"))), (0, 0, 1, 0.5))
    assert np.all(np.diff(pixels(smooth)[:, 0, 0].astype(int)) >= -1), "a ramp stays a ramp"


def test_lines_inside_keep_text_and_role_and_stand_where_they_stood():
    part = crop(FIGURE, RIGHT_HALF)
    assert [(line.text, line.role, line.orientation, line.panel) for line in part.ocr] == [
        ("Accuracy", "y-axis", 90, "b"),
        ("Epoch", "x-axis", 0, "b"),
    ], "a line of which less than half lies inside is left out"
    assert part.ocr[1].box == (0.4, 0.9, 0.6, 1.0)
    assert lines_in(FIGURE.ocr, (0.45, 0, 1, 1))[-1].box == (0.0, 0.1, 0.1818, 0.2), "cut off at the region's side"


def test_what_is_said_of_the_whole_stays_and_what_was_answered_about_it_goes():
    part = crop(FIGURE, RIGHT_HALF)
    for name in ("label", "caption", "mentions", "table", "kind", "source"):
        assert getattr(part, name) == getattr(FIGURE, name)
    assert part.turns == ()
    assert part.panels == (Panel(letter="b", caption="Accuracy", box=(0, 0, 1, 1)),)
    assert part.paper == Paper(id="1801.01974v2", page=3, box=(0.5, 0.4, 0.8, 0.6)), "its place on the page"
    assert part.id == "arxiv:1801.01974v2#fig2@0.5,0,1,1"


def test_a_part_of_a_part_is_a_part():
    once = crop(FIGURE, (0.5, 0.5, 1.0, 1.0))
    twice = crop(crop(FIGURE, RIGHT_HALF), (0.0, 0.5, 1.0, 1.0))
    assert np.array_equal(pixels(once), pixels(twice))
    assert once.ocr == twice.ocr


def test_figures_on_disk_are_cut_too(tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(FIGURE.image)
    assert np.array_equal(pixels(crop(Figure(id="x", image=path), RIGHT_HALF)), pixels(crop(FIGURE, RIGHT_HALF)))


@pytest.mark.parametrize("box", [(0.5, 0, 0.2, 1), (0, 0, 1.1, 1), (0, 0, 1), (0, 0, float("nan"), 1)])
def test_what_is_no_box_is_refused(box):
    with pytest.raises(RecordError, match="region must be"):
        crop(FIGURE, box)


def test_a_part_too_small_to_see_is_refused_with_its_size():
    with pytest.raises(InputError, match=r"is 2 x 900 px .* at least 8"):
        crop(FIGURE, (0.5, 0, 0.5011, 1))
    with pytest.raises(InputError, match="no image"):
        crop(Figure(id="x"), RIGHT_HALF)


unit = st.floats(0, 1, allow_nan=False)


@given(st.tuples(unit, unit, unit, unit), st.tuples(unit, unit, unit, unit))
def test_in_and_out_again_gives_the_same_place(one, other):
    box = (min(one[::2]), min(one[1::2]), max(one[::2]), max(one[1::2]))
    region = (min(other[::2]), min(other[1::2]), max(other[::2]), max(other[1::2]))
    placed = outer(box, region)
    if min(region[2] - region[0], region[3] - region[1]) > 0.05:
        assert inner(placed, region) == pytest.approx(box, abs=0.003)
