"""Published data sets, imported from rows in their own layout, are what the tasks of `llava-graph evaluate` ask about."""

import pytest
from published_sets import WRITERS

from llava_graph.dataset import read_dataset
from llava_graph.evaluate.answered import CHAT, CHOICE, CLOSED, EXPLAIN, FREE, LABEL, OPEN, REPORT, Pair
from llava_graph.evaluate.choices import listed_choices
from llava_graph.evaluate.measures import measure_all
from llava_graph.evaluate.tasks import find_task, items_of
from scicap_builder.sources import source_of
from scicap_builder.sources.contract import ImportOptions
from scicap_builder.sources.importing import import_source

ASKED = {
    "vqa-rad": ("vqa-rad", {OPEN, CLOSED}),
    "slake": ("slake", {OPEN, CLOSED}),
    "path-vqa": ("path-vqa", {OPEN, CLOSED}),
    "quilt-vqa": ("quilt-vqa", {OPEN, CLOSED}),
    "quilt-vqa-red": ("quilt-vqa-red", {OPEN, CLOSED}),
    "pmc-vqa": ("pmc-vqa", {CHOICE}),
    "scigraphqa": ("scigraphqa", {CHAT}),
    "scicap-plus": ("scicap", {EXPLAIN}),
    "mimic-cxr": ("xray-report", {REPORT}),
    "llava-med-qa50": ("llava-med-qa50", {FREE}),
    "bach": ("zero-shot", {LABEL}),
}


@pytest.mark.parametrize("source", ASKED)
def test_a_right_answer_to_every_item_scores_best(source, tmp_path):
    task, kinds = ASKED[source]
    WRITERS[source](tmp_path / "root")
    import_source(source_of(source), tmp_path / "root", tmp_path / "out", ImportOptions(missing_images="keep"))
    items, _ = items_of(find_task(task), read_dataset(tmp_path / "out", images=False))
    assert {item.kind for item in items} <= kinds
    for item in items:
        if item.kind == CHOICE:
            choices = listed_choices(item.question)
            assert len(choices) >= 2
            assert choices[item.reference[0]] in item.reference
    scores = {one.key: one for one in measure_all([Pair(item=item, text=item.reference) for item in items])}
    for best in (
        "strict/ROUGE-L",
        "strict/open exact match",
        "strict/closed accuracy",
        "strict/choice accuracy",
        "strict/accuracy",
    ):
        if best in scores:
            assert scores[best].value == pytest.approx(1)
    assert any(one.flavour == "strict" and one.value for one in scores.values())
