"""The flags of `train_contrastive.py`. In: argv and a recipe. Out: a `ContrastiveCommand`.

Data, training, checkpoints and machine are asked for as in `train_mem.py`; what has no meaning here is refused by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llava_graph.errors import InputError, did_you_mean
from train.contrastive.augmenting import Augmentation
from train.flags.arguments import DataArguments, TrainArguments
from train.flags.command import CONTRASTIVE_RECIPES, fill, read_flags
from train.flags.packages import check_packages
from train.flags.ranges import COUNT, NUMBER, PART, POSITIVE, RANGES, SHARE, Range, check_ranges

OBJECTIVES = ("ita-itm", "clip")
SCORES = tuple(f"{way}_r{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10))
ZERO_SHOT_SCORES = ("zero_shot_accuracy", "zero_shot_macro_f1")
"""What an evaluation says (`retrieval.py`)."""
BERT = "google-bert/bert-base-uncased"


@dataclass
class ContrastiveArguments:
    """What is trained, and by which losses. Constants: BLIP's pretraining, which PA-LLaVA's PLIP stage is written after."""

    vision_tower: str | None = field(
        default=None, metadata={"help": "CLIP, SigLIP or open_clip checkpoint to begin with. Folder or owner/name."}
    )
    text_tower: str = field(
        default=BERT, metadata={"help": "BERT to begin with, such as a PubMedBERT. Folder or owner/name."}
    )
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "A folder that this command wrote, to go on from, in the place of both towers."}
    )
    objective: str = field(
        default="ita-itm",
        metadata={
            "help": "ita-itm: alignment with momentum encoders, queue and soft targets, and matching with hard negatives "
            "(ALBEF, BLIP). clip: InfoNCE over the batches of all processes, and nothing else."
        },
    )
    projection_dim: int = field(default=256, metadata={"help": "Numbers of a feature."})
    temperature: float = field(default=0.07, metadata={"help": "By which similarities are divided; it learns."})
    temperature_min: float = field(default=0.001, metadata={"help": "The least that it can become."})
    temperature_max: float = field(default=0.5, metadata={"help": "The most that it can become."})
    momentum: float = field(
        default=0.995, metadata={"help": "Share of a momentum weight that stays in each step (ita-itm)."}
    )
    queue_size: int = field(
        default=57_600, metadata={"help": "Pairs of earlier steps that a batch is compared with (ita-itm)."}
    )
    alpha: float = field(default=0.4, metadata={"help": "Share of the soft targets (ita-itm)."})
    alpha_ramp_epochs: float = field(
        default=1.0, metadata={"help": "Epochs over which alpha rises from 0: ALBEF's 1, BLIP's 2 (ita-itm)."}
    )
    max_caption_tokens: int = field(default=30, metadata={"help": "Tokens of a caption; the rest is cut off."})
    smallest_crop: float = field(
        default=0.5, metadata={"help": "Share of an image that an epoch shows at least; 1: always the whole image."}
    )
    randaugment_level: int = field(
        default=5, metadata={"help": "Strength of two random changes of each image, 0..10; 0: none."}
    )
    flip: bool = field(
        default=True, metadata={"help": "Mirror half of the images, but not where the caption says left or right."}
    )
    zero_shot_data: str | None = field(
        default=None,
        metadata={
            "help": "Records whose answer is a label: each evaluation also classifies their images by the labels."
        },
    )
    label_prompt: str = field(default="{}", metadata={"help": "Text for a label, such as 'an image of {}'."})
    model_name: str | None = field(default=None, metadata={"help": "What the trained model calls itself."})
    about: str | None = field(default=None, metadata={"help": "What it is, in a sentence; stored in its model card."})

    @property
    def fused(self) -> bool:
        """Whether a text encoder with cross-attention matches pairs."""
        return self.objective == "ita-itm"

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the temperature."""
        return self.temperature_min, self.temperature_max

    @property
    def augmentation(self) -> Augmentation:
        """What an epoch does to the images."""
        return Augmentation(smallest_crop=self.smallest_crop, level=self.randaugment_level, flip=self.flip)


@dataclass
class PairArguments(DataArguments):
    """What it learns from. Its fields of a prompt are refused."""


@dataclass
class ContrastiveTraining(TrainArguments):
    """Training's flags with other defaults."""

    learning_rate: float = field(default=1e-4, metadata={"help": "ALBEF trains at 1e-4, BLIP at 3e-4."})
    metric_for_best_model: str | None = field(
        default="image_to_text_r1", metadata={"help": "Score of an evaluation that says which checkpoint is the best."}
    )
    greater_is_better: bool | None = field(default=True, metadata={"help": "Whether more of it is better."})


KINDS = (ContrastiveArguments, PairArguments, ContrastiveTraining)

