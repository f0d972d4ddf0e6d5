"""Chest X-ray reports by MGCA's steps, pathology by folders of classes, and PA-LLaVA's cleaning by a model behind a chat endpoint."""

import json

import httpx
import pytest
from published_sets import picture, write_bach, write_colonpath, write_mimic, write_oscc, write_pa_llava

from llava_graph.command import run
from llava_graph.dataset import read_dataset, read_dropped, write_dataset
from llava_graph.errors import DatasetError, InputError, ServeError
from llava_graph.openai_client import ApiModel
from llava_graph.record import Figure, Turn
from scicap_builder.cli import app
from scicap_builder.sources import pa_llava, source_of
from scicap_builder.sources.cleaning import CleanOptions, clean, yes_or_no
from scicap_builder.sources.contract import ImportOptions
from scicap_builder.sources.importing import import_source
from scicap_builder.sources.reports import mgca_sentences, sections

TOLD = "Normal chest. Lungs are clear. No effusion."
"""Of the fixture's report: impression before findings, list numbers gone, the sentence of one word ("Stable.") too."""


def imported(name, root, out, **options):
    import_source(source_of(name), root, out, ImportOptions(**options))
    return {figure.id.partition(":")[2]: figure for figure in read_dataset(out)}, [
        item.reason for item in read_dropped(out)
    ]


@pytest.mark.parametrize("sectioned", [True, False])
def test_mimic_cxr(sectioned, tmp_path):
    write_mimic(tmp_path / "root", sectioned=sectioned)
    figures, reasons = imported("mimic-cxr", tmp_path / "root", tmp_path / "out")
    first, second = figures["s50-aaa"], figures["s51-ccc"]
    assert [turn.text for turn in first.turns] == ["Illustrate the image through a detailed medical report", TOLD]
    assert second.turns[1].text == "Heart size is normal."
    assert (first.source, first.split, first.kind, first.paper.id) == (
        "mimic-cxr/PA",
        "train",
        "radiograph",
        "mimic-cxr:p10000032",
    )
    assert (second.source, second.split, second.image) == ("mimic-cxr/AP", "validation", picture(2))
    assert reasons == ["other-view", "no-section", "other-view"], "lateral; neither section; a view that is not stated"
    assert "credentialed" in first.licence


def test_a_mimic_report_as_it_is_written(tmp_path):
    write_mimic(tmp_path / "root")
    figures, _ = imported("mimic-cxr", tmp_path / "root", tmp_path / "out", subset="sections")
    assert (
        figures["s50-aaa"].turns[1].text
        == "FINDINGS: 1. Lungs are clear. 2. No effusion.\nIMPRESSION: Normal chest. Stable."
    )


def test_mgcas_sentences():
    assert mgca_sentences("", "Low lung volumes; 2. Clear.\nNo change since 3.5 cm.") == [
        "low lung volumes",
        "no change since",
        "5 cm",
    ]
    assert mgca_sentences("Naïve café view", "") == ["nave caf view"], "what is not ASCII is stripped from words"
    assert mgca_sentences("Normal", "No change") == ["normal no change"], "nothing but a blank between the two"
    assert mgca_sentences("Normal chest.", "Stable.") == []
    assert mgca_sentences("", "") == []


def test_sections_of_a_report():
    found = sections(" REASON FOR EXAM: Cough.\n\n FINDINGS AND IMPRESSION: Clear lungs.\n NOTIFICATION: By phone.\n")
    assert found == {"impression": "Clear lungs."}
    assert sections("Text alone.\n\nLast words\nhere.") == {"last_paragraph": "Last words here."}
    assert sections("") == {"last_paragraph": ""}


