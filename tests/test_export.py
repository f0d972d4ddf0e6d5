"""Exports, read back as the loaders they are made for read them."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pdf_pages import PdfPage, write_pdf

from llava_graph.dataset import read_dataset, write_dataset
from llava_graph.errors import DatasetError, InputError
from llava_graph.images import encode_png, open_image
from llava_graph.prompt import LLAVA_GRAPH_REQUESTS, PromptOptions, build_sample
from llava_graph.record import Figure as Record
from llava_graph.record import OcrLine, Panel, Paper, Turn
from scicap_builder.exports import FORMATS, ExportOptions, export
from scicap_builder.exports.caption_place import find_caption
from scicap_builder.exports.pictures import image_name
from scicap_builder.exports.scicap_names import figure_name, figure_number, paper_name
from scicap_builder.exports.scicap_text import normalised, sentences
from scicap_builder.pdf import open_pdf, read_pdf

CC_BY = "http://creativecommons.org/licenses/by/4.0/"
ARXIV = "http://arxiv.org/licenses/nonexclusive-distrib/1.0/"


def record(id_: str, image: bytes, **fields) -> Record:
    size = open_image(image).size
    return Record(id=id_, image=image, width=size[0], height=size[1], source="local", **fields)


@pytest.fixture
def dataset(tmp_path, png):
    jpeg = tmp_path / "x.jpg"
    open_image(png).save(jpeg, "JPEG")
    figures = [
        record(
            "arxiv:hep-th/9901001v1#fig1",
            png,
            label="Figure 1",
            kind="chart",
            caption="Loss of <image> models",
            mentions=("Smith saw it. Figure 1 shows the loss.", "See Figure 1."),
            ocr=(OcrLine(text="test loss", box=(0.1, 0.1, 0.2, 0.2), role="y-axis", source="rapidocr"),),
            panels=(Panel(letter="a"), Panel(letter="b")),
            paper=Paper(
                id="arxiv:hep-th/9901001v1",
                title="T",
                abstract="A.",
                categories=("cs.LG", "stat.ML"),
                page=3,
                box=(0.1, 0.2, 0.5, 0.6),
                route="pdf",
                licence=CC_BY,
            ),
            licence=CC_BY,
            split="train",
        ),
        record(
            "local:a#fig2",
            jpeg.read_bytes(),
            label="Fig. 2",
            caption="No mention",
            paper=Paper(id="local:a"),
            licence=ARXIV,
            split="train",
        ),
        record(
            "local:b#figS1",
            png,
            label="Fig. S1",
            caption="C",
            mentions=("As the last but one shows.",),
            paper=Paper(id="local:b"),
            split="validation",
        ),
        record(
            "charts:7",
            png,
            split="test",
            turns=(Turn(role="user", text="Why?"), Turn(role="assistant", text="Because.")),
        ),
    ]
    write_dataset(figures, tmp_path / "set")
    return tmp_path / "set"


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_jsonl_holds_every_field_but_the_pixels(dataset, tmp_path):
    done = export(dataset, tmp_path / "deep" / "out.jsonl", "jsonl")
    rows = [json.loads(line) for line in (tmp_path / "deep" / "out.jsonl").read_text().splitlines()]
    assert done.figures == len(rows) == 4
    one = rows[0]
    assert "image" not in one
    assert one["paper"]["box"] == [0.1, 0.2, 0.5, 0.6]
    assert (one["label"], one["paper"]["page"], len(one["mentions"])) == ("Figure 1", 3, 2)
    assert one["ocr"][0]["text"] == "test loss"
    assert [Record.from_row(row) for row in rows] == list(read_dataset(dataset, images=False))


def test_llava_json_is_what_llava_reads(dataset, tmp_path, png):
    done = export(dataset, tmp_path / "llava", "llava-json")
    assert (done.figures, done.left_out) == (3, {"no-target": 1})
    [sample] = load(tmp_path / "llava" / "train.json")
    assert sample["id"] == "arxiv:hep-th/9901001v1#fig1"
    assert (tmp_path / "llava" / sample["image"]).read_bytes() == png
    human, gpt = sample["conversations"]
    assert (human["from"], gpt) == ("human", {"from": "gpt", "value": "Smith saw it. Figure 1 shows the loss."})
    assert human["value"].startswith("<image>\n")
    assert human["value"].count("<image>") == 1
    assert "Loss of < image > models" in human["value"]
    assert "test loss" in human["value"]
    [test] = load(tmp_path / "llava" / "test.json")
    assert [turn["value"] for turn in test["conversations"]] == ["<image>\nWhy?", "Because."]


def test_llava_json_comes_back_through_our_own_trainer(dataset, tmp_path):
    conversations = pytest.importorskip("train.sources.conversations")
    export(dataset, tmp_path / "llava", "llava-json")
    by_id = {figure.id: figure for figure in read_dataset(dataset)}
    for split in ("train", "validation", "test"):
        for sample in load(tmp_path / "llava" / f"{split}.json"):
            read = conversations.read_conversation(sample)
            assert all((tmp_path / "llava" / image).is_file() for image in read.images)
            assert read.repairs == ()
            wanted = json.dumps(build_sample(by_id[sample["id"]])).replace("<image>", "< image >")
            assert read.messages == json.loads(wanted)


def test_llava_json_without_the_text_in_the_figure(dataset, tmp_path):
    export(dataset, tmp_path / "llava", "llava-json", ExportOptions(prompt=PromptOptions(ocr=False)))
    [sample] = load(tmp_path / "llava" / "train.json")
    assert "test loss" not in sample["conversations"][0]["value"]


@pytest.mark.parametrize(
    ("ocr", "before"), [(True, "OCR extracted text list, separated by ', ' : test loss, test, loss "), (False, "")]
)
def test_the_historic_prompt_byte_for_byte(dataset, tmp_path, ocr, before):
    # findalexli/LLaVA-Graph: ocr sentence + caption + "<image>\n" + instruction, nothing between.
    export(dataset, tmp_path / "llava", "llava-json", ExportOptions(prompt=PromptOptions(style="llava_graph", ocr=ocr)))
    [sample] = load(tmp_path / "llava" / "train.json")
    value = sample["conversations"][0]["value"]
    rest = value.removeprefix(before + "Loss of < image > models<image>\n")
    assert rest in LLAVA_GRAPH_REQUESTS


def test_imagefolder_opens_with_datasets(dataset, tmp_path, png):
    datasets = pytest.importorskip("datasets")
    export(dataset, tmp_path / "pictures", "imagefolder")
    opened = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "pictures"), cache_dir=str(tmp_path / "cache")
    )
    assert {name: len(split) for name, split in opened.items()} == {"train": 2, "validation": 1, "test": 1}
    row = next(row for row in opened["train"] if row["id"].startswith("arxiv"))
    assert encode_png(row["image"].convert("RGB")) == encode_png(open_image(png))
    assert (row["title"], row["page"], row["first_mention"]) == ("T", 3, "Smith saw it. Figure 1 shows the loss.")
    assert json.loads(row["mentions"])[1] == "See Figure 1."
    assert json.loads(row["ocr"])[0]["box"] == [0.1, 0.1, 0.2, 0.2]
    assert [panel["letter"] for panel in json.loads(row["panels"])] == ["a", "b"]


SCICAP_KEYS = [
    "contains-subfigure",
    "Img-text",
    "paper-ID",
    "figure-ID",
    "figure-type",
    "0-originally-extracted",
    "1-lowercase-and-token-and-remove-figure-index",
    "2-normalized",
]


def scicap_examples(root, experiment: str, subfigures: str, split: str):
    """(caption fields, opened picture) in the way the published loaders take: the list, then JSON and PNG by its names."""
    for name in load(root / "List-of-Files-for-Each-Experiments" / experiment / subfigures / split / "file_idx.json"):
        assert name.endswith(".png")
        fields = load(root / "SciCap-Caption-All" / split / name.replace(".png", ".json"))
        picture = (root / f"SciCap-{subfigures}-Img" / split / fields["figure-ID"]).read_bytes()
        assert picture.startswith(b"\x89PNG")
        yield fields, open_image(picture)


def test_scicap_is_read_by_its_lists(dataset, tmp_path, png):
    done = export(dataset, tmp_path / "scicap", "scicap")
    assert (done.figures, done.left_out) == (3, {"no-figure-number": 1})
    [(one, picture)] = scicap_examples(tmp_path / "scicap", "First-Sentence", "Yes-Subfig", "train")
    assert list(one) == SCICAP_KEYS
    assert one["contains-subfigure"] is True
    assert (one["paper-ID"], one["figure-ID"]) == ("hep-th9901001v1", "hep-th9901001v1-Figure1-1.png")
    assert (one["figure-type"], one["Img-text"]) == ("Graph Plot", ["test", "loss"])
    assert one["0-originally-extracted"] == "Figure 1: Loss of <image> models"
    assert set(one["2-normalized"]) == {"2-1-basic-num", "2-2-advanced-euqation-bracket"}
    assert encode_png(picture) == encode_png(open_image(png))
    for experiment in ("Single-Sentence-Caption", "Caption-No-More-Than-100-Tokens"):
        [(two, _)] = scicap_examples(tmp_path / "scicap", experiment, "No-Subfig", "train")
        assert two["figure-ID"] == "a-Figure2-1.png"
    [(three, _)] = scicap_examples(tmp_path / "scicap", "First-Sentence", "No-Subfig", "val")
    assert three["figure-ID"] == "b-FigureS1-1.png"
    assert list(scicap_examples(tmp_path / "scicap", "First-Sentence", "No-Subfig", "test")) == []
    lines = (tmp_path / "scicap" / "arxiv-metadata-oai-snapshot.json").read_text().splitlines()
    assert json.loads(lines[0]) == {
        "id": "hep-th/9901001",
        "title": "T",
        "abstract": "A.",
        "categories": "cs.LG stat.ML",
        "license": CC_BY,
    }


def test_scicap_normalises_as_its_published_example():
    """The example of SciCap's README, 1001.0025v1-Figure2-1."""
    caption = (
        "Impact of the replay attack, as a function of the spoofing attack duration. (a) Location offset or error: "
        "Distance between the attack-induced and the actual victim receiver position."
    )
    fields = normalised(caption)
    first = fields["1-lowercase-and-token-and-remove-figure-index"]
    assert first["sentence"] == [
        "impact of the replay attack , as a function of the spoofing attack duration .",
        "( a ) location offset or error : distance between the attack-induced and the actual victim receiver position .",
    ]
    assert first["token"][:6] == ["impact", "of", "the", "replay", "attack", ","]
    assert fields["2-normalized"]["2-1-basic-num"] == first
    advanced = fields["2-normalized"]["2-2-advanced-euqation-bracket"]
    assert list(advanced) == ["caption", "sentence", "tokens"]
    assert advanced["sentence"][1].startswith("BRACKET-TK location offset or error :")


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Numbers 0, -0.2, 3.44%, 1,000,000.", "numbers NUM-TK , NUM-TK , NUM-TK , NUM-TK ."),
        ("In {braces [and (more)]} of any kind (x)", "in BRACKET-TK of any kind BRACKET-TK"),
        ("With n = 3 and f(x) = a * x + b", "with EQUAT-TK and EQUAT-TK"),
        ("An open ( bracket, 2010-2020, v1.5", "an open ( bracket , 2010-2020 , v1.5"),
        ("", ""),
    ],
)
def test_scicap_tokens_stand_for_numbers_brackets_and_equations(caption, expected):
    assert normalised(caption)["2-normalized"]["2-2-advanced-euqation-bracket"]["caption"] == expected


