"""The command line of the trainer. In: argv and a recipe. Out: a `Command`, with notes on what was translated.

Flags of LLaVA, its forks and older transformers are translated by `translate.py`, from the tables in `aliases.py`.
"""

import dataclasses
import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from transformers import HfArgumentParser

from llava_graph.chat import template_names
from llava_graph.errors import InputError, did_you_mean
from llava_graph.figure_text import OCR_STYLES
from llava_graph.record import SPLITS
from train.flags.aliases import ENVIRONMENT, RENAMED, STAGE_FLAGS, WITHOUT_EFFECT
from train.flags.arguments import (
    ASPECT_RATIOS,
    ATTENTIONS,
    BAD_IMAGE_POLICIES,
    SLOTS,
    STAGES,
    Command,
    DataArguments,
    ModelArguments,
    TrainArguments,
)
from train.flags.packages import check_packages
from train.flags.ranges import check_ranges
from train.flags.translate import Flags, merge, translate

RECIPES = Path(__file__).parent.parent / "recipes"
CONTRASTIVE_RECIPES = ("pa_llava/plip",)
"""Those of train_contrastive.py."""
ARGUMENTS = (ModelArguments, DataArguments, TrainArguments)
CONNECTORS = re.compile(r"linear|mlp[1-9]\d?x_gelu|scale_invariant")
UNSET = ("", "none", "null")
"""Values that take a flag without a default back: `--deepspeed none` over a recipe."""

CHANGED_NAMES = (
    ("gradient_checkpointing", "activation_checkpointing"),
    ("gradient_checkpointing_kwargs", "activation_checkpointing_kwargs"),
)
"""Older and newer name in the releases of transformers that we work with."""


def parse_command(argv: Sequence[str]) -> Command:
    """Parse `argv` (without the program's name). Raises InputError that names the flag and the nearest known one."""
    merged, start = read_flags(argv)
    check_ranges(_without_unset(merged, ARGUMENTS))
    flags, notes = translate(merged)
    (model, data, training), settled = fill(flags, ARGUMENTS)
    _check(model, data, training)
    check_packages(training)
    return Command(model, data, training, (*start, *notes, *settled))


def read_flags(argv: Sequence[str], recipes: Sequence[str] | None = None) -> tuple[Flags, list[str]]:
    """The flags of a command line over those of its --config, and a note on that. Raises InputError.

    `recipes`: names of the shipped ones that the command takes; None: train_mem.py's.
    """
    given = split_flags(argv)
    recipe: Flags = {}
    start = []
    if "config" in given:
        path = find_recipe(_single("config", given.pop("config")), recipes)
        recipe, start = read_recipe(path), [f"recipe {recipe_name(path)}"]
    merged = merge(recipe, given)
    if merged.get("output_dir") in ([], [""]):  # else transformers' default, a folder that nobody asked for
        raise InputError("--output_dir is empty", next_step="Name a folder for the result")
    return merged, start


def fill(flags: Flags, kinds: Sequence[Any]) -> tuple[tuple[Any, ...], list[str]]:
    """The dataclasses `kinds` with these values, and notes on what the machine settles. Raises InputError."""
    flags = _without_unset(flags, kinds)
    check_ranges(flags)
    notes = _settle_batch(flags) + _settle_device(flags)
    _set_environment(flags)
    parser = _Parser(kinds, prog="train_mem.py", allow_abbrev=False)
    known = {option.removeprefix("--") for action in parser._actions for option in action.option_strings}
    flags = _as_spelt_now(flags, known)
    _check_names(flags, known)
    words = [word for name, values in flags.items() for word in (f"--{name}", *values)]
    try:
        return parser.parse_args_into_dataclasses(words, look_for_args_file=False), notes
    except (ValueError, ImportError, OSError) as error:  # TrainingArguments checks its values itself
        raise InputError(f"the arguments do not fit ({' '.join(str(error).split())})") from error


def split_flags(argv: Sequence[str]) -> Flags:
    """`--name value …`, `--name=value` and `--switch`, in order; a repeated flag takes its last values."""
    flags: Flags = {}
    name = ""
    for word in argv:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            flags[name] = [value] if equals else []
        elif name:
            flags[name].append(word)
        else:
            raise InputError(f"{word!r} belongs to no flag", next_step="Write --name value")
    return flags


