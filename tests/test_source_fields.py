"""What of each published layout lands in which field of the record, and what is left out under which reason."""

from collections import Counter

import pyarrow as pa
import pytest
from published_sets import WRITERS, jpeg, llava, picture, pictures, put, write_hub, write_scicap

from llava_graph.columns import FIGURES
from llava_graph.dataset import read_dataset, read_dropped
from llava_graph.errors import RecordError, SampleRefused
from llava_graph.record import Table, split_of
from scicap_builder.sources import source_of
from scicap_builder.sources.contract import ImportOptions
from scicap_builder.sources.importing import import_source, read_row
from scicap_builder.sources.pmc_vqa import right_choice
from scicap_builder.sources.root import Root
from scicap_builder.sources.scigraphqa import deplot_table
from scicap_builder.sources.tables import text


@pytest.fixture
def imported(tmp_path):
    """(name, **options) -> (figures by the end of their id, reasons of what was dropped, integrity)"""

    def read(name, root=None, **options):
        if root is None:
            root = tmp_path / "root"
            WRITERS[name](root)
        out = tmp_path / f"out-{name}-{options.get('subset', '').replace('/', '-')}"
        done = import_source(source_of(name), root, out, ImportOptions(**options))
        figures = {figure.id.partition(":")[2]: figure for figure in read_dataset(out)}
        return figures, [item.reason for item in read_dropped(out)], done.integrity

    return read


CLASS_FOLDERS = ("bach", "oscc", "colonpath")
"""Their rows are names of files that we found ourselves."""


def said(figure):
    return [turn.text for turn in figure.turns]


def test_scicap(imported):
    figures, reasons, integrity = imported("scicap")
    first = figures["1001.0025v1#fig2"]
    assert (first.label, first.caption, first.kind, first.split) == ("Figure 2", "Loss falls.", "chart", "train")
    assert (first.paper.id, first.paper.title, first.paper.licence) == ("arxiv:1001.0025v1", "On loss", "CC-BY-4.0")
    assert first.paper.categories == ("cs.LG", "cs.AI")
    assert [line.text for line in first.ocr] == ["loss", "epoch", "0", "10"]
    assert {line.box for line in first.ocr} == {(0, 0, 1, 1)}, "SciCap has no boxes: all that is known is the image"
    old = figures["cs/0102003v1#fig10"]
    assert (old.paper.id, old.label, old.caption) == ("arxiv:cs/0102003v1", "Fig. 10", "Two panels of error.")
    assert old.source == "scicap/yes-subfig"
    assert {figure.split for figure in figures.values()} == {"train", "validation", "test"}
    assert reasons == ["bad-record"]
    assert integrity.files[0].found


def test_scicap_by_an_experiments_list(imported):
    figures, reasons, integrity = imported("scicap", subset="first-sentence/no-subfig")
    assert list(figures) == ["1001.0025v1#fig2"]
    assert reasons == ["no-caption-file"]
    assert any("published: 106834" in line for line in integrity.lines())


def test_scicap_with_folders_as_its_readme_draws_them(imported, tmp_path):
    root = tmp_path / "capital"
    write_scicap(root)
    for folder in ("SciCap-Caption-All", "SciCap-No-Subfig-Img", "SciCap-Yes-Subfig-Img"):
        for split in ("train", "val", "test"):
            if (root / folder / split).is_dir():
                (root / folder / split).rename(root / folder / split.capitalize())
    figures, _, _ = imported("scicap", root)
    assert len(figures) == 4


def test_scicap_plus(imported):
    figures, reasons, integrity = imported("scicap-plus")
    assert figures["1001.0025v1#fig2"].mentions == ("As Figure 2 shows, loss falls.", "See Figure 2.")
    assert figures["1502.00003v2#fig1"].mentions == ("Figure 1 has the accuracy.",)
    assert figures["1502.00004v1#fig3"].mentions == ()
    assert (integrity.repairs, reasons) == ({"no file of mentions": 1}, [])


