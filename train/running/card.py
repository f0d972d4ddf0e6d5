"""The model card of a checkpoint. In: the run's command, plan and state. Out: README.md as model hubs read it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.dataset import is_dataset
from llava_graph.model.adapters import ADAPTER
from llava_graph.model.hub import REPO_ID, checkpoint_folder
from llava_graph.prompt import PromptOptions
from train.learning.loading import joins_parts

if TYPE_CHECKING:
    from transformers import TrainerState

    from llava_graph.model import LoadedModel
    from train.flags.arguments import Command, DataArguments

NOT_STATED = "not stated"
TOLD_RECORDS = 100
"""Records looked at to tell whether a data set holds dialogues."""
LISTED_EVALUATIONS = 20
"""The last ones; all are in trainer_state.json."""

TRAINING_SETTINGS = (
    "learning_rate", "mm_projector_lr", "mm_vision_tower_lr", "lr_scheduler_type", "warmup_steps", "weight_decay", "optim",
    "muon", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "num_train_epochs", "max_steps",
    "per_device_train_batch_size", "gradient_accumulation_steps", "packing", "packing_length", "group_by_modality_length",
    "bf16", "fp16", "gradient_checkpointing", "seed", "data_seed",
)  # fmt: skip
MODEL_SETTINGS = ("stage", "tune_vit_from_layer", "new_tokens", "image_aspect_ratio", "attn_implementation")
JOINED_SETTINGS = ("mm_projector_type", "mm_vision_select_layer", "mm_vision_select_feature", "mm_use_im_start_end")
LORA_SETTINGS = (
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "lora_bias",
    "lora_target",
    "bits",
    "quant_type",
    "double_quant",
)
DATA_SETTINGS = (
    "context",
    "context_dropout",
    "ocr_style",
    "ocr_corruption",
    "text_only",
    "max_context_tokens",
    "model_max_length",
)

WHOLE = """\
    from transformers import AutoModelForImageTextToText, AutoProcessor
    model = AutoModelForImageTextToText.from_pretrained("path/to/this/folder")
    processor = AutoProcessor.from_pretrained("path/to/this/folder")
"""
LAID_OVER = """\
    from transformers import AutoModelForImageTextToText, AutoProcessor
    # Reads the base model that adapter_config.json names, and lays the adapter over it; peft must be installed.
    model = AutoModelForImageTextToText.from_pretrained("path/to/this/folder")
    processor = AutoProcessor.from_pretrained("path/to/this/folder")
"""
OURS = """\
    from llava_graph.model import load
    loaded = load("path/to/this/folder")

    llava-graph-serve all --model-path path/to/this/folder
