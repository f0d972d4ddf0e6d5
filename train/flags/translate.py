"""Other trainers' flags -> ours. In: flags as they were given. Out: the same run in our flags, and a note on each change.

The tables are in `train.flags.aliases`; here is what needs more than one flag to decide, above all which parts learn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from llava_graph.chat import template_names
from llava_graph.errors import InputError, did_you_mean
from train.flags.aliases import (
    ANY,
    DEFAULTS,
    DIALECT_FLAGS,
    DIALECTS,
    ENVIRONMENT,
    MERGE_TYPES,
    NO_LAYER,
    REFUSED_VALUES,
    RENAMED,
    SAME_VALUES,
    STAGE_FLAGS,
    VERSIONS,
    WITHOUT_EFFECT,
)

Flags = dict[str, list[str]]
"""Flag without dashes -> its values; an empty list for a bare switch."""

OUR_STAGE_FLAGS = ("stage", "tune_vit_from_layer")
TOWER, CONNECTOR, LANGUAGE = "mm_vision_tower", "mm_mlp_adapter", "mm_language_model"
"""Parts, under LLaVA-NeXT's names for --mm_tunable_parts."""
TRUE = ("true", "1", "yes", "")


def translate(flags: Flags) -> tuple[Flags, list[str]]:
    """The run in our flags, and a note on each change. Raises InputError for what we do not do, with the reason."""
    dialect = dialect_of(flags)
    notes: list[str] = []
    stage_flags = {name: _value(values) for name, values in flags.items() if name in STAGE_FLAGS}
    out = _rename({name: values for name, values in flags.items() if name not in STAGE_FLAGS}, notes)
    _settle_warmup(flags, out)
    _take_defaults(out, dialect, notes)
    _choose_template(out, notes)
    _check_values(out, notes)
    if dialect and _value(out.get("image_aspect_ratio", ["pad"])) == "square":
        notes.append("--image_aspect_ratio square scales the whole image; their trainer crops its middle")
    _start_from_whole_model(out, notes)
    _choose_parts(out, stage_flags, notes, llava=dialect is not None or "vision_tower" in out)
    return out, notes


def merge(recipe: Flags, given: Flags) -> Flags:
    """A recipe with the command line over it: also where they spell a flag differently or say the stage in other words."""
    names = {RENAMED.get(name, name) for name in given}
    if names & {*STAGE_FLAGS, *OUR_STAGE_FLAGS}:
        names |= {*STAGE_FLAGS, *OUR_STAGE_FLAGS}
    if names & {"version", "chat_template"}:
        names |= {"version", "chat_template"}
    return {**{name: values for name, values in recipe.items() if RENAMED.get(name, name) not in names}, **given}


def dialect_of(flags: Mapping[str, object]) -> str | None:
    """Whose command line it is, by flags that only their trainer has; None: ours."""
    found = {DIALECT_FLAGS[name] for name in flags if name in DIALECT_FLAGS}
    return next((dialect for dialect in DIALECTS if dialect in found), None)


def _value(values: list[str]) -> str:
    return values[0] if values else "true"


def _is_true(value: str) -> bool:
    return value.strip().lower() in TRUE


def _rename(flags: Flags, notes: list[str]) -> Flags:
    """Spellings, flags without effect here, and other names of values."""
    out: Flags = {}
    for name, values in flags.items():
        if name in WITHOUT_EFFECT:
            known, why = WITHOUT_EFFECT[name]
            if known is not ANY and _value(values).lower() not in known:
                raise InputError(f"--{name} {_value(values)} is not supported: {why}")
            notes.append(f"--{name} has no effect here: {why}")
            continue
        ours = RENAMED.get(name, name)
        if ours != name:
            if flags.get(ours, values) != values and name != "warmup_ratio":
                raise InputError(f"--{name} and --{ours} are the same flag, and say different things")
            notes.append(f"--{name} is --{ours}")
        elif name in ENVIRONMENT:
            notes.append(f"--{name} is the environment variable {ENVIRONMENT[name]}")
        same = SAME_VALUES.get(ours, {}).get(_value(values))
        if same:
            notes.append(f"--{ours} {_value(values)} is --{ours} {same}")
        out[ours] = [same] if same else values
    return out


