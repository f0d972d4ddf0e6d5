"""Features of a frozen vision tower on disk: the same losses, computed once, resumed, and refused where they would be wrong."""

import errno
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_model import build_tiny_model
from tiny_run import arguments, losses, write_squares

from llava_graph.dataset import write_dataset
from llava_graph.errors import InputError
from llava_graph.record import Figure
from train.learning import vision_cache
from train.train_mem import train

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares")


@pytest.fixture
def computed(monkeypatch):
    """Blocks that were computed, by run."""
    found = []
    original = vision_cache._mark
    monkeypatch.setattr(vision_cache, "BLOCK", 3)
    monkeypatch.setattr(vision_cache, "_mark", lambda cache, block: (found.append(block), original(cache, block))[1])
    return found


@pytest.mark.parametrize("more", [{"stage": "projector"}, {"stage": "frozen-tower", "packing": True, "bf16": True}])
def test_losses_are_those_without_the_cache_and_the_tower_runs_once(checkpoint, squares, tmp_path, computed, more):
    train(arguments(checkpoint, squares, tmp_path / "plain", max_steps=6, **more))
    more["vision_cache"] = tmp_path / "cache"
    train(arguments(checkpoint, squares, tmp_path / "first", max_steps=6, **more))
    assert sorted(computed) == [0, 1, 2, 3]
    train(arguments(checkpoint, squares, tmp_path / "second", max_steps=6, **more))
    assert len(computed) == 4  # nothing was computed again
    assert losses(tmp_path / "first") == losses(tmp_path / "second")
    assert losses(tmp_path / "first") == pytest.approx(losses(tmp_path / "plain"), abs=2e-3 if "bf16" in more else 1e-5)


def test_a_killed_fill_goes_on(checkpoint, squares, tmp_path, computed, monkeypatch):
    marked = vision_cache._mark

    def killed(cache, block):
        if block == 2:
            raise KeyboardInterrupt
        marked(cache, block)

    more = {"stage": "projector", "vision_cache": tmp_path / "cache", "max_steps": 2}
    monkeypatch.setattr(vision_cache, "_mark", killed)
    with pytest.raises(KeyboardInterrupt):
        train(arguments(checkpoint, squares, tmp_path / "out", **more))
    assert computed == [0, 1]
    monkeypatch.setattr(vision_cache, "_mark", marked)
    train(arguments(checkpoint, squares, tmp_path / "out", **more))
    assert computed == [0, 1, 2, 3]


def test_another_tower_or_other_data_has_another_cache(checkpoint, squares, tmp_path, computed):
    other = build_tiny_model(tmp_path / "other")
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "model.safetensors")
    name = next(name for name in weights if "vision_tower" in name)
    save_file({**weights, name: weights[name] + 1}, other / "model.safetensors", metadata={"format": "pt"})
    more = {"stage": "projector", "vision_cache": tmp_path / "cache", "max_steps": 1}
    train(arguments(checkpoint, squares, tmp_path / "one", **more))
    train(arguments(other, squares, tmp_path / "two", **more))
    train(arguments(checkpoint, squares, tmp_path / "three", max_samples=6, **more))
    assert len(list((tmp_path / "cache").iterdir())) == 3


@pytest.mark.parametrize("ours", [False, True])
def test_an_image_that_has_changed_is_seen_anew(checkpoint, tmp_path, computed, ours):
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (20, 20), colour).save(tmp_path / name)
    path = tmp_path / "chats.json"
    turns = [{"from": "human", "value": "<image>\nWhich?"}, {"from": "gpt", "value": "A square."}]
    path.write_text(json.dumps([{"id": name, "image": name, "conversations": turns} for name in ("a.png", "b.png")]))
    if ours:
        path = tmp_path / "figures"
        figures = [
            Figure(id=f"f:{name}", image=tmp_path / name, caption=name, mentions=("A square.",), split="train")
            for name in ("a.png", "b.png")
        ]
        write_dataset(figures, path)
    more = {"stage": "projector", "vision_cache": tmp_path / "cache", "max_steps": 2, "bad_image": "blank"}
    for out, count in (("one", 1), ("two", 1)):
        train(arguments(checkpoint, path, tmp_path / out, **more))
        assert len(computed) == count
    Image.new("RGB", (20, 20), "green").save(tmp_path / "b.png")
    train(arguments(checkpoint, path, tmp_path / "three", **more))
    assert len(computed) == 2
    assert losses(tmp_path / "three") != losses(tmp_path / "two")


def no_space(*room):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_room_is_taken_before_the_first_feature(tmp_path, monkeypatch):
    cache = vision_cache.VisionCache(tmp_path / "features", np.array([0, 500]), (40, 32), torch.float32)
    with monkeypatch.context() as full:
        full.setattr(os, "posix_fallocate", no_space, raising=False)
        with pytest.raises(InputError, match=r"cannot be kept here \(No space left on device\).* 0.00 GiB free"):
            vision_cache._begin(cache, 3)
    assert not (tmp_path / "features" / "features.partial").exists()
    assert vision_cache._begin(cache, 3).tolist() == [False] * 3
    state = (tmp_path / "features" / "features.bin").stat()
    assert state.st_size == 500 * 40 * 32 * 4
    assert state.st_blocks * 512 >= state.st_size  # no holes


def test_a_folder_that_cannot_be_written_is_told_in_one_line(checkpoint, squares, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", "/proc/nowhere"):
        more = {"stage": "projector", "vision_cache": place, "max_steps": 1}
        with pytest.raises(InputError, match="--vision_cache cannot be kept here") as caught:
            train(arguments(checkpoint, squares, tmp_path / "out", **more))
        assert str(place) in caught.value.where


def test_a_tower_that_learns_is_refused(checkpoint, squares, tmp_path):
    with pytest.raises(InputError, match="the vision tower learns"):
        train(arguments(checkpoint, squares, tmp_path / "out", vision_cache=tmp_path / "cache", max_steps=1))


def test_bfloat16_keeps_its_bits(tmp_path):
    cache = vision_cache.VisionCache(tmp_path, np.array([0, 2, 2]), (3, 4), torch.bfloat16)
    (tmp_path / "features.bin").write_bytes(bytes(2 * 3 * 4 * 2))
    values = torch.randn(2, 3, 4).bfloat16()
    stored = cache.open("r+")
    stored[:] = values.view(torch.uint16).numpy()
    stored.flush()
    assert torch.equal(cache.read(0, 2)["pixel_values"], values)
    assert cache.read(1, 0) == {}
    with pytest.raises(InputError, match="features of 2"):
        cache.read(0, 1)
