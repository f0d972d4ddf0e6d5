"""Disks that are full, read-only or in the way: one line that says what, where and what next, and before the data is looked at."""

import errno

import pytest
import torch
from safetensors import SafetensorError
from tiny_model import build_tiny_model
from tiny_run import arguments, write_squares

from llava_graph.errors import CheckpointError, InputError, LlavaGraphError
from train.running.disk import check_writable, disk_told
from train.train_mem import main, train


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares")


def test_an_output_folder_that_cannot_be_is_told_before_the_data_is_looked_at(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for out, says in (
        (tmp_path / "file", "choose another name"),
        (tmp_path / "file" / "below", "choose another name"),
        ("/proc/foo", "/proc/foo"),
    ):
        with pytest.raises(SystemExit) as caught:  # neither the model nor the data is there
            main(arguments(tmp_path / "no-model", tmp_path / "no-data", out))
        assert caught.value.code == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert told.startswith("error: ")
        assert str(out).removesuffix("/below") in told
        assert says in told
    assert (tmp_path / "file").read_text() == "mine"


def test_a_look_leaves_nothing(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    check_writable(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), InputError, "out: No space left on device. Free some space"),
        (
            PermissionError(errno.EACCES, "Permission denied", "x/y"),
            InputError,
            "x/y: Permission denied. Choose a folder",
        ),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            CheckpointError,
            "Free some space",
        ),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 1 vs 0"),
            CheckpointError,
            "disk full",
        ),
    ],
)
def test_what_the_system_says_is_told_with_a_next_step(error, kind, says):
    with pytest.raises(kind, match=says) as caught, disk_told("out"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [RuntimeError("a bug"), BrokenPipeError(), ValueError("a bug")])
def test_what_is_no_matter_of_the_disk_stays_what_it_is(error):
    with pytest.raises(type(error)) as caught, disk_told("out"):
        raise error
    assert caught.value is error


def test_a_disk_that_fills_up_while_a_checkpoint_is_written_is_told(checkpoint, charts, tmp_path, monkeypatch):
    def full(*_, **__):
        # What torch says on a full disk.
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    more = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    with pytest.raises(LlavaGraphError, match="Is the disk full"):
        train(arguments(checkpoint, charts, tmp_path / "out", **more))


def test_a_resume_without_a_checkpoint_is_said(checkpoint, charts, tmp_path, capsys):
    train(arguments(checkpoint, charts, tmp_path / "out", max_steps=1, resume_from_checkpoint=True))
    assert f"starts anew: no whole checkpoint in {tmp_path / 'out'}\n" in capsys.readouterr().out
