"""Regions that a visitor asks about: their pixels are the upload's own, their text is what was read and corrected there."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from llava_graph.errors import InputError
from llava_graph.images import encode_png, open_image
from llava_graph.record import Figure, OcrLine, Turn
from serve.web.figure.reading import KEPT_S, RegionReader
from serve.web.figure.regions import (
    MAX_REGIONS,
    Region,
    cut_out,
    read_region,
    regions_of,
    wants_reading,
)
from serve.web.given import question_about
from serve.web.session import OnPage, Session

NOISE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (400, 800, 3), dtype=np.uint8))
EPOCH = OcrLine(text="Epooh", box=(0.6, 0.9, 0.8, 1.0), role="x-axis", source="rapidocr")
TEN = OcrLine(text="l0", box=(0.6, 0.7, 0.65, 0.8), role="x-tick", source="rapidocr")
LOSS = OcrLine(text="Loss", box=(0.0, 0.4, 0.05, 0.6), role="y-axis", source="rapidocr")
WIDE = OcrLine(text="a long title of both", box=(0.2, 0.0, 0.6, 0.1), role="title", source="rapidocr")
FIGURE = Figure(id="upload:1", image=encode_png(NOISE), width=800, height=400, ocr=(EPOCH, TEN, LOSS, WIDE))
RIGHT = Region("A", (0.5, 0.0, 1.0, 1.0))
CORNER = Region("B", (0.0, 0.5, 0.5, 1.0))
EMPTY = (0.3, 0.5, 0.5, 1.0)
"""Nothing was found there, so it is read by itself."""
HISTORY = (Turn(role="user", text="What is it?"), Turn(role="assistant", text="A curve."))


def told(*regions) -> dict:
    return {"figure": "upload:1", "regions": [{"name": name, "box": box} for name, box in regions]}


def texts(lines) -> list[str]:
    return [line.text for line in lines]


def flat(messages) -> str:
    return "".join("<image>" if part["type"] == "image" else part["text"] for m in messages for part in m["content"])


def test_what_the_viewer_says_becomes_regions():
    assert regions_of(told(("A", [0.5, 0, 1, 1]), ("C", [0, 0.25, 0.5, 1])), "upload:1") == (
        RIGHT,
        Region("C", (0.0, 0.25, 0.5, 1.0)),
    )
    assert regions_of(None, "upload:1") == ()
    assert regions_of(told(("A", [0.5, 0, 1, 1])), "upload:2") == (), "of a figure that was replaced"


@pytest.mark.parametrize(
    "regions",
    [
        None,
        "A",
        [5],
        [{"box": [0, 0, 1, 1]}],
        [{"name": "A", "box": "0011"}],
        [{"name": "A", "box": [0, 0, 1]}],
        [{"name": "A", "box": [0, 0, 1, 2]}],
        [{"name": "A", "box": [0, 0, 1, float("nan")]}],
        [{"name": "A", "box": [0, 0, True, 1]}],
        [{"name": "A", "box": [0.5, 0, 0.2, 1]}],
        [{"name": "", "box": [0, 0, 1, 1]}],
        [{"name": "AB", "box": [0, 0, 1, 1]}],
        [{"name": "<", "box": [0, 0, 1, 1]}],
        [{"name": "A", "box": [0, 0, 1, 1]}] * 2,
        [{"name": name, "box": [0, 0, 1, 1]} for name in "ABCDEFGHIJ"[: MAX_REGIONS + 1]],
    ],
)
def test_what_is_no_region_is_refused(regions):
    with pytest.raises(InputError, match="no region"):
        regions_of({"figure": "upload:1", "regions": regions}, "upload:1")


def test_the_pixels_are_the_uploads_own_even_where_the_figure_is_smaller():
    y, x = np.mgrid[:1000, :2000]
    large = Image.fromarray(np.stack((x % 256, y % 256, x // 256 + 16 * (y // 256)), axis=-1).astype(np.uint8))
    for original, pixels in ((None, np.asarray(NOISE)[:, 400:]), (encode_png(large), np.asarray(large)[:, 1000:])):
        seen: list[bytes] = []
        read_region(FIGURE, RIGHT, lambda data, seen=seen: seen.append(data) or (), original)
        assert np.array_equal(np.asarray(open_image(seen[0])), pixels), "read at its own resolution"
    assert np.array_equal(
        np.asarray(open_image(cut_out(FIGURE, RIGHT, read=FIGURE, original=encode_png(large)).figure.image)), pixels
    )


def test_the_lines_in_a_region_are_those_that_stand_there():
    part = cut_out(FIGURE, RIGHT, read=FIGURE)
    assert texts(part.figure.ocr) == ["Epooh", "l0"]
    assert part.figure.ocr[0].box == (0.2, 0.9, 0.6, 1.0)


def test_what_is_read_in_a_region_by_itself_takes_the_place_of_what_was_found_in_the_whole():
    again = (
        OcrLine(text="Epoch", box=(0.2, 0.9, 0.6, 1.0), role="x-axis", source="rapidocr"),
        OcrLine(text="new", box=(0.7, 0.3, 0.8, 0.35), source="rapidocr"),
        OcrLine(text="of both", box=(0.0, 0.0, 0.2, 0.1), source="rapidocr"),
        OcrLine(text="at the side", box=(0.0, 0.5, 0.3, 0.55), source="rapidocr"),
    )
    part = cut_out(FIGURE, RIGHT, read=FIGURE, again=again)
    assert sorted(texts(part.figure.ocr)) == ["Epoch", "at the side", "l0", "new"]


def test_what_the_visitor_has_changed_is_not_read_over():
    corrected = replace(EPOCH, text="Epochs", confidence=1.0, source="visitor")
    added = OcrLine(text="mine", box=(0.8, 0.3, 0.9, 0.35), source="visitor")
    left = replace(FIGURE, ocr=(corrected, LOSS, WIDE, added))
    again = (
        OcrLine(text="Epoch", box=(0.2, 0.9, 0.6, 1.0), role="x-axis"),
        OcrLine(text="10", box=(0.2, 0.7, 0.3, 0.8), role="x-tick"),
        OcrLine(text="yours", box=(0.6, 0.3, 0.8, 0.35)),
    )
    assert texts(cut_out(left, RIGHT, read=FIGURE, again=again).figure.ocr) == ["Epochs", "mine"], "l0 is switched off"


def test_a_region_is_read_again_where_its_text_is_small_or_missing():
    def figure(letters: float, source: str = "rapidocr", orientation: int = 0) -> Figure:
        high = letters / (800 if orientation else 400)
        box = (0.6, 0.5, 0.6 + high, 0.7) if orientation else (0.6, 0.5, 0.8, 0.5 + high)
        return replace(FIGURE, ocr=(OcrLine(text="x", box=box, source=source, orientation=orientation),))

    assert wants_reading(figure(10), RIGHT.box)
    assert wants_reading(figure(10, orientation=90), RIGHT.box)
    assert not wants_reading(figure(30), RIGHT.box)
    assert not wants_reading(figure(30, orientation=90), RIGHT.box)
    assert wants_reading(figure(30), RIGHT.box, original=b"more pixels")
    assert wants_reading(figure(30), CORNER.box), "nothing was found there"
    assert not wants_reading(figure(10, "pdf"), RIGHT.box, original=b"more pixels"), "text of the file itself is exact"


def test_a_region_is_read_once_as_long_as_uploads_are_kept():
    now, seen = [0.0], []
    reader = RegionReader(lambda data: seen.append(data) or (), lambda: now[0])
    page = OnPage(session=Session(FIGURE), regions=told(("B", list(EMPTY))))
    for _ in range(2):
        (part,) = asyncio.run(reader.parts(page))
    assert (part.name, part.box) == ("B", EMPTY)
    assert len(seen) == 1
    now[0] = KEPT_S + 1
    asyncio.run(reader.parts(page))
    assert len(seen) == 2, "and not known for longer"
    assert asyncio.run(reader.parts(OnPage(session=Session(FIGURE)))) == ()
    assert asyncio.run(reader.parts(OnPage(regions=told(("B", list(EMPTY)))))) == ()


def test_a_region_has_the_paragraphs_that_are_switched_on():
    figure = replace(FIGURE, mentions=("One.", "Two."))
    chosen = {"figure": FIGURE.id, "slots": {}, "paragraphs": [{"number": 1, "on": True, "text": None}]}
    page = OnPage(session=Session(figure), context=chosen, regions=told(("A", list(RIGHT.box))))
    (part,) = asyncio.run(RegionReader(lambda data: ()).parts(page))
    assert part.figure.mentions == ("Two.",)


def test_a_model_of_several_images_sees_the_region_and_the_whole():
    parts = [cut_out(FIGURE, region, read=FIGURE) for region in (RIGHT, CORNER)]
    given = question_about(FIGURE, parts, "What is here?", history=HISTORY, max_images=8)
    assert [np.asarray(open_image(image)).shape for image in given.images] == [
        (400, 800, 3),
        (768, 768, 3),
        (384, 768, 3),
    ]
    assert flat(given.messages).count("<image>") == 3
    assert flat(given.messages[:1]).startswith("<image>")
    assert flat(given.messages[-1:]).endswith("What is here?")
    assert (given.asked, given.note) == ("Regions A, B: What is here?", "")
    fewer = question_about(FIGURE, parts, "What is here?", max_images=2)
    assert len(fewer.images) == flat(fewer.messages).count("<image>") == 2
    assert fewer.note == "This model takes 2 images. Left out: B."


def test_a_model_of_one_image_sees_the_last_region_alone():
    parts = [cut_out(FIGURE, region, read=FIGURE) for region in (CORNER, RIGHT)]
    given = question_about(FIGURE, parts, "What is here?", history=HISTORY, max_images=1)
    assert given.images == [parts[1].figure.image]
    assert flat(given.messages) == (
        "<image>Text in the figure:\nx-axis: Epooh [20 90 60 100]\nx-tick: l0 [25]\nWhat is here?"
    ), "with the text inside it only, and no turn about an image that it does not see"
    assert given.note == (
        "This model takes one image: region A is sent alone, with the text in it. Left out: B. "
        "Earlier questions are not sent with it."
    )
