"""The command line of the trainer. In: argv and a recipe. Out: a `Command`, with notes on what was translated.

LLaVA's and older transformers' spellings are accepted where they mean the same.
"""

import argparse
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from transformers import HfArgumentParser

from llava_graph.chat import template_names
from llava_graph.errors import InputError, did_you_mean
from llava_graph.figure_text import OCR_STYLES
from llava_graph.record import SPLITS
from train.arguments import SLOTS, STAGES, Command, DataArguments, ModelArguments, TrainArguments

Flags = dict[str, list[str]]
"""Flag without dashes -> its values; an empty list for a bare switch."""

RENAMED = {
    "evaluation_strategy": "eval_strategy",
    "warmup_ratio": "warmup_steps",
    "no_cuda": "use_cpu",
}
"""Older spellings with the same meaning (transformers < 5; a warm-up below 1 is a share of all steps)."""

WITHOUT_EFFECT: dict[str, tuple[str, ...]] = {
    "lazy_preprocess": ("true", "false"),
    "is_multimodal": ("true",),
    "overwrite_output_dir": ("true", "false"),
    "save_safetensors": ("true",),
    "mm_use_im_patch_token": ("false",),
    "freeze_mm_mlp_adapter": ("false",),
    "mm_patch_merge_type": ("flat",),
}
"""LLaVA flags at the values that change nothing here; at other values they are refused. Samples are always read lazily, the
image preparation is the checkpoint's own."""

VERSIONS = {"v1": "vicuna_v1", "vicuna_v1": "vicuna_v1", "plain": "plain", "v0": "v0", "chatml": "chatml"}
"""LLaVA's --version (name of a conversation) -> our chat template."""


def parse_command(argv: Sequence[str]) -> Command:
    """Parse `argv` (without the program's name). Raises InputError that names the flag and the nearest known one."""
    given = split_flags(argv)
    recipe = read_recipe(Path(_single("config", given.pop("config")))) if "config" in given else {}
    flags, notes = translate({**recipe, **given})
    notes += _settle_device(flags)
    parser = _Parser((ModelArguments, DataArguments, TrainArguments), prog="train_mem.py", allow_abbrev=False)
    known = {option.removeprefix("--") for action in parser._actions for option in action.option_strings}
    for name in flags:
        if name not in known:
            near = difflib.get_close_matches(name, [*known, *RENAMED, *WITHOUT_EFFECT, "config"], n=1)
            hint = f"Did you mean --{near[0]}?" if near else "See --help"
            raise InputError(f"unknown flag --{name}", next_step=hint)
    words = [word for name, values in flags.items() for word in (f"--{name}", *values)]
    try:
        model, data, training = parser.parse_args_into_dataclasses(words, look_for_args_file=False)
    except (ValueError, ImportError) as error:  # TrainingArguments checks its values itself
        raise InputError(f"the arguments do not fit ({error})") from error
    _check(model, data)
    return Command(model, data, training, tuple(notes))


def split_flags(argv: Sequence[str]) -> Flags:
    """`--name value …`, `--name=value` and `--switch`, in order; a repeated flag takes its last values."""
    flags: Flags = {}
    name = ""
    for word in argv:
        if word in ("-h", "--help"):
            name = "help"
            flags[name] = []
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            flags[name] = [value] if equals else []
        elif name:
            flags[name].append(word)
        else:
            raise InputError(f"{word!r} belongs to no flag", next_step="Write --name value")
    return flags


def read_recipe(path: Path) -> Flags:
    """A YAML file of the same names as the flags. Raises InputError."""
    import yaml  # type: ignore[import-untyped]

    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the recipe cannot be read ({' '.join(str(error).split())})", where=str(path)) from error
    if not isinstance(recipe, Mapping):
        raise InputError("the recipe must be a mapping of flags to values", where=str(path))
    return {
        str(name): [str(v) for v in value] if isinstance(value, list) else [str(value)]
        for name, value in recipe.items()
    }


def translate(flags: Flags) -> tuple[Flags, list[str]]:
    """LLaVA's and older transformers' flags -> ours, and a note on each. Raises InputError for what we do not do."""
    out: Flags = {}
    notes = []
    for name, values in flags.items():
        value = values[0].lower() if values else "true"
        if name in RENAMED:
            out[RENAMED[name]] = values
            notes.append(f"--{name} is now --{RENAMED[name]}")
        elif name in WITHOUT_EFFECT:
            if value not in WITHOUT_EFFECT[name]:
                raise InputError(
                    f"--{name} {value} is not supported", next_step=f"Known: {', '.join(WITHOUT_EFFECT[name])}"
                )
            notes.append(f"--{name} has no effect here")
        elif name in ("tune_mm_mlp_adapter", "freeze_backbone"):
            if value == "true":
                out["stage"] = ["projector"]
                notes.append(f"--{name} is --stage projector")
        elif name == "group_by_length":
            out["group_by_modality_length"] = values
            notes.append("--group_by_length is --group_by_modality_length")
        elif name == "version":
            if value not in VERSIONS:
                raise InputError(f"unknown --version {value!r}", next_step=did_you_mean(value, VERSIONS))
            out["chat_template"] = [VERSIONS[value]]
            notes.append(f"--version {value} is --chat_template {VERSIONS[value]}")
        else:
            out[name] = values
    return out, notes


def _check(model: ModelArguments, data: DataArguments) -> None:
    for value, known, name in (
        (model.stage, STAGES, "stage"),
        (data.train_split, SPLITS, "train_split"),
        (data.eval_split or SPLITS[0], SPLITS, "eval_split"),
        (model.chat_template or template_names()[0], template_names(), "chat_template"),
        *((slot, (*SLOTS, "none"), "context") for slot in data.context),
        (data.ocr_style or OCR_STYLES[0], OCR_STYLES, "ocr_style"),
    ):
        if value not in known:
            raise InputError(f"unknown --{name} {value!r}", next_step=did_you_mean(value, known))
    for name in ("context_dropout", "ocr_corruption"):
        if not 0 <= (rate := getattr(data, name)) < 1:
            raise InputError(f"--{name} must be in 0..1, got {rate}")


def _settle_device(flags: Flags) -> list[str]:
    """Without a GPU, say so to transformers, which would refuse bfloat16 and pin memory for a device that is not there."""
    import torch

    if torch.accelerator.is_available() or "use_cpu" in flags:
        return []
    flags["use_cpu"] = ["True"]
    flags.setdefault("dataloader_pin_memory", ["False"])
    return ["no GPU is here: trains on the CPU"]


def _single(name: str, values: list[str]) -> str:
    if len(values) != 1:
        raise InputError(f"--{name} takes one value, got {len(values)}")
    return values[0]


class _Parser(HfArgumentParser):
    """transformers' parser, which would print 300 lines of usage for a wrong value."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)

    def _get_formatter(self) -> argparse.HelpFormatter:
        return argparse.HelpFormatter(self.prog, width=110)