def recipe_names() -> list[str]:
    """The recipes shipped, as --config takes them: `packaged`, `quilt_llava/finetune` …"""
    return sorted({recipe_name(path) for path in RECIPES.rglob("*.yaml")} - {*CONTRASTIVE_RECIPES})


def recipe_name(path: Path) -> str:
    """A shipped recipe's short name, else the path as it was given."""
    return path.relative_to(RECIPES).with_suffix("").as_posix() if path.is_relative_to(RECIPES) else str(path)


def find_recipe(asked: str, recipes: Sequence[str] | None = None) -> Path:
    """A path to a YAML file, or the name of a shipped recipe. Raises InputError that lists the names.

    `recipes`: as for `read_flags`.
    """
    path = Path(asked)
    if path.is_file():
        return path
    name = asked.removesuffix(".yaml")
    known = recipe_names() if recipes is None else recipes
    if name in known:
        return RECIPES / f"{name}.yaml"
    if name in CONTRASTIVE_RECIPES:
        raise InputError(f"--config {name} is a recipe of train_contrastive.py", next_step="Start that one with it")
    raise InputError(f"--config: no such file or recipe: {asked}", next_step=did_you_mean(name, known))


def read_recipe(path: Path) -> Flags:
    """A YAML file of the same names as the flags. Raises InputError."""
    import yaml  # type: ignore[import-untyped]

    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the recipe cannot be read ({' '.join(str(error).split())})", where=str(path)) from error
    if not isinstance(recipe, Mapping):
        raise InputError("the recipe must be a mapping of flags to values", where=str(path))
    return {str(name).replace("-", "_"): _words(str(name), value) for name, value in recipe.items()}


def _words(name: str, value: Any) -> list[str]:
    """A YAML value as words of a command line."""
    if isinstance(value, list):
        return [str(one) for one in value]
    if isinstance(value, Mapping):
        return [json.dumps(value)]
    if value is False and name.endswith("_strategy"):
        return ["no"]  # YAML reads a bare no as False
    return ["none" if value is None else str(value)]


def _without_unset(flags: Flags, kinds: Sequence[Any]) -> Flags:
    nullable = {field.name for arguments in kinds for field in dataclasses.fields(arguments) if field.default is None}
    return {
        name: values
        for name, values in flags.items()
        if not (name in nullable and len(values) == 1 and values[0].lower() in UNSET)
    }


def _as_spelt_now(flags: Flags, known: set[str]) -> Flags:
    """Names that changed within the releases of transformers that we work with, as the installed one has them."""
    spelt = dict((old, new) if new in known else (new, old) for old, new in CHANGED_NAMES)
    return {spelt.get(name, name): values for name, values in flags.items()}


def _check_names(flags: Flags, known: set[str]) -> None:
    for name in flags:
        if name in known or name in ENVIRONMENT:
            continue
        more = (*known, *RENAMED, *WITHOUT_EFFECT, *STAGE_FLAGS, *ENVIRONMENT, "config", "version")
        near = difflib.get_close_matches(name, more, n=1)
        raise InputError(f"unknown flag --{name}", next_step=f"Did you mean --{near[0]}?" if near else "See --help all")


