"""Two processes learn what one learns: DDP, ZeRO-2, ZeRO-3, offload and FSDP2, with padding, packing and accumulation."""

import json
import subprocess
import sys
from importlib import metadata

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import build_tiny_model
from training import ROOT, environment, flags, losses, run_all, write_squares
from transformers import AutoModelForImageTextToText

from llava_graph.errors import InputError, MissingExtra
from train.running.distributed import SHIPPED
from train.train_mem import train

ENGINES = {
    "ddp": {},
    "zero2": {"deepspeed": "zero2"},
    "zero3": {"deepspeed": "zero3"},
    "zero2_offload": {"deepspeed": "zero2_offload"},
    "zero3_offload": {"deepspeed": "zero3_offload"},
    "fsdp2": {"fsdp": "fsdp2"},
    "fsdp2_offload": {"fsdp": "fsdp2_offload"},
}
"""Everything that ships."""
BATCHES = {
    "padded": {"per_device_train_batch_size": 2},
    "packed": {"per_device_train_batch_size": 1, "packing": True, "packing_length": 300},
    "accumulated": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
    "mixed": {"per_device_train_batch_size": 1},
    "mixed-lora": {"per_device_train_batch_size": 1, "lora_enable": True, "lora_r": 4, "lora_dropout": 0},
}
"""As two processes have them; one process has them twice as large."""
RUNS = [
    *[(engine, "padded") for engine in ENGINES],
    *[(engine, "packed") for engine in ("ddp", "zero3", "fsdp2")],
    *[(engine, "accumulated") for engine in ("ddp", "zero2", "fsdp2")],
    *[(engine, "mixed") for engine in ("ddp", "zero3", "fsdp2")],
    *[(engine, "mixed-lora") for engine in ("zero3", "fsdp2")],
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """All runs of two processes, then those of one, here. Returns the folder."""
    folder = tmp_path_factory.mktemp("scale")
    checkpoint = build_tiny_model(folder / "model")
    data = {kind: write_squares(folder / f"data-{kind}", 12) for kind in ("padded", "packed", "accumulated")}
    data["mixed"] = data["mixed-lora"] = write_squares(
        folder / "data-mixed", 12, with_image=lambda index: index % 2 == 0
    )
    run_all(
        [
            flags(checkpoint, data[batch], folder / f"{engine}-{batch}", **ENGINES[engine], **BATCHES[batch])
            for engine, batch in RUNS
        ],
        folder,
    )
    for batch, settings in BATCHES.items():
        alone = {**settings, "per_device_train_batch_size": 2 * settings["per_device_train_batch_size"]}
        train(flags(checkpoint, data[batch], folder / f"one-{batch}", **alone))
    return folder


def test_every_shipped_setting_is_run():
    assert {name for names in SHIPPED.values() for name in names} == set(ENGINES) - {"ddp"}


@pytest.mark.long
@pytest.mark.parametrize(("engine", "batch"), RUNS)
def test_losses_are_those_of_one_process(world, engine, batch):
    """Shares of the answers are uneven: the mean of the processes' means would differ in the second digit.

    A step without any image leaves one process's vision tower as it is, and moves that of two by its momentum.
    """
    one, two = losses(world / f"one-{batch}"), losses(world / f"{engine}-{batch}")
    assert len(one) == 6
    assert two == pytest.approx(one, rel=2e-3 if batch.startswith("mixed") else 2e-5)


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_result_of_any_engine_opens_in_plain_transformers(world, engine):
    """ZeRO-3 and FSDP hold a part of each weight in a process; the folder holds all, by the published names."""
    one, two = (load_file(world / f"{name}-padded" / "model.safetensors") for name in ("one", engine))
    assert {name: weight.shape for name, weight in one.items()} == {name: weight.shape for name, weight in two.items()}
    assert all(torch.allclose(one[name], two[name], atol=2e-3) for name in one)
    _, report = AutoModelForImageTextToText.from_pretrained(world / f"{engine}-padded", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


@pytest.mark.long
def test_deepspeed_in_one_process_without_torchrun(world):
    """In a process of its own: DeepSpeed wants a process group, which stays."""
    out = world / "alone"
    run = subprocess.run(
        [
            sys.executable,
            ROOT / "train" / "train_mem.py",
            *flags(world / "model", world / "data-padded", out, deepspeed="zero2", max_steps=2),
        ],
        env=environment(world),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert losses(out)[0] == pytest.approx(losses(world / "one-padded")[0], rel=2e-5)


def test_wrong_names_are_told_before_anything_is_loaded(tmp_path):
    with pytest.raises(InputError, match="Did you mean 'zero3'"):
        train(flags("model", "data", tmp_path, deepspeed="zero33"))
    with pytest.raises(InputError, match="unknown --fsdp 'fsdp3'"):
        train(flags("model", "data", tmp_path, fsdp="fsdp3"))
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"optimizer": {"type": "AdamW"}, "zero_optimization": {"stage": 2}}))
    with pytest.raises(InputError, match="one learning rate for all parts"):
        train(flags("model", "data", tmp_path, deepspeed=own, mm_projector_lr=1e-3))


def test_deepspeed_that_is_not_installed_names_its_extra(tmp_path, monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("train.running.distributed.version", version)
    with pytest.raises(MissingExtra, match=r"llava-graph\[deepspeed\]"):
        train(flags("model", "data", tmp_path, deepspeed="zero2"))