"""


def model_card(command: Command, loaded: LoadedModel, plan: Mapping[str, Any], state: TrainerState, out: Path) -> str:
    """Markdown with a YAML head (https://huggingface.co/docs/hub/model-cards)."""
    asked = command.model
    adapter = (out / ADAPTER).is_file()
    name = asked.model_name or loaded.name
    kind = "A LoRA adapter" if adapter else "A vision-language model"
    lines = [
        _head(command, loaded, adapter=adapter),
        f"# {name}\n",
        asked.about or f"{kind}, fine-tuned from {_base_name(command, loaded)}.",
        f"\n{kind} that explains images; trained with LLaVA-Graph for {state.global_step} steps.",
        "\n## Use\n",
        (LAID_OVER if adapter else WHOLE) + "\n" + OURS,
        "The chat template in this folder is the one it was trained with.\n",
        "## What learnt\n",
        *_learnt(plan),
        "\n## Data\n",
        *fact_lines(plan["data"]),
        "",
        *licence_lines(command.data),
        "\n## Run\n",
        *fact_lines(plan["run"]),
        *_settings(command, lora=asked.lora_enable or bool(asked.lora_weight_path)),
        "\n## Losses\n",
        *loss_lines(state),
        "\n## Versions\n",
        *[f"- {package} {found}" for package, found in plan["versions"].items()],
    ]
    return "\n".join(lines).rstrip() + "\n"


def _head(command: Command, loaded: LoadedModel, *, adapter: bool) -> str:
    bases = [name for name in (command.model.model_name_or_path, command.model.vision_tower) if name and _on_hub(name)]
    licence = _base_licence(command)
    lines = [
        f"license: {licence}" if licence else "license: other\nlicense_name: those-of-base-model-and-data",
        *(["base_model:", *[f"- {name}" for name in bases]] if bases else []),
        *([f"base_model_relation: {'adapter' if adapter else 'finetune'}"] if bases else []),
        "library_name: transformers",
        "pipeline_tag: image-text-to-text",
        "tags:",
        *[
            f"- {tag}"
            for tag in ("llava-graph", loaded.model.config.model_type, *(["lora", "peft"] if adapter else []))
        ],
    ]
    return "---\n" + "\n".join(lines) + "\n---\n"


def _on_hub(name: str) -> bool:
    return bool(REPO_ID.fullmatch(name)) and not Path(name).exists()


def _base_name(command: Command, loaded: LoadedModel) -> str:
    asked = command.model
    if asked.vision_tower is None or not joins_parts(command):
        return loaded.name
    return f"{Path(asked.model_name_or_path).name} with the vision tower {Path(asked.vision_tower).name}"


def _base_licence(command: Command) -> str | None:
    """What the card of the base model says, where one came with it."""
    card = checkpoint_folder(command.model.model_name_or_path) / "README.md"
    if not card.is_file():
        return None
    found = re.match(r"---\n(?:.*\n)*?license: *([\w.-]+)\s*\n(?:.*\n)*?---\n", card.read_text(encoding="utf-8"))
    return found[1] if found and found[1] != "other" else None


def _learnt(plan: Mapping[str, Any]) -> list[str]:
    rows = [
        f"| {part} | {count['trained']:,} | {count['all']:,} |" for part, count in plan["model"]["parameters"].items()
    ]
    return ["| part | parameters that learnt | all |", "|---|---|---|", *rows]


def fact_lines(section: Mapping[str, Any]) -> list[str]:
    """Every fact of a part of the plan on a line of its own; folders by their name alone."""
    return [f"- {name.replace('_', ' ')}: {told(value)}" for name, value in section.items() if value is not None]


def told(value: Any) -> str:
    """A value of the plan in words."""
    if isinstance(value, str):
        return Path(value).name if "/" in value and not _on_hub(value) else value
    if isinstance(value, Mapping):
        return ", ".join(f"{told(item)} {name}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(told(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def licence_lines(data: DataArguments) -> list[str]:
    """A table of the sources' licences."""
    rows = [
        f"| {name} | {licence} | {count} |"
        for name, counts in data_licences(data).items()
        for licence, count in counts.items()
    ]
    return ["| data | licence | records |", "|---|---|---|", *rows, "", "Each record keeps its own licence."]


def data_licences(data: DataArguments) -> dict[str, dict[str, int | str]]:
    """Name of a source -> licence -> records; conversation files state none, and are not counted."""
    from train.sources import sources_of

    found: dict[str, dict[str, int | str]] = {}
    for source in sources_of(data, PromptOptions()):
        if is_dataset(source.path):
            found[source.path.name] = dict(_count_licences(source.path, source.split).most_common())
        else:
            found[source.path.name] = {NOT_STATED: ""}
    return found


def teaches_instructions(command: Command) -> bool:
    """Whether any source holds dialogues. First mentions alone teach to explain, whatever else is asked."""
    from train.sources import sources_of

    sources = sources_of(command.data, PromptOptions())
    return any(not is_dataset(source.path) or _has_turns(source.path, source.split) for source in sources)


def _has_turns(folder: Path, split: str) -> bool:
    """By the first records of the first shard: sources have dialogues throughout, or none."""
    from pyarrow import parquet

    from train.sources.figures import split_files

    for file in split_files(folder, split)[:1]:
        batch = next(parquet.ParquetFile(file).iter_batches(TOLD_RECORDS, columns=["turns"]), None)
        return batch is not None and any(batch.column("turns").to_pylist())
    return False


def _count_licences(folder: Path, split: str) -> Counter[str]:
    from pyarrow import parquet

    from train.sources.figures import split_files

    counts: Counter[str] = Counter()
    for file in split_files(folder, split):
        counts.update(parquet.read_table(file, columns=["licence"])["licence"].to_pylist())
    return Counter({licence or NOT_STATED: count for licence, count in counts.items()})


def _settings(command: Command, *, lora: bool) -> list[str]:
    groups = (
        (command.training, TRAINING_SETTINGS),
        (command.model, MODEL_SETTINGS),
        (command.model, JOINED_SETTINGS if joins_parts(command) else ()),
        (command.model, LORA_SETTINGS if lora else ()),
        (command.data, DATA_SETTINGS),
    )
    values = [(name, getattr(group, name)) for group, names in groups for name in names]
    rows = [f"| {name} | {told(getattr(value, 'value', value))} |" for name, value in values if value not in (None, [])]
    return ["", "| setting | value |", "|---|---|", *rows]


def loss_lines(state: TrainerState) -> list[str]:
    """The first and the last loss, and the last evaluations."""
    logged = [(entry["step"], entry["loss"]) for entry in state.log_history if "loss" in entry]
    evaluated = [entry for entry in state.log_history if any(name.startswith("eval_") for name in entry)]
    if not logged and not evaluated:
        return ["None was logged."]
    lines = [f"- step {step}: {loss:.4g}" for step, loss in dict([logged[0], logged[-1]]).items()] if logged else []
    for entry in evaluated[-LISTED_EVALUATIONS:]:
        scores = {name.removeprefix("eval_"): value for name, value in entry.items() if name.startswith("eval_")}
        lines.append(
            f"- evaluation at step {entry['step']}: "
            + ", ".join(f"{name} {told(value)}" for name, value in scores.items() if isinstance(value, int | float))
        )
    return lines
