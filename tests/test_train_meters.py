"""Rates of a run: counts of batches, FLOPs against torch's own counter, what the log and throughput.json say."""

import json
import time
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_model import build_tiny_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen3Config,
    SiglipVisionConfig,
)

from llava_graph.chat import IGNORE_INDEX
from llava_graph.errors import DatasetError
from llava_graph.images import encode_png
from train.batching.batches import PackedCollator, PaddedCollator, TrainingSet
from train.flags.command import parse_command
from train.learning.loading import load_to_train
from train.learning.loss import install_answer_loss
from train.learning.parts import CONNECTOR, LANGUAGE, idle_names, part_of, tower_layers
from train.learning.stages import TRAINED
from train.planning.shown import open_shown
from train.running.flops import Counts, count_costs, peak_tflops
from train.running.measured import FEW
from train.running.meters import Meter, Waiting, add_up, count_batch, count_tiles, rates
from train.train_mem import build_trainer, choose_kernels, train

PIXELS = 64
RATES = {
    "tokens_per_second",
    "answer_tokens_per_second",
    "samples_per_second",
    "images_per_second",
    "step_seconds",
    "padding_share",
    "data_wait_share",
    "tflops_per_device",
    "peak_memory_gib",
}


# ---- FLOPs ----


def small_llava(kind):
    """CLIP with a class token and Qwen3, or SigLIP and Llama; everything runs as plain matrix products."""
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4}
    vision = (CLIPVisionConfig if kind == "clip" else SiglipVisionConfig)(**shape, image_size=PIXELS, patch_size=8)
    words = {"vocab_size": 512, "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 3}
    text = (
        Qwen3Config(**words, num_attention_heads=4, num_key_value_heads=2, head_dim=32, tie_word_embeddings=True)
        if kind == "clip"
        else LlamaConfig(**words, num_attention_heads=4)
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=500,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default" if kind == "clip" else "full",
    )
    model = LlavaForConditionalGeneration(config)
    model.set_attn_implementation("eager")
    return model


def let_learn(model, stage):
    if stage == "lora":
        from peft import LoraConfig

        model.add_adapter(LoraConfig(r=2, target_modules=r".*language_model.*(q|k|v|o|gate|up|down)_proj"))
        model.model.multi_modal_projector.requires_grad_(True)
        return
    idle = idle_names(model)
    layers, _ = tower_layers(model)
    for name, parameter in model.named_parameters():
        learns = part_of(name) in TRAINED.get(stage, (CONNECTOR, LANGUAGE)) and name not in idle
        if stage == "upper tower":
            learns |= name.startswith((f"{layers}2.", f"{layers}3."))
        parameter.requires_grad_(learns)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
@pytest.mark.parametrize("stage", [*TRAINED, "upper tower", "lora"])
def test_flops_are_those_that_torch_counts(kind, stage):
    model = small_llava(kind)
    let_learn(model, stage)
    install_answer_loss(model)
    ids = torch.randint(3, 400, (2, 120))
    ids[:, 5 : 5 + (PIXELS // 8) ** 2] = 500
    labels = torch.full_like(ids, IGNORE_INDEX)
    labels[:, 80:] = ids[:, 80:]
    pixels = torch.randn(2, 3, PIXELS, PIXELS)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, pixel_values=pixels)["loss"].backward()
    # Plain attention computes the pairs that causality hides as well.
    shown = Counts(tokens=240, answers=80, images=2, tiles=2, pairs=2 * 120**2)
    assert count_costs(model).of(shown) == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_flops_of_layers_behind_the_one_that_is_read_are_left_out():
    model, read = small_llava("siglip"), count_costs(small_llava("siglip"))
    model.config.vision_feature_layer = -2
    per_layer = read.tile - count_costs(model).tile
    assert 0 < per_layer < read.tile / 4


def test_models_that_cannot_be_counted_are_not():
    model = small_llava("siglip")
    model.config.get_text_config().num_local_experts = 8
    assert count_costs(model) is None


@pytest.mark.parametrize(
    ("name", "precision", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.4),
        ("NVIDIA H100 PCIe", "bfloat16", 756.4),
        ("NVIDIA H100 NVL", "float16", 835.5),
        ("NVIDIA H200", "bfloat16", 989.4),
        ("NVIDIA A100-SXM4-80GB", "tf32", 156),
        ("NVIDIA L40S", "bfloat16", 362.05),
        ("NVIDIA L4", "bfloat16", 121),
        ("NVIDIA GeForce RTX 4090", "bfloat16", 165.2),
        ("Tesla V100-SXM2-32GB", "float16", 125),
        ("Tesla V100-PCIE-16GB", "float16", 112),
        ("Tesla V100-SXM2-32GB", "bfloat16", None),
        ("NVIDIA A10G", "bfloat16", None),
        ("Some GPU", "float16", None),
    ],
)
def test_peak_of_devices_by_the_name_that_torch_tells(name, precision, peak):
    assert peak_tflops(name, precision) == peak


# ---- counts ----


@st.composite
def samples(draw):
    """Samples of (prompt, answer) tokens."""
    sizes = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6))
    return [
        {
            "input_ids": [5] * (prompt + answer),
            "labels": [IGNORE_INDEX] * prompt + [5] * answer,
            "vision": {"pixel_values": torch.zeros(index % 3, 3, 4, 4)} if index % 3 else {},
        }
        for index, (prompt, answer) in enumerate(sizes)
    ]