def test_scicap_challenge(imported):
    figures, reasons, integrity = imported("scicap-challenge")
    assert reasons == ["no-image-entry"]
    for number in (1, 2, 3):
        figure = figures[f"{number:012d}"]
        assert (figure.label, figure.caption) == (f"Figure {number}", f"Loss of run {number}.")
        assert figure.mentions == (f"Figure {number} shows the loss.", f"We return to Figure {number}.")
        assert figure.image == picture(number - 1), "the image is its annotation's, in whatever order they stand"
    hidden = figures[f"{8:012d}"]
    assert hidden.mentions == ("Figure 8 shows the loss.", "We return to Figure 8.")
    assert (hidden.split, hidden.paper.id, hidden.paper.categories) == ("test", "arxiv:1502.00003", ("cs.LG", "cs.AI"))
    assert hidden.source == "scicap-challenge/hide_test"
    assert "train.json: 3 images, 4 annotations" in integrity.problems


def test_scigraphqa(imported):
    figures, reasons, integrity = imported("scigraphqa")
    train, test = figures["1801.01974v2#fig10"], figures["1801.01975v1#fig2"]
    assert said(train) == ["What does the graph show?", "Loss.", "What is the axis?", "Epochs."]
    assert (train.mentions, train.paper.title, train.paper.abstract) == (
        ("Figure 10 shows the loss.",),
        "On loss",
        "We fall.",
    )
    assert (train.split, test.split) == ("train", "test")
    assert test.table == Table(header=("epoch", "loss"), rows=(("0", "1.5"), ("1", "0.5")), title="Loss")
    assert set(integrity.repairs) == {"repeated rows of a table left out", "ragged rows of a table left out"}
    assert reasons == ["no-target"]


def test_a_table_of_deplot_without_rows_is_none():
    assert deplot_table("TITLE | a <0x0A> x | y") == (None, ("table without rows",))
    assert deplot_table("") == (None, ())


def test_vqa_rad(imported):
    figures, reasons, _ = imported("vqa-rad")
    assert said(figures["synpic1#q1"]) == ["Is the heart enlarged?", "Yes"]
    assert figures["synpic1#q1"].source == "vqa-rad/closed"
    assert said(figures["synpic1#q2"])[1] == "3", "an answer that is a number"
    assert (figures["synpic2#q3"].split, figures["synpic1#q2"].split) == ("test", "train")
    assert reasons == ["no-answer", "duplicate"]


def test_textvqa_keeps_all_answers_and_the_words_as_they_were_read(imported):
    figures, reasons, _ = imported("textvqa")
    assert reasons == ["no-answer"]
    asked = figures["bb02#q2"]
    assert said(asked) == ["What is the brand of this camera?", "dakota digital"], "what most people said"
    assert Counter(asked.turns[1].references) == {"dakota": 4, "dakota digital": 5, "clos culombu": 1}
    assert [(line.text, line.box) for line in asked.ocr] == [
        ("DAKOTA", pytest.approx((0.5, 0.2, 0.75, 0.3))),
        ("DIGITAL", pytest.approx((0.5, 0.2, 0.75, 0.3))),
    ]
    assert (asked.split, figures["aa01#q1"].split, figures["aa01#q1"].ocr) == ("validation", "train", ())


def test_slake_reads_one_language(imported):
    figures, reasons, _ = imported("slake")
    assert {name: figure.split for name, figure in figures.items()} == {
        "1#q1": "train", "2#q3": "train", "2#q4": "validation", "3#q5": "test",
    }  # fmt: skip
    assert reasons == ["other-language"]
    assert (figures["1#q1"].kind, figures["1#q1"].source) == ("radiograph", "slake/closed")
    assert figures["3#q5"].image == jpeg(3), "not the mask beside it"
    assert len(imported("slake", subset="all")[0]) == 5


def test_path_vqa(imported):
    figures, reasons, _ = imported("path-vqa")
    assert sorted(figures) == sorted(
        f"{split}_0001{again}" for split in ("train", "val", "test") for again in ("", "~2")
    )
    assert figures["val_0001"].split == "validation"
    assert (figures["test_0001"].source, figures["test_0001~2"].source) == ("path-vqa/closed", "path-vqa/open")
    assert reasons == ["image-missing"] * 3