def _settle_warmup(flags: Flags, out: Flags) -> None:
    """transformers 4 lets steps win over a ratio where both are given."""
    if "warmup_ratio" in flags and "warmup_steps" in flags:
        steps = _value(flags["warmup_steps"])
        out["warmup_steps"] = flags["warmup_ratio"] if steps in ("0", "0.0") else [steps]


def _take_defaults(out: Flags, dialect: str | None, notes: list[str]) -> None:
    """A new model is built as their trainer would, where the command line is silent."""
    if dialect is None or "vision_tower" not in out:
        return
    finished = _holds_tower(_value(out.get("model_name_or_path", [""])))
    for name, value in DEFAULTS[dialect].items():
        if name in out or (name == "version" and "chat_template" in out) or (finished and name != "version"):
            continue
        out[name] = [value]
        notes.append(f"--{name} {value}: their trainer's default ({dialect})")


def _holds_tower(model: str) -> bool:
    """Whether a folder is a finished model, which knows its connector and its images. LLaVA's scripts name the tower anyway."""
    try:
        config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "vision_config" in config


def _choose_template(out: Flags, notes: list[str]) -> None:
    if "version" not in out:
        return
    if "chat_template" in out:
        raise InputError("--version and --chat_template both choose the template", next_step="Leave one out")
    version = _value(out.pop("version"))
    template = version if version in template_names() else VERSIONS.get(version, version)
    if template not in template_names():
        known = {name for name, target in VERSIONS.items() if target in template_names()} | {*template_names()}
        raise InputError(
            f"unknown --version {version!r}: we ship no such chat template", next_step=did_you_mean(version, known)
        )
    out["chat_template"] = [template]
    notes.append(f"--version {version} is --chat_template {template}")


def _check_values(out: Flags, notes: list[str]) -> None:
    """What other trainers do and we do not, with the reason."""
    for name, refused in REFUSED_VALUES.items():
        value = _value(out[name]) if name in out else ""
        if value in refused:
            raise InputError(f"--{name} {value}: {refused[value]}")
    if "mm_patch_merge_type" not in out:
        return
    merge_type = _value(out.pop("mm_patch_merge_type"))
    aspect = _value(out["image_aspect_ratio"]) if "image_aspect_ratio" in out else None
    if merge_type not in MERGE_TYPES or (aspect and aspect not in MERGE_TYPES[merge_type]):
        told = f" with --image_aspect_ratio {aspect}" if aspect else ""
        raise InputError(
            f"--mm_patch_merge_type {merge_type} is not supported{told}",
            next_step="flat goes with pad and square, spatial_unpad with anyres",
        )
    if aspect is None and merge_type == "spatial_unpad":
        out["image_aspect_ratio"] = ["anyres"]
    notes.append(f"--mm_patch_merge_type {merge_type} follows from the image preparation")


def _start_from_whole_model(out: Flags, notes: list[str]) -> None:
    """Factory's --pretrained_model_path: a folder with language model, tower and connector, which is a checkpoint here."""
    if "pretrained_model_path" not in out:
        return
    out["model_name_or_path"] = out.pop("pretrained_model_path")
    notes.append("--pretrained_model_path is --model_name_or_path: a checkpoint here holds tower and connector too")
    for name in ("vision_tower", "mm_projector_type", "mm_vision_select_layer"):
        if out.pop(name, None) is not None:
            notes.append(f"--{name} is left out: the checkpoint says it")


def _choose_parts(out: Flags, given: dict[str, str], notes: list[str], *, llava: bool) -> None:
    """The stage flags, in the order in which their trainers apply them."""
    layer = _layer(out, given, notes)
    if "stage" in out:
        if given:
            theirs = ", ".join(f"--{name}" for name in given)
            raise InputError(f"--stage and {theirs} both say what learns", next_step="Leave one out")
        return
    if not given:
        if llava:
            # The parts that LLaVA's trainers tune when no flag names any; with all of ours --stage full is the default.
            out["stage"] = ["frozen-tower"]
            notes.append("--stage frozen-tower: LLaVA's default; --stage full trains the vision tower too")
        return
    if dialect_of(given) == "factory":
        parts, layer = _factory_parts(out, given, notes)
    else:
        parts = _llava_parts(out, given, notes)
    if parts - {TOWER} == {CONNECTOR}:
        stage = "projector"
    elif parts >= {CONNECTOR, LANGUAGE}:
        stage = "full" if TOWER in parts or layer is not None else "frozen-tower"
    else:
        named = ", ".join(sorted(parts)) or "nothing"
        raise InputError(
            f"what learns would be {named}: here the connector always learns",
            next_step="--stage is projector, frozen-tower or full; --lora_enable spares the language model",
        )
    if stage == "projector" and TOWER in parts and layer is None:
        layer = 0
    out["stage"] = [stage]
    if layer is not None:
        out["tune_vit_from_layer"] = [str(layer)]
    tower = f" --tune_vit_from_layer {layer}" if layer is not None else ""
    notes.append(f"{', '.join(f'--{name} {value}' for name, value in given.items())}: --stage {stage}{tower}")


