"""Importing published data sets: what holds for every source, and how the frame takes what is missing, broken or begun before."""

import json
import os
import pickle

import pytest
from published_sets import (
    WRITERS,
    llava,
    picture,
    pictures,
    put,
    write_challenge,
    write_llava_json,
    write_pmc_vqa,
    zipped,
)

import scicap_builder
from llava_graph.command import run
from llava_graph.conversations import read_conversation
from llava_graph.dataset import read_dataset, read_dropped
from llava_graph.errors import DatasetError, InputError
from llava_graph.json_records import JsonRecords
from llava_graph.licences import is_redistributable
from llava_graph.prompt import build_sample
from scicap_builder.cli import app
from scicap_builder.exports import export
from scicap_builder.sources import SOURCES, importing, source_of
from scicap_builder.sources.contract import ACCESS, ImportOptions
from scicap_builder.sources.importing import import_source
from scicap_builder.sources.tables import pickle_rows


def imported(name, root, out, **options):
    return import_source(source_of(name), root, out, ImportOptions(**options))


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Every source imported once: name -> (result, folder of the data set)."""
    top = tmp_path_factory.mktemp("sources")
    done = {}
    for name, write in WRITERS.items():
        write(top / name / "root")
        done[name] = (imported(name, top / name / "root", top / name / "out"), top / name / "out")
    return done


@pytest.mark.parametrize("name", WRITERS)
def test_a_source_becomes_ordinary_records(name, everything):
    result, out = everything[name]
    figures, dropped = list(read_dataset(out)), list(read_dropped(out))
    report = result.integrity
    assert figures
    assert len(figures) + len(dropped) == report.rows, "read + dropped = seen"
    assert len({figure.id for figure in figures}) == len(figures)
    source = SOURCES[name]
    for figure in figures:
        assert figure.id.startswith(f"{name}:")
        assert figure.source.partition("/")[0] == name
        assert figure.licence == source.record_licence, "the licence travels with each record"
        assert source.access in ("public", "yours") or not is_redistributable(figure.licence), "and so does the access"
        assert SOURCES[figure.source.partition("/")[0]].access in ACCESS
        assert not any("<image>" in turn.text for turn in figure.turns)
        assert [turn.role for turn in figure.turns] == ["user", "assistant"] * (len(figure.turns) // 2)
        if figure.turns or figure.mentions:
            assert build_sample(figure)[-1]["role"] == "assistant", "the trainer takes it"
        assert figure.image is None or (figure.width, figure.height) == (24, 16)
    assert all(item.reason and item.detail for item in dropped)
    card = (out / "README.md").read_text()
    assert source.title in card
    assert f"Access: {source.access}." in card
    assert f"The split is {source.split}." in card
    assert json.loads((out / "integrity.json").read_text())["rows"] == report.rows


def test_every_source_is_public_and_has_a_fixture():
    assert scicap_builder.SOURCES is SOURCES
    assert set(WRITERS) == set(SOURCES)
    with pytest.raises(InputError, match=r"unknown data set 'vqarad'\. Did you mean 'vqa-rad'"):
        source_of("vqarad")


def test_one_bad_row_costs_one_row_and_is_named(tmp_path):
    write_llava_json(tmp_path / "root")
    imported("llava-json", tmp_path / "root", tmp_path / "out")
    assert {(item.item, item.reason) for item in read_dropped(tmp_path / "out")} == {
        ("train.json:4", "unknown-role"),
        ("train.json:5", "image-missing"),
    }


def test_a_row_with_a_file_of_its_own_is_dropped_by_its_name(everything):
    [dropped] = read_dropped(everything["scicap"][1])
    assert dropped.item == "SciCap-Caption-All/train/broken.json"


def test_the_policy_for_missing_images(tmp_path):
    root = tmp_path / "root"
    write_llava_json(root)
    put(root, "images/a.png", picture(1)[:50])
    kept = imported("llava-json", root, tmp_path / "keep", missing_images="keep")
    by_id = {figure.id: figure for figure in read_dataset(tmp_path / "keep")}
    assert by_id["llava-json:train:e"].image is None
    assert by_id["llava-json:train:a"].image is None
    assert kept.integrity.kept_without_image == {"image-missing": 1, "image-broken": 2}
    dropped = imported("llava-json", root, tmp_path / "drop")
    assert dropped.integrity.dropped == {"unknown-role": 1, "image-missing": 1, "image-broken": 2}
    with pytest.raises(DatasetError, match=r"llava-json:train:a: .*broken or cut off.*--missing-images drop"):
        imported("llava-json", root, tmp_path / "fail", missing_images="fail")
    with pytest.raises(InputError, match=r"unknown choice 'kepe'.*'keep'"):
        ImportOptions(missing_images="kepe")


def test_a_name_cannot_lead_out_of_the_root(tmp_path):
    root = tmp_path / "root"
    put(tmp_path, "secret.png", picture())
    names = [
        "../secret.png",
        str(tmp_path / "secret.png"),
        "images/../../secret.png",
        "https://example.org/a.png",
        "a\0.png",
    ]
    put(root, "train.json", [llava(str(number), name, "What?", "This.") for number, name in enumerate(names)])
    result = imported("llava-json", root, tmp_path / "out", missing_images="keep")
    assert result.integrity.dropped == {"unsafe-path": 4, "image-url": 1}


def test_half_characters_cost_their_rows(tmp_path):
    def row(**more):
        return {"image_file": "a.png", "id": "a", "caption": "", "q_a_pairs": [["What?", "This."]], **more}

    broken = [
        row(q_a_pairs=[["What?", "\ud800"]]),
        {"\ud800": 1, "q_a_pairs": []},
        row(image_file="\udc00.png"),
        row(title="\ud800"),
    ]
    put(tmp_path / "root", "train.json", [row(), *broken])
    pictures(tmp_path / "root", "a.png")
    result = imported("scigraphqa", tmp_path / "root", tmp_path / "out")
    assert result.integrity.figures == 1
    assert result.integrity.dropped == {"bad-record": 3, "no-image-file": 1}
    assert len(list(read_dropped(tmp_path / "out"))) == 4


def test_images_can_stay_where_they_are(tmp_path):
    root = tmp_path / "root"
    write_llava_json(root)
    imported("llava-json", root, tmp_path / "out", pixels="link")
    figure = next(figure for figure in read_dataset(tmp_path / "out") if figure.id == "llava-json:train:b")
    assert figure.image == root / "images" / "sub" / "b.png"
    assert (figure.width, figure.height) == (24, 16)


def test_images_in_another_folder_and_in_archives(tmp_path):
    put(tmp_path / "root", "train.json", [llava("a", "a.png", "What?", "This."), llava("z", "z.png", "What?", "That.")])
    pictures(tmp_path / "elsewhere", "a.png")
    zipped(tmp_path / "elsewhere", "images.zip", {"images/z.png": picture(3)})
    result = imported("llava-json", tmp_path / "root", tmp_path / "out", image_folder=tmp_path / "elsewhere")
    assert result.integrity.figures == 2
    assert next(figure for figure in read_dataset(tmp_path / "out") if figure.id.endswith(":z")).image == picture(3)


def test_other_formats_become_png(tmp_path):
    from PIL import Image

    (tmp_path / "root").mkdir()
    Image.new("RGB", (24, 16), "red").save(tmp_path / "root" / "a.bmp")
    put(tmp_path / "root", "train.json", [llava("a", "a.bmp", "What?", "This.")])
    imported("llava-json", tmp_path / "root", tmp_path / "out", pixels="link")
    [figure] = read_dataset(tmp_path / "out")
    assert figure.image.startswith(b"\x89PNG")


def test_repeated_ids_are_numbered_and_repeated_rows_left_out(tmp_path):
    row = llava("same", "a.png", "What?", "This.")
    put(
        tmp_path / "root",
        "train.json",
        [row, row, llava("same", "a.png", "Why?", "So."), row, llava("same", "b.png", "What?", "This.")],
    )
    pictures(tmp_path / "root", "a.png", "b.png")
    result = imported("llava-json", tmp_path / "root", tmp_path / "out")
    assert [figure.id.rpartition(":")[2] for figure in read_dataset(tmp_path / "out")] == ["same", "same~2", "same~3"]
    assert result.integrity.dropped == {"duplicate": 2}


def test_what_was_mended_is_counted(tmp_path):
    write = WRITERS["llava-med-alignment"]
    write(tmp_path / "root")
    result = imported("llava-med-alignment", tmp_path / "root", tmp_path / "out")
    assert result.integrity.repairs == {"conversatons read as conversations": 1}


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_killed_import_goes_on_and_ends_the_same(killed_after, tmp_path, monkeypatch):
    root = tmp_path / "root"
    rows = [llava(f"r{number % 6}", "a.png", f"Question {number % 4}?", "This.") for number in range(20)]
    rows[2]["image"] = rows[9]["image"] = "gone.png"
    rows[5] = {"id": "bad"}
    rows[6]["conversatons"] = rows[6].pop("conversations")
    put(root, "train.json", rows)
    put(root, "test.json", rows[:6])
    pictures(root, "a.png")
    monkeypatch.setattr(importing, "WINDOW", 2)
    monkeypatch.setattr(importing, "ROWS_PER_SHARD", 4)
    whole = imported("llava-json", root, tmp_path / "whole")

    written = importing.DatasetWriter.write_shard
    count = []

    def dies(self, *args, **kwargs):
        if len(count) == killed_after:
            raise KeyboardInterrupt
        count.append(1)
        written(self, *args, **kwargs)

    monkeypatch.setattr(importing.DatasetWriter, "write_shard", dies)
    with pytest.raises(KeyboardInterrupt):
        imported("llava-json", root, tmp_path / "out")
    monkeypatch.setattr(importing.DatasetWriter, "write_shard", written)
    again = imported("llava-json", root, tmp_path / "out")
    assert list(read_dataset(tmp_path / "out")) == list(read_dataset(tmp_path / "whole"))
    assert list(read_dropped(tmp_path / "out")) == list(read_dropped(tmp_path / "whole"))
    assert again.integrity == whole.integrity
    assert whole.integrity.dropped["duplicate"] > 0
    assert len(whole.integrity.missing) == whole.integrity.dropped["image-missing"] == 3


def test_workers_change_nothing(tmp_path):
    write_llava_json(tmp_path / "root")
    imported("llava-json", tmp_path / "root", tmp_path / "one")
    imported("llava-json", tmp_path / "root", tmp_path / "four", workers=4)
    assert list(read_dataset(tmp_path / "one")) == list(read_dataset(tmp_path / "four"))


def test_an_import_does_not_go_on_with_other_files_or_options(tmp_path):
    root = tmp_path / "root"
    write_llava_json(root)
    imported("llava-json", root, tmp_path / "out")
    with pytest.raises(DatasetError, match=r"other options \(missing_images: 'drop' then, 'keep' now\)"):
        imported("llava-json", root, tmp_path / "out", missing_images="keep")
    put(root, "val.jsonl", [llava("w", "a.png", "Which one?", "The y-axis.")])
    with pytest.raises(DatasetError, match=r"other options \(tables\.val\.jsonl: .*--overwrite"):
        imported("llava-json", root, tmp_path / "out")
    assert imported("llava-json", root, tmp_path / "out", overwrite=True).summary.splits["validation"] == 1


def test_a_check_writes_nothing_and_counts_the_same(tmp_path):
    write_llava_json(tmp_path / "root")
    looked = imported("llava-json", tmp_path / "root", tmp_path / "out", check=True)
    assert not (tmp_path / "out").exists()
    assert looked.integrity == imported("llava-json", tmp_path / "root", tmp_path / "out").integrity


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("train.csv", b"Figurepath,Question,Choice A,Choice B,Choice C,Choice D,Answer\n", "has no column 'Figure_path'. Did you mean 'Figurepath'"),
        ("train.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer.*git lfs pull"),
        ("train.csv.part", b"index,Fig", r"train.csv is missing. train.csv.part is half downloaded"),
        ("trian.csv", b"index\n", r"train.csv is missing. Did you mean 'trian.csv'"),
    ],
)  # fmt: skip
def test_what_makes_a_whole_table_unreadable_is_named(name, content, told, tmp_path):
    put(tmp_path, name, content)
    with pytest.raises(DatasetError, match=told):
        imported("pmc-vqa", tmp_path, tmp_path / "out")


def test_half_downloaded_archives_are_named(tmp_path):
    root = tmp_path / "root"
    write_pmc_vqa(root)
    (root / "images.zip").write_bytes((root / "images.zip").read_bytes()[:-40])
    put(root, "images_2.zip.crdownload", b"PK")
    put(root, "img-split.z01", b"PK")
    put(root, "more.tar.gz", b"x")
    put(tmp_path / "elsewhere", "empty.zip", b"")
    result = imported("pmc-vqa", root, tmp_path / "out", image_folder=tmp_path / "elsewhere")
    assert result.integrity.dropped["image-missing"] == 3
    problems = " | ".join(result.integrity.problems)
    assert "images.zip is cut off, or no ZIP file: download it again" in problems
    assert "images_2.zip.crdownload is half downloaded" in problems
    assert "more.tar.gz is packed: unpack it" in problems
    assert "empty.zip is empty" in problems
    assert "zip -s 0 img-split.zip --out joined.zip" in problems
    with pytest.raises(DatasetError, match=r"images\.zip is cut off"):
        imported("pmc-vqa", root, tmp_path / "fail", missing_images="fail")


def test_a_broken_json_is_named_with_its_place(tmp_path):
    put(tmp_path, "train.json", b'[{"id": "a", "conversations": []}, {"id": ')
    with pytest.raises(DatasetError, match=r"train\.json: is no valid JSON"):
        imported("llava-json", tmp_path, tmp_path / "out")
    put(tmp_path, "train.json", [{"id": "a", "question": "?", "answer": "!"}])
    with pytest.raises(DatasetError, match=r"records have no conversations but id, question, answer"):
        imported("llava-json", tmp_path, tmp_path / "out")


class Evil:
    def __reduce__(self):
        return (os.system, ("false",))


def test_a_pickle_runs_nothing(tmp_path):
    put(tmp_path, "train_qa.pkl", pickle.dumps([Evil()]))
    with pytest.raises(DatasetError, match=r"asks for posix\.system; only lists, dicts and texts"):
        pickle_rows(tmp_path / "train_qa.pkl", ())
    put(tmp_path, "train_qa.pkl", pickle.dumps([{"image": "a"}])[:-3])
    with pytest.raises(DatasetError, match="cannot be read as a pickle"):
        pickle_rows(tmp_path / "train_qa.pkl", ())


@pytest.mark.parametrize("form", ["llava-json", "scicap", "scicap-challenge"])
def test_our_exports_come_back(form, everything, tmp_path):
    """SciCap's figures through each layout that both sides know."""
    _, out = everything["scicap"] if form != "llava-json" else everything["scigraphqa"]
    done = export(out, tmp_path / "layout", form)
    result = imported(form, tmp_path / "layout", tmp_path / "back")
    assert result.integrity.figures == done.figures > 0
    before = sorted((figure.caption, figure.image, figure.split) for figure in read_dataset(out))
    after = list(read_dataset(tmp_path / "back"))
    if form == "llava-json":
        turns = sorted(figure.turns[1].text for figure in read_dataset(out))
        assert sorted(figure.turns[1].text for figure in after) == turns
    else:
        assert sorted((figure.caption, figure.image, figure.split) for figure in after) == before