@pytest.mark.parametrize("name", ["vqa-rad", "path-vqa"])
def test_the_hubs_parquet(name, imported, tmp_path):
    rows = [
        (picture(1), "Is it?", "yes"),
        (picture(2), "What is it?", "a cell"),
        (picture(1)[:40], "Is it?", "no"),
        (None, "Is it?", "no"),
    ]
    write_hub(tmp_path / "hub", {"train": rows, "test": rows[:1]})
    figures, reasons, _ = imported(name, tmp_path / "hub")
    assert {key: figure.source for key, figure in figures.items()} == {
        "train/1": f"{name}/closed", "train/2": f"{name}/open", "test/1": f"{name}/closed",
    }  # fmt: skip
    assert figures["train/2"].image == picture(2)
    assert reasons == ["image-broken", "image-missing"]


@pytest.mark.parametrize("name", ["vqa-rad", "slake", "path-vqa"])
def test_llava_meds_conversion(name, imported, tmp_path):
    root = tmp_path / "converted"
    put(root, "train.json", [llava("1", "a.jpg", "What is it?", "A scan.")])
    question = "Is it? Please choose from the following two options: [yes, no]"
    put(
        root,
        "test.json",
        [
            llava("1", "a.jpg", question, "yes", answer_type="CLOSED"),
            llava("2", "a.jpg", "Side?", "left", answer_type="CLOSED"),
        ],
    )
    pictures(root, "images/a.jpg")
    figures, _, _ = imported(name, root)
    assert said(figures["test:1"]) == [question, "yes"]
    assert {figure.source for figure in figures.values()} == {f"{name}/open", f"{name}/closed"}
    assert figures["test:2"].source == f"{name}/closed", "as it is stated, whatever the answer is"
    assert (figures["train:1"].split, figures["test:1"].split) == ("train", "test")


def test_pmc_vqa(imported):
    figures, reasons, _ = imported("pmc-vqa")
    listed = "\nA: choice A\nB: choice B\nC: choice C\nD: choice D"
    assert said(figures["PMC1_F1#train"]) == [f"What is it?{listed}", "B: choice B"]
    assert said(figures["PMC1_F1#train~2"]) == [f"And this?{listed}", "C: choice C"], (
        "by the text, where no letter is given"
    )
    assert said(figures["PMC4_F2#test"])[1] == "D: choice D", "version 2 has the letter under Answer"
    assert figures["PMC1_F1#train"].caption == "", "the caption would answer the question"
    assert figures["PMC1_F1#train"].paper.id == "pmc:PMC1"
    assert reasons == ["no-right-choice", "no-question"]
    for label, answer, choices in (
        ("", "x", ["x", "x", "y", "z"]),
        ("D", "x", ["x", "y", "z", ""]),
        ("", "", [""] * 4),
    ):
        if label == "D":
            assert right_choice(label, answer, choices) == 0, "a letter without its choice says nothing"
        else:
            with pytest.raises(SampleRefused, match="none of the choices, or several"):
                right_choice(label, answer, choices)


def test_llava_med(imported):
    alignment, _, integrity = imported("llava-med-alignment")
    assert (alignment["11_F1"].kind, alignment["11_F1"].paper.id) == ("ct", "pmid:11")
    assert integrity.repairs == {"conversatons read as conversations": 1}
    instruct, _, _ = imported("llava-med-instruct")
    assert len(instruct["11_F1"].turns) == 4
    assert instruct["12_F2"].kind == "", "of two kinds at once none is the figure's"
    assert instruct["11_F1"].source == "llava-med-instruct/60k_inline_mention"
    assert instruct["11_F1"].split == split_of("pmid:11")
    captions, reasons, _ = imported("llava-med-captions")
    pair = captions["11_F1"]
    assert (pair.label, pair.caption, pair.mentions) == (
        "Fig. 1",
        "Scan of the chest.",
        ("Fig. 1 shows a scan.", "Fig. 1 again."),
    )
    assert reasons == ["no-fig-caption", "duplicate"], "a pair in two domains is one figure"
    questions, _, _ = imported("llava-med-qa50")
    assert said(questions["7"]) == ["What is it?", "A scan."]
    assert (questions["7"].source, questions["7"].split) == ("llava-med-qa50/conversation", "test")
    assert questions["7"].mentions == ("Fig. 1 shows a scan.",)