@given(samples(), st.integers(0, 5), st.integers(1, 12))
def test_padded_and_packed_batches_count_alike(items, spare, window):
    lengths = [len(item["input_ids"]) for item in items]
    collators = {
        len(items) * max(lengths): PaddedCollator(pad_id=5),
        sum(lengths): PackedCollator(pad_id=5, longest=20),
    }
    collators[sum(lengths) + spare] = PackedCollator(pad_id=5, longest=20, length=sum(lengths) + spare)
    for slots, collator in collators.items():
        assert add_up([count_batch(collator(items), window)]) == Counts(
            samples=len(items),
            images=sum(index % 3 for index in range(len(items))),
            tiles=sum(index % 3 for index in range(len(items))),
            tokens=sum(lengths),
            slots=slots,
            answers=sum(label == 5 for item in items for label in item["labels"]),
            pairs=sum(place + 1 for length in lengths for place in range(length)),
            near_pairs=sum(min(place + 1, window) for length in lengths for place in range(length)),
        )


def test_a_batch_without_an_answer_is_counted():
    item = {"input_ids": [5, 5], "labels": [IGNORE_INDEX] * 2, "vision": {}}
    assert add_up([count_batch(PaddedCollator(pad_id=5)([item]))] * 2).idle_batches == 2


def test_tiles_that_fill_up_are_not_counted():
    pixels = torch.randn(2, 5, 3, 32, 32)
    pixels[0, 3:] = 0
    assert count_tiles(pixels) == 8


def test_counts_add_and_subtract():
    one = Counts(tokens=5, samples=1)
    assert one + one - one == one


# ---- the clock ----


def test_waiting_is_the_time_until_the_next_batch():
    def slow():
        for number in range(3):
            time.sleep(0.02)
            yield number

    batches = Waiting(slow())
    assert list(batches) == [0, 1, 2]
    assert 0.06 <= batches.seconds < 1


def test_clock_stands_while_a_run_evaluates():
    meter = Meter()
    idle, evaluates = (
        SimpleNamespace(should_log=False, should_evaluate=flag, should_save=False) for flag in (False, True)
    )
    for control in (idle, evaluates):
        meter.start()
        time.sleep(0.02)
        meter.on_step_end(None, None, control)
    time.sleep(0.3)
    _, steps, seconds, _ = meter.take()
    assert steps == 2
    assert 0.04 <= seconds < 0.3
    assert meter.take()[1:] == (0, 0.0, 0.0)


def test_rates_are_what_their_names_say():
    model = small_llava("clip")
    counts = Counts(samples=4, images=2, tiles=2, tokens=600, slots=800, answers=200, pairs=90_000)
    costs = count_costs(model)
    told = rates(counts, 2, 10.0, 2.5, costs, devices=4, peak=0.5)
    assert told["tokens_per_second"] == 60
    assert told["answer_tokens_per_second"] == 20
    assert told["samples_per_second"] == 0.4
    assert told["images_per_second"] == 0.2
    assert told["step_seconds"] == 5
    assert told["padding_share"] == told["data_wait_share"] == 0.25
    assert told["mfu"] == pytest.approx(costs.of(counts) / (10 * 4 * 0.5e12), rel=1e-4)
    assert "mfu" not in rates(counts, 2, 10.0, 2.5, costs, devices=4, peak=None)