@given(st.text(max_size=200))
def test_normalising_loses_no_letter(caption):
    level = normalised(caption)["1-lowercase-and-token-and-remove-figure-index"]
    assert "".join(level["token"]) == "".join(caption.split()).lower() or not caption.isascii()
    assert " ".join(level["sentence"]) == level["caption"]


def test_a_full_stop_of_an_abbreviation_ends_no_sentence():
    assert sentences("As in Fig. 3 of A. Smith et al. [5], e.g. here. Then more.") == [
        "As in Fig. 3 of A. Smith et al. [5], e.g. here.",
        "Then more.",
    ]


def test_scicap_challenge_has_images_and_annotations(dataset, tmp_path):
    done = export(dataset, tmp_path / "challenge", "scicap-challenge")
    assert (done.figures, done.left_out) == (4, {})
    train = load(tmp_path / "challenge" / "train.json")
    assert list(train) == ["images", "annotations"]
    assert train["images"][0] == {
        "id": 1,
        "file_name": "000000000001.png",
        "figure_type": "Graph Plot",
        "ocr": ["test loss"],
    }
    by_image = {row["image_id"]: row for row in train["annotations"]}
    assert by_image[1] == {
        "id": 1,
        "image_id": 1,
        "caption": "Figure 1: Loss of <image> models",
        "caption_no_index": "Loss of <image> models",
        "paragraph": ["Smith saw it. Figure 1 shows the loss.", "See Figure 1."],
        "mention": [["Figure 1 shows the loss."], ["See Figure 1."]],
    }
    assert (by_image[2]["paragraph"], by_image[2]["mention"]) == ([], [])
    for row in train["images"]:
        assert (tmp_path / "challenge" / "img" / row["file_name"]).read_bytes().startswith(b"\x89PNG")
    val = load(tmp_path / "challenge" / "val.json")
    assert val["annotations"][0]["mention"] == [["As the last but one shows."]]
    assert load(tmp_path / "challenge" / "train-metadata.json")[0] == {
        "image_id": 1,
        "caption_id": 1,
        "caption_length": 4,
        "arXiv_id": "hep-th/9901001",
        "categories": "cs.LG,stat.ML",
    }
    ids = load(tmp_path / "challenge" / "ids.json")
    assert sorted(ids.values()) == sorted(figure.id for figure in read_dataset(dataset))
    assert (tmp_path / "challenge" / "public-test.json").exists()


