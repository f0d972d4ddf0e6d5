"""A checkpoint from a hub: a local server stands for huggingface.co."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from model_hub import running_hub
from tiny_model import build_tiny_model

from llava_graph.errors import CheckpointError
from llava_graph.model.hub import checkpoint_folder, part_folder
from llava_graph.model.load import check_folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[tuple[str, list[str]]]:
    """(address, paths asked for) of a hub with `our/nano`, code and a pickle in it, and `our/old`, which has no other weights."""
    folder = build_tiny_model(tmp_path_factory.mktemp("hub") / "nano")
    (folder / "modeling_evil.py").write_text("raise SystemExit")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    nano = {file.name: file.read_bytes() for file in folder.iterdir()}
    old = {name: data for name, data in nano.items() if not name.endswith(".safetensors")}
    with running_hub({"our/nano": nano, "our/old": old}) as served:
        yield served


def test_a_model_on_the_hub_is_fetched_once_without_code_and_pickles(hub, tmp_path):
    address, asked = hub
    folder = checkpoint_folder("our/nano", endpoint=address, cache_dir=tmp_path)
    assert check_folder(folder)["model_type"] == "llava"
    names = {file.name for file in folder.iterdir()}
    assert "model.safetensors" in names
    assert not names & {"modeling_evil.py", "pytorch_model.bin"}
    asked.clear()
    assert checkpoint_folder("our/nano", endpoint=address, cache_dir=tmp_path) == folder
    assert not [path for path in asked if "resolve" in path]


def test_pickles_of_a_part_are_fetched_only_where_there_is_nothing_else(hub, tmp_path):
    address, _ = hub
    whole, old = (part_folder(name, endpoint=address, cache_dir=tmp_path) for name in ("hf-hub:our/nano", "our/old"))
    assert not (whole / "pytorch_model.bin").exists()
    assert (old / "pytorch_model.bin").is_file()
    assert not (old / "modeling_evil.py").exists()


def test_an_unknown_model_is_named(hub, tmp_path):
    with pytest.raises(CheckpointError, match=r"our/other: no such folder, and the hub"):
        checkpoint_folder("our/other", endpoint=hub[0], cache_dir=tmp_path)


def test_a_hub_out_of_reach_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be reached"):
        checkpoint_folder("our/nano", endpoint="http://127.0.0.1:9", cache_dir=tmp_path)


def test_a_folder_wins_over_the_hub_and_a_path_is_never_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "our" / "nano").mkdir(parents=True)
    assert checkpoint_folder("our/nano", endpoint="http://127.0.0.1:9") == Path("our/nano")
    for path in ("/no/such/folder", "./our", "nano"):
        assert checkpoint_folder(path, endpoint="http://127.0.0.1:9") == Path(path)