def test_folders_of_classes(tmp_path):
    write_bach(tmp_path / "bach")
    figures, _ = imported("bach", tmp_path / "bach", tmp_path / "out-bach")
    labels = {figure.turns[1].text for figure in figures.values()}
    assert len(figures) == len(labels) == 4
    for figure in figures.values():
        assert all(label in figure.turns[0].text for label in labels), "the question lists the labels"
        assert figure.image.startswith(b"\x89PNG"), "TIFF becomes PNG"
        assert figure.split == "test"
    write_oscc(tmp_path / "oscc")
    figures, _ = imported("oscc", tmp_path / "oscc", tmp_path / "out-oscc")
    assert {name: (figure.split, figure.turns[1].text) for name, figure in figures.items()} == {
        "normal/a": ("train", "normal oral epithelium"),
        "oscc/b": ("train", "oral squamous cell carcinoma"),
        "oscc/c": ("test", "oral squamous cell carcinoma"),
    }
    write_colonpath(tmp_path / "colon")
    (tmp_path / "colon" / "tumor" / "b.jpg").unlink()
    done = import_source(source_of("colonpath"), tmp_path / "colon", tmp_path / "out-colon")
    assert "no image of colon tumor" in done.integrity.problems
    (tmp_path / "other" / "malignant").mkdir(parents=True)
    with pytest.raises(DatasetError, match="Normal or .* is missing"):
        imported("colonpath", tmp_path / "other", tmp_path / "out-other")


def test_pa_llavas_pairs(tmp_path):
    write_pa_llava(tmp_path / "root")
    figures, reasons = imported("pa-llava", tmp_path / "root", tmp_path / "out")
    assert list(figures) == ["a"]
    assert figures["a"].caption == "", "the caption is the answer, and no context"
    assert figures["a"].turns[1].text.startswith("A section of human tissue")
    assert reasons == ["short-caption"]


def test_pa_llavas_pairs_draw_from_all_published_requests():
    pairs = [{"image": f"{number}.png", "caption": LONG} for number in range(400)]
    asked = [pa_llava.entry(pair, 0).figure.turns[0].text for pair in pairs]
    assert set(asked) == set(pa_llava.REQUESTS)
    assert len(pa_llava.REQUESTS) == 21
    assert asked == [pa_llava.entry(pair, 7).figure.turns[0].text for pair in pairs], "by the image's name alone"


def test_pa_llava_leaves_out_very_large_images(tmp_path, monkeypatch):
    monkeypatch.setattr("scicap_builder.sources.pa_llava.MAX_PIXELS", 24 * 16 - 1)
    write_pa_llava(tmp_path / "root")
    assert imported("pa-llava", tmp_path / "root", tmp_path / "out") == ({}, ["image-too-large", "short-caption"])


class Judge:
    """A chat endpoint that finds no tissue in red images, and animals by their name; it can be down."""

    def __init__(self):
        self.asked, self.fails_after = [], 10**6

    def __call__(self, request):
        if request.url.path.endswith("/models"):
            return httpx.Response(
                200, json={"object": "list", "data": [{"id": "judge", "object": "model", "owned_by": "x"}]}
            )
        if len(self.asked) >= self.fails_after:
            return httpx.Response(500, json={"error": {"message": "out of memory"}})
        content = json.loads(request.content)["messages"][-1]["content"]
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        image = next((part["image_url"]["url"] for part in parts if part["type"] == "image_url"), "")
        words = next(part["text"] for part in parts if part["type"] == "text")
        words = words if image else words.split("\n\n")[1]
        self.asked.append("image" if image else words)
        said = (
            "I cannot say." if "unclear" in words else "No." if "mouse" in words else "It is not seen at once, but yes."
        )
        if image:
            said = "no" if image in self.bad else "Yes"
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return httpx.Response(
            200, json={"id": "c", "object": "chat.completion", "created": 1, "model": "judge", "choices": [choice]}
        )

    bad: tuple[str, ...] = ()

    def model(self):
        return ApiModel("http://judge.test/v1", transport=httpx.MockTransport(self), sleep=lambda _: None)


LONG = "many glands and a stroma beside them " * 3


