"""One output folder and several runs: what an earlier one left never mixes with what a later one writes."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import build_tiny_model
from tiny_run import arguments, write_squares
from training import ROOT
from transformers import AutoModelForImageTextToText

from llava_graph.durable import FolderLock
from llava_graph.errors import CheckpointError, DatasetError, InputError
from llava_graph.model.adapters import is_adapter
from train.flags.arguments import DataArguments
from train.running.guard import NotFinite
from train.running.identity import data_digest
from train.running.trainer import FigureTrainer
from train.train_mem import train

pytestmark = pytest.mark.long

ANEW = {"resume_from_checkpoint": False, "max_steps": 1}
LORA = {"lora_enable": True, "lora_r": 2, "max_steps": 1}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("data") / "squares")


def names(folder):
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_folder_of_an_adapter_becomes_a_model_and_back(checkpoint, charts, tmp_path):
    train(arguments(checkpoint, charts, tmp_path, **LORA))
    only_adapter = names(tmp_path)
    train(arguments(checkpoint, charts, tmp_path, **ANEW))
    assert not [name for name in names(tmp_path) if "adapter" in name or name.startswith("non_lora")]
    saved = load_file(tmp_path / "model.safetensors")
    opened = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert not [name for name, _ in opened.named_parameters() if "lora" in name]
    head = opened.get_output_embeddings().weight
    assert any(torch.equal(head, tensor) for tensor in saved.values() if tensor.shape == head.shape)
    train(arguments(checkpoint, charts, tmp_path, **{**ANEW, **LORA}))
    assert names(tmp_path) == only_adapter
    assert is_adapter(tmp_path)


def test_connector_of_an_earlier_stage_goes_with_the_next(checkpoint, charts, tmp_path):
    train(arguments(checkpoint, charts, tmp_path, stage="projector", max_steps=1))
    assert (tmp_path / "mm_projector.safetensors").is_file()
    train(arguments(tmp_path, charts, tmp_path, **ANEW))
    assert not (tmp_path / "mm_projector.safetensors").exists()


def test_adapter_does_not_go_on_from_a_whole_model(checkpoint, charts, tmp_path):
    train(arguments(checkpoint, charts, tmp_path, max_steps=1, save_strategy="steps", save_steps=1))
    chosen = {"resume_from_checkpoint": tmp_path / "checkpoint-1", "allow_changed_resume": True}
    with pytest.raises(CheckpointError, match="holds a whole model, and this run trains an adapter"):
        train(arguments(checkpoint, charts, tmp_path, **{**LORA, **chosen, "max_steps": 2}))


def test_run_that_begins_anew_goes_on_from_its_own_checkpoints_alone(checkpoint, charts, tmp_path, monkeypatch, caplog):
    more = {"save_strategy": "steps", "save_steps": 1, "max_steps": 3}
    train(arguments(checkpoint, charts, tmp_path, **more))
    real = FigureTrainer.training_step

    def step(self, *args, **kwargs):
        if self.state.global_step == 1:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    monkeypatch.setattr(FigureTrainer, "training_step", step)
    with pytest.raises(KeyboardInterrupt):
        train(arguments(checkpoint, charts, tmp_path, **more, resume_from_checkpoint=False))
    assert [folder.name for folder in tmp_path.glob("checkpoint-*")] == ["checkpoint-1"]
    assert {folder.name for folder in (tmp_path / "earlier-1").iterdir()} == {f"checkpoint-{n}" for n in (1, 2, 3)}
    assert "3 checkpoints of an earlier run are now in" in caplog.text
    monkeypatch.undo()
    train(arguments(checkpoint, charts, tmp_path, **more))
    assert json.loads((tmp_path / "plan.json").read_text())["run"]["resume_from"].endswith("checkpoint-1")
    train(arguments(checkpoint, charts, tmp_path, **more, resume_from_checkpoint=tmp_path / "checkpoint-2"))
    assert [folder.name for folder in (tmp_path / "earlier-2").iterdir()] == ["checkpoint-3"]


def reweighed(folder, out):
    """The same model with other weights of the same shapes."""
    shutil.copytree(folder, out)
    weights = load_file(out / "model.safetensors")
    save_file({name: tensor + 0.01 for name, tensor in weights.items()}, out / "model.safetensors", {"format": "pt"})
    return out


def test_adapter_goes_on_over_its_own_base_alone(checkpoint, charts, tmp_path):
    other, out = reweighed(checkpoint, tmp_path / "other"), tmp_path / "out"
    more = {**LORA, "save_strategy": "steps", "save_steps": 1}
    train(arguments(checkpoint, charts, out, **more))
    with pytest.raises(InputError, match="the digest of the base model was .*, is "):
        train(arguments(other, charts, out, **more))
    moved = shutil.copytree(checkpoint, tmp_path / "moved")
    train(arguments(moved, charts, out, **more))


@pytest.mark.parametrize("streaming", [False, True])
def test_changed_words_of_the_same_length_are_changed_data(checkpoint, tmp_path, streaming):
    """Of conversations in a file, and of figures in a data set."""
    file, out = tmp_path / "talk.json", tmp_path / "out"
    more = {"max_steps": 1, "save_strategy": "steps", "save_steps": 1, "streaming": streaming}

    def write(answer):
        turns = [{"from": "human", "value": "How many?"}, {"from": "gpt", "value": answer}]
        file.write_text(json.dumps([{"id": "1", "conversations": turns}] * 4))

    write("1")
    train(arguments(checkpoint, file, out, **more))
    write("7")
    with pytest.raises(InputError, match="the digest of the data was .*, is "):
        train(arguments(checkpoint, file, out, **more))
    write("1")
    train(arguments(checkpoint, file, out, **more))


def test_digest_of_a_data_set_knows_each_text_and_no_place(charts, tmp_path):
    one = data_digest(DataArguments(data_path=[str(charts)]))
    copy = shutil.copytree(charts, tmp_path / "copy")
    assert data_digest(DataArguments(data_path=[str(copy)])) == one
    file = sorted(copy.glob("data/shard-*/train.parquet"))[-1]
    table = pq.read_table(file)
    captions = [text.replace("square", "sphere") for text in table["caption"].to_pylist()]
    place = table.schema.get_field_index("caption")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(captions)), file)
    assert data_digest(DataArguments(data_path=[str(copy)])) != one


@pytest.mark.parametrize("optim", ["adamw_torch_fused", "sgd"])
def test_weights_that_are_no_numbers_are_not_saved(checkpoint, charts, tmp_path, optim):
    """The first step's loss and gradient are numbers, and with a rate of 1e38 its weights are none; that step is the last."""
    more = {"learning_rate": 1e38, "weight_decay": 1e38, "max_steps": 1, "logging_steps": 10, "optim": optim}
    with pytest.raises(NotFinite, match="after step 1 the weights are not finite, and are not saved"):
        train(arguments(checkpoint, charts, tmp_path / "end", **more))
    assert not [*(tmp_path / "end").glob("*.safetensors")]
    with pytest.raises(NotFinite):
        train(arguments(checkpoint, charts, tmp_path / "mid", **{**more, "save_strategy": "steps", "save_steps": 1}))
    assert not [*(tmp_path / "mid").rglob("*.safetensors")]