def _check(model: ModelArguments, data: DataArguments, training: TrainArguments) -> None:
    """Values that the types alone do not check."""
    for value, known, name in (
        (model.stage, STAGES, "stage"),
        (data.train_split, SPLITS, "train_split"),
        (data.eval_split, SPLITS, "eval_split"),
        (model.chat_template, template_names(), "chat_template"),
        *((slot, (*SLOTS, "none"), "context") for slot in data.context),
        (data.ocr_style, OCR_STYLES, "ocr_style"),
        (data.bad_image, BAD_IMAGE_POLICIES, "bad_image"),
        (model.image_aspect_ratio, ASPECT_RATIOS, "image_aspect_ratio"),
        (model.mm_vision_select_feature, ("patch", "cls_patch"), "mm_vision_select_feature"),
        (model.save_dtype, ("float32", "bfloat16", "float16"), "save_dtype"),
        (model.bits, (4, 8, 16), "bits"),
        (model.quant_type, ("nf4", "fp4"), "quant_type"),
        (model.lora_bias, ("none", "all", "lora_only"), "lora_bias"),
        (model.lora_target, ("language-model", "all"), "lora_target"),
        (model.attn_implementation, ATTENTIONS, "attn_implementation"),
    ):
        if value is not None and value not in known:
            raise InputError(f"unknown --{name} {value!r}", next_step=did_you_mean(str(value), map(str, known)))
    if not CONNECTORS.fullmatch(model.mm_projector_type):
        raise InputError(
            f"unknown --mm_projector_type {model.mm_projector_type!r}",
            next_step="Known: linear, mlp2x_gelu (or another number of layers), scale_invariant",
        )
    if data.data_weights and len(data.data_weights) != len(data.data_path):
        raise InputError(f"--data_weights: {len(data.data_weights)} weights for {len(data.data_path)} data paths")
    if training.eval_strategy != "no" and not (data.eval_split or data.eval_data_path):
        raise InputError(
            f"--eval_strategy {training.eval_strategy.value} has no data to evaluate on",
            next_step="Add --eval_split validation, or --eval_data_path",
        )
    if training.packing_length is not None and not training.packing:
        raise InputError("--packing_length has no use without --packing True")


def _settle_batch(flags: Flags) -> list[str]:
    """--global_batch_size on so many processes: what each accumulates."""
    if "global_batch_size" not in flags or "gradient_accumulation_steps" in flags:
        return []
    try:
        asked = int(_single("global_batch_size", flags["global_batch_size"]))
        each = int(flags.get("per_device_train_batch_size", ["8"])[0])
    except ValueError as error:
        raise InputError("--global_batch_size and --per_device_train_batch_size are whole numbers") from error
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    times = accumulation(asked, each, processes)
    flags["gradient_accumulation_steps"] = [str(times)]
    return [f"--global_batch_size {asked} = {each} a process x {times} accumulated x {processes} processes"]


def accumulation(batch: int, each: int, processes: int) -> int:
    """How often `processes` accumulate batches of `each` for a step of `batch`. Raises InputError when it does not divide."""
    together = each * processes
    if batch < 1 or each < 1 or batch % together:
        raise InputError(
            f"--global_batch_size {batch} is no multiple of {together} ({each} a process x {processes} processes)",
            next_step="Choose another --per_device_train_batch_size, or --gradient_accumulation_steps yourself",
        )
    return batch // together


def _settle_device(flags: Flags) -> list[str]:
    """Without a GPU, say so to transformers, which would refuse TF32 and pin memory for a device that is not there."""
    import torch
    from transformers.utils import is_torch_tf32_available

    notes = []
    on_cpu = not torch.accelerator.is_available()
    if on_cpu and "use_cpu" not in flags:
        flags["use_cpu"] = ["True"]
        flags.setdefault("dataloader_pin_memory", ["False"])
        notes.append("no GPU is here: trains on the CPU")
    if "tf32" in flags and not is_torch_tf32_available():
        del flags["tf32"]
        notes.append("--tf32 has no effect here: this device has no TF32")
    if on_cpu and flags.get("fp16", ["False"])[:1] in ([], ["True"], ["true"]):
        del flags["fp16"]
        notes.append("--fp16 has no effect here: a CPU computes in float32, or with --bf16 True in bfloat16")
    return notes


def _set_environment(flags: Flags) -> None:
    """Flags that transformers 5 reads from the environment alone (`translate` has noted it)."""
    for name, variable in ENVIRONMENT.items():
        if name in flags:
            os.environ[variable] = _single(name, flags.pop(name))


def _single(name: str, values: list[str]) -> str:
    if len(values) != 1:
        raise InputError(f"--{name} takes one value, got {len(values)}")
    return values[0]


class _Parser(HfArgumentParser):
    """transformers' parser, which would print 300 lines of usage for a wrong value."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, add_help=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise InputError(message)
