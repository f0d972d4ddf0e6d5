"""The HTML page of explained figures: who wrote it, where regions are named, and that it is legal HTML whatever a paper says."""

from importlib.metadata import version

import pytest
from browsing import running_chromium

from llava_graph.explained import Answer, AskedRegion, ExplainedFigure, to_html
from llava_graph.record import Figure
from llava_graph.standalone import standalone_page

OURS = f"llava-graph {version('llava-graph')}"


def explained(png: bytes, caption: str = "Growth.", **changes) -> ExplainedFigure:
    figure = Figure(id="local:a#fig1", image=png, width=120, height=80, label="Figure 1", caption=caption)
    regions = (AskedRegion(name="A", box=(0.1, 0.4, 0.5, 0.8)), AskedRegion(name="B", box=(0.6, 0.1, 0.9, 0.4)))
    answer = Answer(question="What is here?", text="A line.", model="m", regions=regions)
    return ExplainedFigure(figure=figure, answers=(answer,), **changes)


def test_the_footer_names_the_program_and_other_versions_once(png):
    page = to_html(explained(png, versions=(OURS, "torch 2.0")))
    assert f"Written by LLaVA-Graph {version('llava-graph')} · torch 2.0" in page
    assert "llava-graph explain" not in page
    assert OURS not in page


def test_control_characters_are_left_out_and_lines_stay(png):
    page = to_html(explained(png, caption="Gro\x00wth\x0c of\x1b[1m\tants\nand \x85bees"))
    assert "Growth of[1m\tants\nand bees" in page
    assert not [sign for sign in page if ord(sign) < 32 and sign not in "\n\t"]


def test_every_page_of_ours_leaves_them_out():
    pieces = standalone_page(
        "{% block page %}{{ words }}{% endblock %}", style="", script="", generator="g", words="a\x00b"
    )
    assert "".join(pieces) == "ab"


@pytest.mark.browser
def test_names_of_regions_stand_beside_the_picture_and_look_like_their_boxes(png, tmp_path):
    (tmp_path / "page.html").write_text(to_html(explained(png)), encoding="utf-8")
    with running_chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto((tmp_path / "page.html").as_uri())
        picture = page.locator(".sheet img").bounding_box()
        names, boxes = page.locator(".regions li"), page.locator(".sheet .region")
        assert names.all_inner_texts() == ["region A", "region B"]
        assert boxes.count() == 2
        assert page.locator(".sheet .region span:visible").count() == 0
        looks = []
        for place in range(2):
            name = names.nth(place).bounding_box()
            assert name["y"] + name["height"] <= picture["y"]
            pair = [
                one.nth(place).evaluate("e => getComputedStyle(e).borderStyle + getComputedStyle(e).borderColor")
                for one in (names, boxes)
            ]
            assert pair[0] == pair[1]
            looks += pair[:1]
        assert looks[0] != looks[1]