def _layer(out: Flags, given: dict[str, str], notes: list[str]) -> int | None:
    """--tune_vit_from_layer as we number it (0: all of the tower), None: as the stage says."""
    if "tune_vit_from_layer" not in out:
        return None
    layer = _layer_number(_value(out.pop("tune_vit_from_layer")))
    if layer >= NO_LAYER:
        notes.append(f"--tune_vit_from_layer {layer} leaves the vision tower frozen")
        if not given and "stage" not in out:
            out["stage"] = ["frozen-tower"]
        return None
    if layer < 0:
        notes.append(f"--tune_vit_from_layer {layer} is 0: the whole vision tower")
        layer = 0
    if not given:
        out["tune_vit_from_layer"] = [str(layer)]
    return layer


def _layer_number(value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise InputError(f"the vision tower learns from layer {value!r} on, which is no number") from error


def _llava_parts(out: Flags, given: dict[str, str], notes: list[str]) -> set[str]:
    parts = {CONNECTOR, LANGUAGE}
    if _is_true(given.get("freeze_backbone", "false")):
        parts.discard(LANGUAGE)
    if _is_true(given.get("tune_mm_mlp_adapter", "false")):
        parts = {CONNECTOR}
    if _is_true(given.get("freeze_mm_mlp_adapter", "false")):
        parts.discard(CONNECTOR)
    if _is_true(given.get("unfreeze_mm_vision_tower", "false")):
        parts.add(TOWER)
    if given.get("mm_tunable_parts"):
        parts = {part.strip() for part in given["mm_tunable_parts"].split(",")}
        unknown = parts - {TOWER, CONNECTOR, LANGUAGE}
        if unknown:
            name = sorted(unknown)[0]
            raise InputError(
                f"--mm_tunable_parts: unknown part {name!r}", next_step=did_you_mean(name, (TOWER, CONNECTOR, LANGUAGE))
            )
    if _is_true(given.get("tune_entire_model", "false")):
        parts |= {CONNECTOR, LANGUAGE}
        notes.append(
            "--tune_entire_model wins over --tune_mm_mlp_adapter, and the whole model is saved (their trainer then wrote "
            "the connector alone)"
        )
    elif LANGUAGE not in parts and _is_true(_value(out.get("lora_enable", ["false"]))):
        out["lora_enable"] = ["False"]
        notes.append("--lora_enable is left out: their trainer freezes its layers again in this stage")
    return parts


def _factory_parts(out: Flags, given: dict[str, str], notes: list[str]) -> tuple[set[str], int | None]:
    language = given.get("tune_type_llm", "frozen").lower()
    tower = given.get("tune_type_vision_tower", "frozen").lower()
    connector = given.get("tune_type_connector", "full").lower()
    for value, known, name in (
        (language, ("frozen", "full", "lora", "qlora", "qlora_int4", "qlora_int8"), "tune_type_llm"),
        (tower, ("frozen", "full", "partially-tune"), "tune_type_vision_tower"),
        (connector, ("full", "frozen"), "tune_type_connector"),
    ):
        if value not in known:
            raise InputError(f"--{name} {value} is not supported", next_step=did_you_mean(value, known))
    parts = {CONNECTOR} if connector == "full" else set()
    if language != "frozen":
        parts.add(LANGUAGE)
    if "lora" in language:
        out.setdefault("lora_enable", ["True"])
        notes.append(f"--tune_type_llm {language} is --lora_enable True")
    if "qlora" in language:
        bits = "8" if language.endswith("8") else "4"
        out["bits"] = [bits]
        notes.append(f"--tune_type_llm {language} is --bits {bits}")
    if tower == "frozen":
        return parts, None
    from_layer = given.get("tune_vision_tower_from_layer", "10") if tower == "partially-tune" else "0"
    return parts | {TOWER}, _layer_number(from_layer)
