"""The trainer's parts: flags, recipes, batches, order."""

import importlib.machinery
import sys
from pathlib import Path

import pytest
import torch
import yaml

from llava_graph.errors import InputError
from train.batching.batches import PaddedCollator
from train.flags.command import parse_command, split_flags
from train.train_mem import main

TRAIN = Path(__file__).resolve().parent.parent / "train"
NEEDED = ["--model_name_or_path", "m", "--data_path", "d"]


def parse(tmp_path, *more):
    return parse_command([*NEEDED, "--output_dir", str(tmp_path), *more])


def test_llava_and_older_transformers_spellings(tmp_path):
    command = parse(
        tmp_path,
        *[
            "--version",
            "v1",
            "--tune_mm_mlp_adapter",
            "True",
            "--evaluation_strategy",
            "no",
            "--warmup_ratio",
            "0.03",
            "--lazy_preprocess",
            "True",
        ],
        *[
            "--group_by_modality_length",
            "True",
            "--mm_projector_lr",
            "2e-5",
            "--model_max_length",
            "512",
            "--image_aspect_ratio",
            "pad",
        ],
        *["--mm_use_im_start_end", "False", "--bits", "16", "--overwrite_output_dir"],
    )
    assert command.model.stage == "projector"
    assert command.model.chat_template == "vicuna_v1"
    assert command.training.eval_strategy == "no"
    assert command.training.warmup_steps == 0.03
    assert command.training.mm_projector_lr == 2e-5
    assert command.data.model_max_length == 512
    assert len(command.notes) >= 7


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--learning_rat", "1"], r"unknown flag --learning_rat\. Did you mean --learning_rate\?"),
        (["--evaluation_strateg", "no"], "Did you mean --evaluation_strategy"),
        (["--stage", "projektor"], "Did you mean 'projector'"),
        (["--context", "captions"], "Did you mean 'caption'"),
        (["--learning_rate", "much"], "invalid float value"),
        (["--version", "v9"], "unknown --version"),
        (["--context_dropout", "1.5"], "0..1"),
        (["--save_strategy", "sometimes"], "sometimes"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_flags_are_named(tmp_path, flags, says):
    with pytest.raises(InputError, match=says):
        parse(tmp_path, *flags)


def test_missing_flag_is_named():
    with pytest.raises(InputError, match="data_path"):
        parse_command(["--model_name_or_path", "m"])


def test_command_prints_one_line_and_exits_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--modell", "x"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.strip().count("\n") == 0


def test_flags_in_every_form():
    assert split_flags(["--a", "1", "2", "--b=x", "--c", "--d-e", "-5", "--a", "3"]) == {
        "a": ["3"],
        "b": ["x"],
        "c": [],
        "d_e": ["-5"],
    }


@pytest.mark.parametrize("recipe", sorted((TRAIN / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_parse_and_the_command_line_wins(recipe, tmp_path):
    assert (
        parse(tmp_path, "--config", str(recipe)).training.max_steps == yaml.safe_load(recipe.read_text())["max_steps"]
    )
    assert parse(tmp_path, "--config", str(recipe), "--max_steps", "3").training.max_steps == 3


def test_no_module_of_the_script_folder_hides_another():
    """torchrun puts train/ first on sys.path: train/random.py would hide the standard library's."""
    elsewhere = [path for path in sys.path if path and Path(path).resolve() != TRAIN]
    elsewhere = [path for path in elsewhere if Path(path).resolve() != TRAIN.parent]
    for module in (*TRAIN.glob("*.py"), *(door.parent for door in TRAIN.glob("*/__init__.py"))):
        assert module.stem not in sys.stdlib_module_names
        if module.stem != "__init__":
            assert importlib.machinery.PathFinder.find_spec(module.stem, elsewhere) is None


def test_collator_pads_on_the_right():
    items = [
        {"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "vision": {"pixel_values": torch.zeros(1, 3, 4, 4)}},
        {"input_ids": [5], "labels": [-100], "vision": {}},
    ]
    batch = PaddedCollator(pad_id=0)(items)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [5, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [-100, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["pixel_values"].shape == (1, 3, 4, 4)
    assert "pixel_values" not in PaddedCollator(pad_id=0)(items[1:])