@pytest.fixture
def pairs(tmp_path):
    """Six records: good, short, no pathology, a mouse, unclear, without an image."""
    captions = [LONG, "short", LONG, f"a mouse with {LONG}", f"unclear {LONG}", LONG]
    figures = [
        Figure(id=f"p:{number}", image=None if number == 5 else picture(number), width=24, height=16, split="train",
               turns=(Turn(role="user", text="Describe."), Turn(role="assistant", text=caption)))
        for number, caption in enumerate(captions)
    ]  # fmt: skip
    write_dataset(figures, tmp_path / "pairs", options={"licence": "CC BY 4.0", "split": "as published"})
    return tmp_path / "pairs"


@pytest.fixture
def judge():
    import base64

    from llava_graph.images import encode_png, open_image

    found = Judge()
    found.bad = ("data:image/png;base64," + base64.b64encode(encode_png(open_image(picture(2)))).decode(),)
    return found


def test_cleaning_keeps_what_passes_and_names_what_does_not(pairs, judge, tmp_path):
    done = clean(pairs, tmp_path / "out", judge.model(), CleanOptions())
    assert [figure.id for figure in read_dataset(tmp_path / "out")] == ["p:0"]
    assert {item.item: item.reason for item in read_dropped(tmp_path / "out")} == {
        "p:1": "short-caption", "p:2": "no-pathology", "p:3": "not-human", "p:4": "unclear-verdict", "p:5": "no-image",
    }  # fmt: skip
    assert done.figures + sum(done.dropped.values()) == 6
    options = json.loads((tmp_path / "out" / "build.json").read_text())["options"]
    assert (options["model"], options["licence"], options["split"]) == ("judge", "CC BY 4.0", "as published")


def test_an_animal_is_found_in_a_question_too(judge, tmp_path):
    asked = Turn(role="user", text="What does this section of a mouse show?"), Turn(role="assistant", text="B: a gland")
    write_dataset([Figure(id="q", image=picture(1), turns=asked)], tmp_path / "questions")
    clean(tmp_path / "questions", tmp_path / "out", judge.model(), CleanOptions(steps=("pathology", "human")))
    assert [item.reason for item in read_dropped(tmp_path / "out")] == ["not-human"]


def test_a_cleaning_that_broke_off_asks_nothing_twice(pairs, judge, tmp_path):
    judge.fails_after = 3
    with pytest.raises(ServeError, match="out of memory"):
        clean(pairs, tmp_path / "out", judge.model(), CleanOptions(workers=1))
    judge.fails_after = 10**6
    done = clean(pairs, tmp_path / "out", judge.model(), CleanOptions(workers=1))
    assert done.keys == 6
    whole = Judge()
    whole.bad = judge.bad
    clean(pairs, tmp_path / "whole", whole.model(), CleanOptions(workers=1))
    assert sorted(judge.asked) == sorted(whole.asked)
    assert list(read_dataset(tmp_path / "out")) == list(read_dataset(tmp_path / "whole"))


def test_words_alone_need_no_model(pairs, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run(app, ["clean", str(pairs), "--out", str(tmp_path / "out"), "--steps", "words"])
    assert ended.value.code == 0
    assert "5 of 6 records are kept" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(InputError, match="ask a model"):
        clean(pairs, tmp_path / "other", None)
    with pytest.raises(InputError, match="--out is the data set itself"):
        clean(pairs, pairs, None, CleanOptions(steps=("words",), overwrite=True))
    assert len(list(read_dataset(pairs))) == 6
    with pytest.raises(InputError, match="unknown step 'word'"):
        CleanOptions(steps=("word",))


def test_the_last_word_is_the_verdict():
    assert [yes_or_no(said) for said in ("Yes.", "No", "No doubt: yes", "<think>yes?</think> no", "Normal tissue", "")] == [
        True, False, True, False, None, None,
    ]  # fmt: skip