ONE_TEXT = "a pair is an image and its caption"
WHOLE_MODEL = "momentum encoders follow whole weights: DDP (torchrun) is how many processes share the work"
REFUSED = {
    **dict.fromkeys(
        (
            "eval_generate",
            "context",
            "context_dropout",
            "ocr_style",
            "ocr_corruption",
            "text_only",
            "max_context_tokens",
        ),
        ONE_TEXT,
    ),
    "model_max_length": "--max_caption_tokens is the length of a caption",
    "streaming": "all pairs are looked at before the first step",
    "bad_image": "a pair without its image teaches nothing: it is left out",
    **dict.fromkeys(("packing", "packing_length", "packing_max_images", "group_by_modality_length"), ONE_TEXT),
    "mm_projector_lr": "--mm_vision_tower_lr is the tower's rate, --learning_rate that of all else",
    "vision_cache": "the vision tower learns",
    "audit": "--dry_run tells how many captions are cut",
    **dict.fromkeys(("deepspeed", "fsdp", "fsdp_config"), WHOLE_MODEL),
    "compile_layers": "it belongs to a LLaVA",
    **dict.fromkeys(
        ("label_smoothing_factor", "neftune_noise_alpha", "use_liger_kernel"), "it belongs to language models"
    ),
    "auto_find_batch_size": "the batch decides what a pair is compared with",
    **dict.fromkeys(
        ("gradient_checkpointing_kwargs", "activation_checkpointing_kwargs"), "every layer is checkpointed, or none"
    ),
}
"""Flags of train_mem.py and of transformers without a meaning here -> why."""

CONTRASTIVE_RANGES: dict[str, Range] = {
    **RANGES,
    **dict.fromkeys(("projection_dim", "max_caption_tokens"), COUNT),
    **dict.fromkeys(("queue_size", "alpha_ramp_epochs"), NUMBER),
    **dict.fromkeys(("temperature", "temperature_min", "temperature_max"), POSITIVE),
    "momentum": PART,
    "alpha": SHARE,
    "smallest_crop": Range(0, 1, "in 0..1, 0 left out", without_low=True),
    "randaugment_level": Range(0, 10, "in 0..10"),
}


@dataclass(frozen=True)
class ContrastiveCommand:
    """A parsed command line."""

    contrastive: ContrastiveArguments
    data: PairArguments
    training: ContrastiveTraining
    notes: tuple[str, ...]
    """For the plan."""


def parse_contrastive(argv: Sequence[str]) -> ContrastiveCommand:
    """Parse `argv` (without the program's name). Raises InputError that names the flag and the nearest known one."""
    flags, start = read_flags(argv, CONTRASTIVE_RECIPES)
    for name in flags:
        if name in REFUSED:
            raise InputError(f"--{name} has no meaning here: {REFUSED[name]}", next_step="Leave it out")
    check_ranges(flags, CONTRASTIVE_RANGES)
    (contrastive, data, training), notes = fill(flags, KINDS)
    _check(contrastive, data, training)
    check_packages(training)
    return ContrastiveCommand(contrastive, data, training, (*start, *notes))


def _check(asked: ContrastiveArguments, data: PairArguments, training: ContrastiveTraining) -> None:
    if asked.objective not in OBJECTIVES:
        raise InputError(
            f"unknown --objective {asked.objective!r}", next_step=did_you_mean(asked.objective, OBJECTIVES)
        )
    if (asked.vision_tower is None) == (asked.model_name_or_path is None):
        raise InputError(
            "nothing to train" if asked.vision_tower is None else "two models to begin with",
            next_step="Give --vision_tower (with --text_tower), or --model_name_or_path to go on from a folder of this command",
        )
    if not asked.temperature_min <= asked.temperature <= asked.temperature_max:
        raise InputError(
            f"--temperature {asked.temperature} is not in {asked.temperature_min}..{asked.temperature_max}"
        )
    if asked.max_caption_tokens < 3:
        raise InputError("--max_caption_tokens must hold [CLS], a word and [SEP]")
    if asked.label_prompt.count("{}") != 1:
        raise InputError("--label_prompt needs one {} where the label goes", next_step="Such as 'an image of {}'")
    if data.data_weights and len(data.data_weights) != len(data.data_path):
        raise InputError(f"--data_weights: {len(data.data_weights)} weights for {len(data.data_path)} data paths")
    evaluated = data.eval_split or data.eval_data_path
    if training.eval_strategy != "no" and not evaluated:
        raise InputError(
            f"--eval_strategy {training.eval_strategy.value} has no pairs to evaluate on",
            next_step="Add --eval_split validation, or --eval_data_path",
        )
    if (evaluated or asked.zero_shot_data) and training.eval_strategy == "no":
        raise InputError("pairs to evaluate on without evaluations", next_step="Add --eval_strategy steps or epoch")
    scores = [*SCORES, *(ZERO_SHOT_SCORES if asked.zero_shot_data else ())]
    best = (training.metric_for_best_model or SCORES[0]).removeprefix("eval_")
    if training.eval_strategy != "no" and best not in scores:
        raise InputError(
            f"--metric_for_best_model: evaluations have no score {best!r}", next_step=did_you_mean(best, scores)
        )
    if not asked.fused and training.train_batch_size * training.world_size == 1:
        raise InputError(
            "one pair at a time has nothing to be told apart from: its loss is always 0",
            next_step="Raise --per_device_train_batch_size",
        )


def settings(command: ContrastiveCommand) -> dict[str, Any]:
    """All arguments that have a meaning here as plain values, for the saved plan."""
    told = {
        **vars(command.contrastive),
        **vars(command.data),
        **{name: value for name, value in command.training.to_dict().items() if value is not None},
    }
    return {name: value for name, value in told.items() if name not in REFUSED}


def shown_fields(kind: Any) -> list[dataclasses.Field[Any]]:
    """The flags of one of KINDS that are taken."""
    return [one for one in dataclasses.fields(kind) if one.name not in REFUSED]