PDFFIGURES2_TYPES = {
    "caption": str,
    "captionBoundary": dict,
    "figType": str,
    "imageText": list,
    "name": str,
    "page": int,
    "regionBoundary": dict,
    "renderDpi": int,
    "renderURL": str,
}


@pytest.fixture
def paper_set(tmp_path):
    """A paper that we draw, and the data set read from it."""
    page = PdfPage()
    y = page.body(70, 80, 450, 6, start="The result is shown in Figure 1.")
    page.plot(150, y + 12, 420, y + 172)
    page.text(150, y + 190, "Figure 1. Growth of the colony over time in three gardens.", 9)
    page.body(70, y + 227, 450, 8)
    (tmp_path / "pdfs").mkdir()
    pdf = write_pdf(tmp_path / "pdfs" / "ants.pdf", PdfPage(), page)
    [found] = read_pdf(pdf).figures
    paper = Paper(id="local:ants", page=found.page, box=found.box, licence=CC_BY)
    one = record("local:ants#fig1", found.image, label=found.label, caption=found.caption, paper=paper, licence=CC_BY)
    lost = record("local:gone#fig1", found.image, label="Figure 1", caption="Elsewhere", paper=Paper(id="local:gone"))
    nowhere = record("local:ants#fig2", found.image, label="Figure 2", caption="A", paper=Paper(id="local:ants"))
    strange = record("local:ants#fig3", found.image, label="Figure 3", caption="Words that are not in it", paper=paper)
    write_dataset([one, nowhere, strange, lost], tmp_path / "set")
    return tmp_path, found, page


