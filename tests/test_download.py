"""Published files from a hub that runs here: what comes, what goes on, what is counted."""

import json

import pytest
from model_hub import COMMIT, running_hub
from published_sets import write_slake
from typer.testing import CliRunner

from llava_graph.dataset import read_dataset
from llava_graph.errors import AccessDenied, FetchError, InputError
from scicap_builder.cli import app
from scicap_builder.sources import SOURCES, download, source_of
from scicap_builder.sources.importing import import_source

SLAKE = "datasets/BoKelvin/SLAKE"


@pytest.fixture
def files(tmp_path):
    write_slake(tmp_path / "published")
    found = {
        str(path.relative_to(tmp_path / "published")): path.read_bytes()
        for path in (tmp_path / "published").rglob("*")
        if path.is_file()
    }
    return {**found, ".gitattributes": b"*.zip filter=lfs", "../outside.json": b"{}"}


def run(*words):
    return CliRunner().invoke(app, ["download", *map(str, words)])


def ledger(root):
    lines = [json.loads(line) for line in (root / download.LEDGER).read_text().splitlines() if line]
    return {line["file"]: line for line in lines}


def test_what_is_downloaded_can_be_imported(files, tmp_path):
    root = tmp_path / "root"
    with running_hub({SLAKE: files}) as (address, _):
        done = download.download(source_of("slake"), root, endpoint=address)
    assert (done.files, done.there, done.counts) == (len(files) - 2, 0, {"saved": len(files) - 2})
    assert (root / "test.json").read_bytes() == files["test.json"]
    assert not (tmp_path / "outside.json").exists()
    assert ledger(root)["train.json"] == {
        "file": "train.json", "status": "saved", "bytes": len(files["train.json"]), "revision": COMMIT,
    }  # fmt: skip
    import_source(source_of("slake"), root, tmp_path / "out")
    assert len(list(read_dataset(tmp_path / "out"))) == 4


def test_what_is_there_whole_is_not_asked_for_again(files, tmp_path):
    root = tmp_path / "root"
    with running_hub({SLAKE: files}) as (address, asked):
        download.download(source_of("slake"), root, ["*.json"], endpoint=address)
        (root / "train.json").write_bytes(b"half")
        with (root / download.LEDGER).open("a") as stream:
            stream.write('{"file": "test.json", "sta')  # as a kill leaves it
        asked.clear()
        done = download.download(source_of("slake"), root, ["*.json"], endpoint=address)
    assert (done.files, done.there, done.counts) == (3, 2, {"saved": 1})
    assert not [path for path in asked if path.endswith("test.json")]
    assert (root / "train.json").read_bytes() == files["train.json"]


def test_a_file_that_cannot_be_had_costs_itself_and_a_silent_hub_ends_the_run(files, tmp_path, monkeypatch):
    fetch = download._fetch

    def without(*names):
        def one(source, root, file, *more, **options):
            if file in names or not names:
                raise FetchError("gone", reason="no-answer")
            fetch(source, root, file, *more, **options)

        return one

    root = tmp_path / "root"
    with running_hub({SLAKE: files}) as (address, _):
        monkeypatch.setattr(download, "_fetch", without("test.json"))
        said = run("slake", "--root", root, "--endpoint", address)
        assert said.exit_code == 1
        assert "no-answer 1" in said.stdout
        monkeypatch.setattr(download, "_fetch", without())
        with pytest.raises(FetchError, match="gone.*Run the same command again"):
            download.download(source_of("slake"), tmp_path / "other", endpoint=address)
        monkeypatch.setattr(download, "_fetch", fetch)
        said = run("slake", "--root", root, "--endpoint", address)
    assert (said.exit_code, "saved 1" in said.stdout) == (0, True)


def test_a_list_fetches_nothing_and_names_are_chosen(files, tmp_path):
    with running_hub({SLAKE: files}) as (address, asked):
        said = run("slake", "--root", tmp_path / "root", "--list", "--only", "t*.json", "--endpoint", address)
        with pytest.raises(InputError, match=r"no file of BoKelvin/SLAKE matches \*\.csv"):
            download.listed(source_of("slake"), ["*.csv"], endpoint=address)
    assert [line.split()[-1] for line in said.stdout.splitlines()] == ["test.json", "train.json"]
    assert not [path for path in asked if "/resolve/" in path]
    assert not (tmp_path / "root").exists()


def test_what_is_not_there_or_not_for_everybody_is_told(tmp_path):
    with pytest.raises(InputError, match="physionet"):
        download.listed(source_of("mimic-cxr"))
    with running_hub({}) as (address, _), pytest.raises((AccessDenied, FetchError)):
        download.listed(source_of("slake"), endpoint=address)
    with pytest.raises(FetchError, match="cannot be reached|did not give"):
        download.listed(source_of("slake"), endpoint="http://127.0.0.1:9")


def test_every_hub_name_is_a_repository():
    assert all(source.hub.count("/") == 1 for source in SOURCES.values() if source.hub)
    assert {"slake", "vqa-rad", "path-vqa", "pmc-vqa"} <= {name for name, source in SOURCES.items() if source.hub}