def test_a_list_under_a_key_is_found_whatever_stands_before(tmp_path):
    write_challenge(tmp_path)
    rows = JsonRecords(tmp_path / "train.json", "annotations")
    assert [row["image_id"] for row in (rows[index] for index in range(len(rows)))] == [1, 3, 2, 77]
    with pytest.raises(DatasetError, match=r"has no 'annotation'\. Did you mean 'annotations'"):
        JsonRecords(tmp_path / "train.json", "annotation")
    for broken in (b'{"annotations": [1, 2', b'{"annotations": {}}', b"[1]", b'{"a" 1}'):
        put(tmp_path, "broken.json", broken)
        with pytest.raises(DatasetError, match=r"broken\.json"):
            JsonRecords(tmp_path / "broken.json", "annotations")


def test_the_command(tmp_path, capsys):
    write_llava_json(tmp_path / "root")

    def command(*args):
        with pytest.raises(SystemExit) as ended:
            run(app, [str(arg) for arg in args])
        return ended.value.code, capsys.readouterr()

    code, said = command("import", "llava-json", "--root", tmp_path / "root", "--out", tmp_path / "out")
    assert code == 0
    for told in (
        "train.json: found, 5 rows",
        "6 rows = 4 records (train 3, validation 1) + 2 dropped: unknown-role 1, image-missing 1",
        "no image gone.png or images/gone.png",
        "licence: not stated; access: yours. Do not publish",
        "scicap_builder show",
    ):
        assert told in said.out
    code, said = command("import", "slak", "--root", tmp_path)
    assert (code, said.err.count("error:")) == (2, 1)
    assert "Did you mean 'slake'" in said.err
    code, said = command("show", tmp_path / "out")
    assert "A bar chart." in said.out


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    write_llava_json(tmp_path / "root")

    def pressed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(importing.DatasetWriter, "write_shard", pressed)
    with pytest.raises(SystemExit) as ended:
        run(app, ["import", "llava-json", "--root", str(tmp_path / "root"), "--out", str(tmp_path / "out")])
    assert ended.value.code == 130
    assert "stopped; the same command goes on where it was" in capsys.readouterr().err


def test_importer_and_trainer_read_the_same_conversations(tmp_path):
    write_llava_json(tmp_path / "root")
    imported("llava-json", tmp_path / "root", tmp_path / "out")
    figures = {figure.id.rpartition(":")[2]: figure for figure in read_dataset(tmp_path / "out")}
    for row in json.loads((tmp_path / "root" / "train.json").read_text())[:3]:
        texts = [
            part["text"]
            for message in read_conversation(row).messages
            for part in message["content"]
            if part["type"] == "text"
        ]
        assert [turn.text for turn in figures[row["id"]].turns] == texts


def test_a_vanished_root_is_one_error(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        imported("slake", tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    for source in SOURCES:
        with pytest.raises(DatasetError, match="is missing"):
            imported(source, tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()