def test_pdffigures2_json_is_in_points_of_the_page(paper_set):
    folder, found, page = paper_set
    done = export(folder / "set", folder / "out", "pdffigures2", ExportOptions(pdfs=folder / "pdfs"))
    assert (done.figures, done.left_out) == (1, {"no-place": 1, "caption-not-found": 1, "no-pdf": 1})
    [row] = load(folder / "out" / "ants.json")
    assert {name: type(value) for name, value in row.items()} == PDFFIGURES2_TYPES
    assert (row["name"], row["figType"], row["page"]) == ("1", "Figure", found.page - 1)
    assert row["caption"] == "Figure 1: Growth of the colony over time in three gardens."
    region, caption = row["regionBoundary"], row["captionBoundary"]
    assert list(region) == list(caption) == ["x1", "y1", "x2", "y2"]
    sides = (page.width, page.height, page.width, page.height)
    back = [value / side for value, side in zip(region.values(), sides, strict=True)]
    assert back == pytest.approx(list(found.box))
    assert region["y2"] <= caption["y1"] < caption["y2"] < page.height
    assert caption["x1"] == pytest.approx(150, abs=3)
    width, _ = open_image(folder / "out" / row["renderURL"]).size
    assert row["renderURL"] == "ants-Figure1-1.png"
    assert width / row["renderDpi"] * 72 == pytest.approx(region["x2"] - region["x1"], rel=0.02)
    assert load(folder / "out" / "gone.json") == []


def test_a_pdf_that_cannot_be_opened_costs_its_figures_and_nothing_else(paper_set):
    folder, _, _ = paper_set
    (folder / "pdfs" / "gone.pdf").write_bytes(b"no PDF")
    done = export(folder / "set", folder / "out", "pdffigures2", ExportOptions(pdfs=folder / "pdfs"))
    assert (done.figures, done.left_out) == (1, {"no-place": 1, "caption-not-found": 1, "broken-pdf": 1})


def test_pdffigures2_asks_for_the_papers(dataset, tmp_path):
    with pytest.raises(InputError, match="--pdfs"):
        export(dataset, tmp_path / "out", "pdffigures2")
    with pytest.raises(InputError, match="no such folder"):
        export(dataset, tmp_path / "out", "pdffigures2", ExportOptions(pdfs=tmp_path / "nothing"))


