"""The model card of a contrastive model. In: the run's command, plan and state. Out: README.md as model hubs read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.model.hub import REPO_ID
from train.running.card import fact_lines, licence_lines, loss_lines, told

if TYPE_CHECKING:
    from transformers import TrainerState

    from train.contrastive.arguments import ContrastiveCommand
    from train.contrastive.folder import Contrastive

SETTINGS = (
    "objective", "projection_dim", "momentum", "queue_size", "alpha", "alpha_ramp_epochs", "max_caption_tokens",
    "smallest_crop", "randaugment_level", "flip",
)  # fmt: skip
TRAINING_SETTINGS = (
    "learning_rate", "mm_vision_tower_lr", "lr_scheduler_type", "warmup_steps", "weight_decay", "optim", "max_grad_norm",
    "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "bf16", "fp16", "seed",
)  # fmt: skip

USE = """\
    from transformers import AutoImageProcessor, {kind}
    tower = {kind}.from_pretrained("path/to/this/folder")
    images = AutoImageProcessor.from_pretrained("path/to/this/folder")

    torchrun train/train_mem.py --vision_tower path/to/this/folder --model_name_or_path LANGUAGE_MODEL …
    torchrun train/train_contrastive.py --model_name_or_path path/to/this/folder …      # goes on
"""


def contrastive_card(
    command: ContrastiveCommand, loaded: Contrastive, plan: Mapping[str, Any], state: TrainerState
) -> str:
    """Markdown with a YAML head (https://huggingface.co/docs/hub/model-cards)."""
    asked, model = command.contrastive, loaded.model
    towers = [name for name in loaded.origin.values() if REPO_ID.fullmatch(name) and not Path(name).exists()]
    name = asked.model_name or Path(str(command.training.output_dir)).name
    what = (
        "image-text alignment with momentum encoders and matching with hard negatives (ITA and ITM of ALBEF and BLIP)"
        if asked.fused
        else "InfoNCE (CLIP)"
    )
    values = [(name, getattr(asked, name)) for name in SETTINGS]
    values += [(name, getattr(command.training, name)) for name in TRAINING_SETTINGS]
    lines = [
        "---",
        "license: other\nlicense_name: those-of-base-model-and-data",
        *(["base_model:", *[f"- {tower}" for tower in towers]] if towers else []),
        "library_name: transformers",
        "pipeline_tag: image-feature-extraction",
        "tags:\n- llava-graph\n- contrastive",
        "---\n",
        f"# {name}\n",
        asked.about or f"A vision tower, from {told(next(iter(loaded.origin.values())))}.",
        f"\nTrained with LLaVA-Graph on pairs of image and caption for {state.global_step} steps by {what}. It writes no text: "
        "a LLaVA takes it as its vision tower.",
        "\n## Use\n",
        USE.format(kind=type(model.encoders.vision_tower).__name__),
        "`text/` is the text encoder (transformers' BlipTextModel) with its tokenizer; `contrastive.safetensors` holds the "
        "projections into the shared space, the temperature and, if pairs were matched, the matching head.\n",
        "## Data\n",
        *fact_lines(plan["data"]),
        "",
        *licence_lines(command.data),
        "\n## Run\n",
        *fact_lines(plan["run"]),
        "\n| setting | value |",
        "|---|---|",
        *[f"| {name} | {told(getattr(value, 'value', value))} |" for name, value in values if value is not None],
        "\n## Losses and scores\n",
        *loss_lines(state),
        "\n## Versions\n",
        *[f"- {package} {found}" for package, found in plan["versions"].items()],
    ]
    return "\n".join(lines).rstrip() + "\n"
