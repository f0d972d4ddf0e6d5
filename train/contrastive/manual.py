"""The help page of `train_contrastive.py`. In: argv. Out: text, its own flags in full, transformers' most used ones."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence

from transformers import TrainingArguments

from train.contrastive.arguments import ContrastiveArguments, ContrastiveTraining, PairArguments, shown_fields
from train.flags.command import CONTRASTIVE_RECIPES
from train.flags.manual import OFTEN, entries, entry, section

INTRODUCTION = """\
Pretrain a vision tower on pairs of image and caption: alignment and matching (ALBEF, BLIP; PA-LLaVA's PLIP), or CLIP's loss.

  torchrun --nproc_per_node 8 train/train_contrastive.py --config pa_llava/plip \\
      --data_path DATASET --output_dir runs/plip --eval_strategy steps --eval_steps 1000 --eval_split validation

  torchrun --nproc_per_node 8 train/train_contrastive.py --objective clip --vision_tower openai/clip-vit-base-patch16 \\
      --data_path DATASET --output_dir runs/clip
  torchrun --nproc_per_node 1 train/train_contrastive.py ... --dry_run True        what would happen

--data_path is a folder that scicap_builder wrote (each record's caption, else its first answer), or a JSON of
{"image", "caption"} or of LLaVA's conversations (with --image_folder). The output folder is a vision tower: train_mem.py
--vision_tower takes it. Defaults stand in brackets."""

CONFIG = "Flags from a YAML file, or from a shipped recipe by its name; the command line wins. Recipes: "


def contrastive_manual(argv: Sequence[str]) -> str:
    """The page; `--help all`: with all of transformers' flags."""
    everything = bool({"all", "--help_all", "--help-all"} & {*argv})
    width = min(110, shutil.get_terminal_size().columns)
    theirs = {field.name for field in dataclasses.fields(TrainingArguments)}
    training = shown_fields(ContrastiveTraining)
    ours = [field for field in training if field.name not in theirs]
    often = [field for name in OFTEN for field in training if field.name == name]
    sections = [
        INTRODUCTION,
        section("Recipes", [entry("config", CONFIG + " ".join(CONTRASTIVE_RECIPES), "", width)]),
        section("Model and losses", entries(shown_fields(ContrastiveArguments), width)),
        section("Data", entries(shown_fields(PairArguments), width)),
        section("Training, ours", entries(ours, width)),
        section("Training, the most used of transformers'", entries(often, width)),
    ]
    if everything:
        told = {*OFTEN, *(field.name for field in ours)}
        rest = [field for field in training if field.name not in told]
        sections.append(section("Training, the rest of transformers'", entries(rest, width)))
    else:
        sections.append(
            "--help all lists the other arguments of transformers' TrainingArguments.\nMore: docs/contrastive.md"
        )
    return "\n\n".join(sections)