def test_a_caption_is_found_around_a_formula_and_not_where_it_is_cut(tmp_path):
    page = PdfPage()
    page.body(70, 80, 450, 3, start="Figure 2: Colonies are of many sizes.")
    page.text(90, 300, "Figure 2. Colonies of ants in a² = b + c", 9)
    page.text(90, 312, "gardens of the south of Spain.", 9)
    with open_pdf(write_pdf(tmp_path / "x.pdf", page)) as document:
        words = document.page(1).words
    box = find_caption(words, "Figure 2", "Colonies of ants in $a^2 = b+c$ gardens of the south of Spain.")
    assert box is not None
    assert (box[0], box[3]) == (pytest.approx(90, abs=3), pytest.approx(314, abs=4))
    assert find_caption(words, "Figure 2", "Colonies of ants in a gardens of the north of Norway.") is None
    assert find_caption((), "Figure 2", "Colonies of ants") is None


@pytest.mark.parametrize(
    ("images", "pictures", "without", "restricted"), [("all", 3, 0, 2), ("redistributable", 1, 2, 0), ("none", 0, 3, 0)]
)
def test_pictures_that_may_not_be_passed_on_can_be_left_out(dataset, tmp_path, images, pictures, without, restricted):
    done = export(dataset, tmp_path / "scicap", "scicap", ExportOptions(images=images))
    written = list((tmp_path / "scicap").rglob("*.png"))
    assert (done.figures, len(written)) == (3, pictures)
    assert (done.pictures, done.pictures_left_out, done.restricted) == (pictures, without, restricted)
    folder = export(dataset, tmp_path / "folder", "imagefolder", ExportOptions(images=images))
    assert folder.figures + sum(folder.left_out.values()) == 4
    assert len(list((tmp_path / "folder").rglob("*.*g"))) == folder.figures


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "pdffigures2"])
def test_written_and_left_out_are_all_there_is(dataset, tmp_path, form):
    done = export(dataset, tmp_path / "out", form)
    assert done.figures + sum(done.left_out.values()) == 4
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(("form", "why"), [("llava", "llava-json"), ("jsonl", "exists already")])
def test_what_cannot_be_exported_is_refused(dataset, tmp_path, form, why):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(InputError, match=why):
        export(dataset, tmp_path / "taken", form)
    with pytest.raises(InputError, match="redistributable"):
        ExportOptions(images="redistributible")


@pytest.mark.parametrize("form", FORMATS)
def test_no_data_set_leaves_no_trace(tmp_path, form):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no data set"):
        export(tmp_path / "empty", tmp_path / "new", form, ExportOptions(pdfs=tmp_path))
    assert not (tmp_path / "new").exists()


def test_image_names_are_safe_and_apart():
    ids = ["arxiv:hep-th/9901001v1#fig1", "local:../../x#fig1", "local:a b#fig1", "local:ä/ö#figS.1", "local:a%b#fig1"]
    names = {image_name(Record(id=id_, image=b"\x89PNG")) for id_ in ids}
    assert len(names) == len(ids)
    assert all("/" not in name and " " not in name and name.endswith(".png") for name in names)


@pytest.mark.parametrize(
    ("id_", "label", "name"),
    [
        ("arxiv:1801.01974v2#fig10", "Figure 10", "1801.01974v2-Figure10-1"),
        ("arxiv:1801.01974v2#fig10-2", "Figure 10", "1801.01974v2-Figure10-2"),
        ("arxiv:1801.01974v2#fig10-2", "", "1801.01974v2-Figure10-2-1"),
        ("arxiv:hep-th/9901001#figA.1", "Fig. A.1", "hep-th9901001-FigureA.1-1"),
        ("local:x/y z#figS1", "Supplementary Figure 1", "x__y~20z-FigureS1-1"),
        ("charts:7", "", ""),
    ],
)
def test_figures_are_named_as_pdffigures2_names_them(id_, label, name):
    assert figure_name(Record(id=id_, label=label, paper=Paper(id=id_.partition("#")[0]))) == name
    assert bool(figure_number(Record(id=id_, label=label))) == bool(name)


@given(st.text(min_size=1))
def test_a_paper_name_is_a_file_name(text):
    assert re.fullmatch(r"[\w.~\-]*", paper_name(f"local:{text.replace(':', '')}"))