def test_bad_last_step_is_named_although_no_line_follows(checkpoint, charts, tmp_path, monkeypatch, caplog):
    real = FigureTrainer.compute_loss

    def compute_loss(trainer, *args, **kwargs):
        return real(trainer, *args, **kwargs) * (float("nan") if trainer.state.global_step == 1 else 1)

    monkeypatch.setattr(FigureTrainer, "compute_loss", compute_loss)
    train(arguments(checkpoint, charts, tmp_path, max_steps=2, logging_steps=10))
    assert "step 2: the loss or the gradient is not finite" in caplog.text


def test_base_beside_an_adapter_is_that_of_its_own_run(checkpoint, charts, tmp_path):
    """New tokens make the model grow, so the base is written; an adapter of the run before keeps its own."""
    other, out = reweighed(checkpoint, tmp_path / "other"), tmp_path / "out"
    more = {**LORA, "new_tokens": ["<bar>"], "save_strategy": "steps", "save_steps": 1}
    train(arguments(checkpoint, charts, out, **more))
    train(arguments(checkpoint, charts, out, **more))
    assert [found.name for found in out.glob("base*")] == ["base"]
    train(arguments(other, charts, out, **more, resume_from_checkpoint=False))

    def base_of(adapter):
        told = json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
        return load_file(f"{told}/model.safetensors")

    frozen = next(name for name in load_file(checkpoint / "model.safetensors") if "layers.0.self_attn.q_proj" in name)
    for adapter, source in ((out / "earlier-1" / "checkpoint-1", checkpoint), (out, other)):
        assert torch.equal(base_of(adapter)[frozen], load_file(source / "model.safetensors")[frozen])


def test_second_run_in_a_folder_is_refused_until_the_first_is_done(checkpoint, charts, tmp_path, monkeypatch):
    """Workers of its data loader hold nothing; nor does a run that is done."""
    real, refused = FigureTrainer.training_step, []

    def step(self, *args, **kwargs):
        with pytest.raises(DatasetError, match="another run is writing here .*give another --output_dir") as error:
            FolderLock(tmp_path, work="run", flag="--output_dir")
        refused.append(error)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(FigureTrainer, "training_step", step)
    train(arguments(checkpoint, charts, tmp_path, max_steps=1))
    assert len(refused) == 1
    FolderLock(tmp_path).close()
    assert not (tmp_path / ".lock").exists()


def test_lock_ends_with_the_run_though_a_forked_process_lives_on(tmp_path):
    script = (
        "import os, sys, time\n"
        "from train.flags.arguments import TrainArguments\n"
        "from train.running.folder import alone_in\n"
        "with alone_in(TrainArguments(output_dir=sys.argv[1], use_cpu=True)):\n"
        "    if os.fork():\n"
        "        os._exit(9)\n"
        "    time.sleep(60)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, process_group=0)
    try:
        assert run.wait(timeout=60) == 9
        assert (tmp_path / ".lock").exists()
        FolderLock(tmp_path).close()
    finally:
        os.killpg(run.pid, signal.SIGKILL)