# ---- runs ----


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture
def pictures(tmp_path):
    """A LLaVA JSON of 40 samples, each with a picture of its own in a folder."""
    folder = tmp_path / "images"
    folder.mkdir()
    records = []
    for index in range(40):
        (folder / f"{index}.png").write_bytes(encode_png(Image.new("RGB", (40, 30), (index, 0, 0))))
        turns = [("human", "<image>\nWhat is it?"), ("gpt", "A square, " * (index % 5 + 1))]
        conversations = [{"from": who, "value": text} for who, text in turns]
        records.append({"id": f"square-{index}", "image": f"{index}.png", "conversations": conversations})
    file = tmp_path / "data.json"
    file.write_text(json.dumps(records))
    return file


def arguments(checkpoint, data, out, **more):
    settings = {
        "model_name_or_path": checkpoint,
        "data_path": data,
        "image_folder": data.parent / "images",
        "output_dir": out,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        **more,
    }
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


def lines(out):
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    return [line for line in history if "loss" in line]


@pytest.mark.parametrize("packing", [False, True])
def test_log_lines_and_the_summary_count_every_token(checkpoint, pictures, tmp_path, capsys, packing):
    out = tmp_path / "out"
    more = {"packing": True, "packing_length": 256} if packing else {"gradient_accumulation_steps": 2}
    train(arguments(checkpoint, pictures, out, num_train_epochs=1, peak_tflops=0.1, report_to="tensorboard", **more))
    for line in lines(out):
        assert line.keys() >= RATES | {"mfu"}
        assert 0 < line["mfu"] < 1
        assert 0 <= line["padding_share"] < 1
    plan = json.loads((out / "plan.json").read_text())
    told = json.loads((out / "throughput.json").read_text())
    assert told["counts"]["samples"] == told["counts"]["images"] == plan["data"]["kept"] == 40
    assert told["counts"]["slots"] > told["counts"]["tokens"] > told["counts"]["answers"] > 0
    assert told["steps"] == len(lines(out))
    assert told["seconds"] > told["first_step_seconds"] > 0
    assert f"{told['tokens_per_second']:,.0f} tokens/s" in capsys.readouterr().out
    if packing:
        assert told["counts"]["slots"] == told["steps"] * 4 * 256
    scalars = events(out)
    assert scalars >= {"train/loss", "train/tokens_per_second", "train/mfu", "train/padding_share"}


def events(out):
    """Names of the scalars in the TensorBoard files of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [folder] = (out / "runs").iterdir()
    found = EventAccumulator(str(folder))
    found.Reload()
    return set(found.Tags()["scalars"])


def test_without_a_known_peak_there_is_no_mfu(checkpoint, pictures, tmp_path):
    train(arguments(checkpoint, pictures, tmp_path / "out", max_steps=1))
    [line] = lines(tmp_path / "out")
    assert "mfu" not in line
    assert line["tflops_per_device"] > 0


def make_trainer(command):
    loaded = load_to_train(command)
    choose_kernels(command, loaded)
    return build_trainer(command, loaded, open_shown(command, loaded, print), plan={}, decides={})


def test_samples_that_vanish_under_a_run_stop_it(checkpoint, pictures, tmp_path):
    command = parse_command(arguments(checkpoint, pictures, tmp_path / "out", num_train_epochs=3))
    trainer = make_trainer(command)
    for number in range(20):
        (tmp_path / "images" / f"{number}.png").unlink()
    with pytest.raises(DatasetError, match=r"could not be read any more .* image-missing") as told:
        trainer.train()
    assert FEW < int(str(told.value).split(" ")[0]) < 60


def test_a_batch_that_teaches_nothing_is_named_and_gives_no_nan(checkpoint, pictures, tmp_path, caplog, monkeypatch):
    command = parse_command(arguments(checkpoint, pictures, tmp_path / "out", max_steps=3))
    trainer = make_trainer(command)
    real = TrainingSet.__getitem__
    silent = trainer.samples_of(2)[0]

    def masked(dataset, position):
        item = real(dataset, position)
        if dataset.name(position % len(dataset)) in silent:
            item["labels"] = [IGNORE_INDEX] * len(item["labels"])
        return item

    monkeypatch.setattr(TrainingSet, "__getitem__", masked)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert losses[1] == 0
    assert min(losses[0], losses[2]) > 0
    [told] = [record.getMessage() for record in caplog.records if "without a token" in record.getMessage()]
    assert told.startswith("step 2")
    assert all(name in told for name in silent)
    assert trainer.summary["counts"]["idle_batches"] == 1