def test_quilt(imported):
    pretrain, _, _ = imported("quilt-pretrain")
    assert said(pretrain["p"]) == ["Describe it.", "A gland."]
    instruct, reasons, _ = imported("quilt-instruct")
    assert list(instruct) == ["same", "same~2", "abductive"], "published ids repeat; turns may be role and content"
    assert {figure.paper.id for figure in (*instruct.values(), *pretrain.values())} == {"youtube:VIDEO1"}
    assert len({figure.split for figure in (*instruct.values(), *pretrain.values())}) == 1, "a video is in one split"
    assert reasons == []
    questions, _, _ = imported("quilt-vqa")
    assert (said(questions["1"])[1], questions["1"].source) == ("Yes", "quilt-vqa/closed")
    assert (said(questions["2"])[1], questions["2"].source) == ("A gland.", "quilt-vqa/open")


def test_quilt_1ms_table(imported):
    figures, reasons, _ = imported("quilt-1m")
    assert sorted((figure.caption, figure.split) for figure in figures.values()) == [
        ("A gland.", "train"),
        ("Its stroma.", "train"),
    ]
    assert {figure.paper.id for figure in figures.values()} == {"youtube:VIDEO1"}
    assert {figure.source for figure in figures.values()} == {"quilt-1m/quilt"}
    assert reasons == ["image-missing", "no-caption", "duplicate"]


def test_quilt_vqa_red_has_two_sets_of_images(imported):
    circled, _, _ = imported("quilt-vqa-red")
    plain, _, _ = imported("quilt-vqa-red", subset="plain")
    assert circled["1"].image == jpeg(5)
    assert plain["1"].image == jpeg(2)
    assert said(circled["1"]) == said(plain["1"])


def test_pubmedvision(imported):
    figures, reasons, _ = imported("pubmedvision")
    assert figures["instruction:a"].kind == "ct"
    assert figures["instruction:a"].paper.id == "pubmedvision:pmc_1"
    assert reasons == ["several-images"]


def test_pmc_oa(imported):
    figures, reasons, _ = imported("pmc-oa")
    assert (figures["PMC21_Fig3_4"].caption, figures["PMC21_Fig3_4"].paper.id) == ("A. A membrane.", "pmc:PMC21")
    assert figures["PMC22_Fig1_1"].split == "validation"
    assert reasons == ["no-caption"]


def test_empty_values_say_nothing():
    assert [text({"a": value}, "a") for value in (None, float("nan"), "NaN", "  ", 0, False)] == [
        "",
        "",
        "",
        "",
        "0",
        "False",
    ]
    with pytest.raises(SampleRefused, match="must be a text, got list"):
        text({"a": ["x"]}, "a")
    with pytest.raises(SampleRefused, match="half a character"):
        text({"a": "\ud800"}, "a")


JUNK = (
    None,
    3.5,
    True,
    float("nan"),
    [],
    {},
    ["x", 3, None],
    [["x"]],
    {"a": 1},
    "",
    " ",
    "\ud800",
    "../x",
    "<image>",
    b"x",
    "x" * 10000,
)


def spoiled(row):
    """The row itself replaced, and each of its values: one at a time."""
    yield from JUNK
    if isinstance(row, tuple):  # a row with the name of its file or folder
        yield from ((row[0], *rest) for rest in ([inner] for inner in spoiled(row[1])))
    elif isinstance(row, dict):
        for key in row:
            yield from ({**row, key: junk} for junk in JUNK)
            yield {name: value for name, value in row.items() if name != key}
        for key, value in row.items():
            if isinstance(value, list) and value:
                yield from ({**row, key: [junk, *value[1:]]} for junk in JUNK)


@pytest.mark.parametrize("name", WRITERS)
def test_a_spoiled_row_is_refused_or_read_but_never_more(name, tmp_path):
    WRITERS[name](tmp_path)
    root = Root(tmp_path)
    source = source_of(name)
    count = refused = 0
    for part in source.parts(root, source.subset("")):
        for index in range(min(len(part.rows), 2)):
            try:
                row = part.rows[index]
            except SampleRefused:
                continue
            for bad in spoiled(row) if name not in CLASS_FOLDERS else ():
                count += 1
                try:
                    entry = read_row(
                        part, bad if not isinstance(row, tuple) or isinstance(bad, tuple) else (row[0], bad), 1
                    )
                except (SampleRefused, RecordError):
                    refused += 1
                    continue
                assert all(isinstance(picture, str) for picture in entry.pictures)
                assert len(pa.Table.from_pylist([entry.figure.to_row()], schema=FIGURES)) == 1, "a shard can hold it"
    assert name in CLASS_FOLDERS or 0 < refused < count
