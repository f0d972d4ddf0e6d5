"""Whether and where a run goes on. In: what decides a run's steps, and an output folder. Out: a whole checkpoint, or a refusal.

Each checkpoint tells what decided the run that wrote it; where that differs now, going on would repeat or leave out samples.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llava_graph.errors import CheckpointError, InputError
from train.batching.checking import as_first_process
from train.learning.adapters import needs_lora

if TYPE_CHECKING:
    from llava_graph.model import LoadedModel
    from train.batching.checking import Checked
    from train.batching.order import Order
    from train.flags.arguments import Command, TrainArguments

RUN_FILE = "run.json"
"""In a checkpoint: {"decides": what decided the run, "resumable": bool, "files": {name: bytes}}."""
UNFINISHED = "unfinished"
"""Folder in the output folder in which a checkpoint is written; it is moved out when it is whole."""

MODEL_FLAGS = (
    "stage", "tune_vit_from_layer", "lora_enable", "lora_r", "lora_alpha", "lora_dropout", "lora_bias", "lora_target",
    "bits", "quant_type", "double_quant", "new_tokens", "mm_use_im_start_end", "image_aspect_ratio",
    "image_grid_pinpoints",
)  # fmt: skip
DATA_FLAGS = (
    "data_weights", "train_split", "context", "context_dropout", "ocr_style", "ocr_corruption", "text_only",
    "max_context_tokens", "model_max_length", "streaming", "bad_image",
)  # fmt: skip
TRAINING_FLAGS = (
    "seed", "data_seed", "gradient_accumulation_steps", "group_by_modality_length", "packing", "packing_length",
    "packing_max_images", "max_steps", "num_train_epochs", "learning_rate", "mm_projector_lr", "mm_vision_tower_lr",
    "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "weight_decay", "optim", "optim_args", "muon", "adam_beta1",
    "adam_beta2", "adam_epsilon", "max_grad_norm", "bf16", "fp16", "neftune_noise_alpha",
    "label_smoothing_factor",
)  # fmt: skip
"""Flags that decide which samples a step learns from, or what the step does. Speed and logging may change at any time."""

DATA, BASE_MODEL = "the digest of the data", "the digest of the base model"
NO_FLAGS = ("data", "processes", DATA, BASE_MODEL)


def what_decides(command: Command, loaded: LoadedModel, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that a later start must share with this one to go on exactly, as plain values by the names of the flags.

    `shown` tells it of the samples: "data" and "order of the samples".
    """
    from train.running.identity import base_digest, data_digest

    training = command.training
    # A whole model brings all its weights along; an adapter goes on over what the first start had.
    base = {BASE_MODEL: as_first_process(lambda: base_digest(command, loaded))} if needs_lora(command) else {}
    chosen = {
        **{name: getattr(command.model, name) for name in MODEL_FLAGS},
        **{name: getattr(command.data, name) for name in DATA_FLAGS},
        **{name: getattr(training, name) for name in TRAINING_FLAGS},
        "per_device_train_batch_size": training.train_batch_size,
        "processes": training.world_size,
        "engine": engine_of(training),
        "chat_template": hashlib.sha256(loaded.template.encode()).hexdigest()[:16],
        **shown,
        DATA: as_first_process(lambda: data_digest(command.data)),
        **base,
    }
    return dict(json.loads(json.dumps(chosen, default=str)))


def order_decides(checked: Checked, order: Order, accumulated: int) -> dict[str, str]:
    """What of samples that were all looked at, and of their order, decides the steps."""
    return {"data": digest_of(checked), "order of the samples": digest_of_steps(order, accumulated)}


def engine_of(training: TrainArguments) -> str:
    """What holds weights and optimizer: "plain" (one process, or each with all of them), "zero1" to "zero3", "fsdp"."""
    if training.fsdp:
        return "fsdp"
    if isinstance(training.deepspeed, Mapping):
        return f"zero{training.deepspeed.get('zero_optimization', {}).get('stage', 0)}"
    return "plain"


def digest_of(checked: Checked) -> str:
    """`n samples, …`: which samples were kept, and how long they and their answers are."""
    digest = hashlib.sha256()
    for values in (checked.kept, checked.lengths, checked.answers, checked.images):
        digest.update(values.tobytes())
    return f"{len(checked.kept)} samples, {digest.hexdigest()[:16]}"


def digest_of_steps(order: Order, accumulated: int) -> str:
    """Of the samples of each step of the first epoch, on whatever process each is."""
    digest = hashlib.sha256()
    batches, together = order.batches(0), order.processes * accumulated
    for start in range(0, len(batches), together):
        rows = [row for batch in batches[start : start + together] for row in batch]
        digest.update(np.sort(np.array(rows, dtype=np.int64)).tobytes() + b"/")
    return digest.hexdigest()[:16]


def find_checkpoint(training: TrainArguments, decides: Mapping[str, Any]) -> str | None:
    """Where to go on: the asked checkpoint, else the last whole one in the output folder (as LLaVA does).

    Raises CheckpointError for a broken one that was asked for, InputError when what decides the run has changed since.
    """
    asked, out = training.resume_from_checkpoint, Path(training.output_dir)
    chosen = str(asked) not in ("None", "True", "true", "False", "false")
    if training.allow_changed_resume and not chosen:
        raise InputError(
            "--allow_changed_resume is for a checkpoint that was chosen",
            next_step="Add --resume_from_checkpoint DIR",
        )
    if str(asked) in ("False", "false"):
        return None
    folder = Path(str(asked)) if chosen else last_whole(out)
    if folder is None:
        return None
    told = read_run(folder)
    if told is not None:
        _refuse_changes(told["decides"], decides, folder, allowed=training.allow_changed_resume)
    return str(folder)


def set_aside(training: TrainArguments, resume: str | None) -> Path | None:
    """Move what a run that does not go on from them finds as checkpoints to a folder of their own, and say where it is.

    The next start would take them for those of this run.
    """
    out = Path(training.output_dir)
    asked = str(training.resume_from_checkpoint)
    if asked in ("None", "True", "true"):
        return None
    start = Path(resume).resolve() if resume else None
    here = start is not None and start.parent == out.resolve()
    first = int(start.name.partition("-")[2]) + 1 if start is not None and here else 0
    later = [folder for step, folder in _numbered(out).items() if step >= first]
    if not later:
        return None
    number = 1
    while (aside := out / f"earlier-{number}").exists():
        number += 1
    aside.mkdir()
    for folder in later:
        folder.rename(aside / folder.name)
    logging.getLogger(__name__).warning("%d checkpoints of an earlier run are now in %s", len(later), aside)
    return aside


def _numbered(out: Path) -> dict[int, Path]:
    """Steps -> checkpoint"""
    return {
        int(number): folder
        for folder in out.glob("checkpoint-*")
        if (number := folder.name.partition("-")[2]).isdigit() and folder.is_dir()
    }


def last_whole(out: Path) -> Path | None:
    """The checkpoint of the most steps in `out` to which nothing is missing."""
    numbered = _numbered(out)
    for step in sorted(numbered, reverse=True):
        try:
            read_run(numbered[step])
        except CheckpointError as error:
            logging.getLogger(__name__).warning("passed over: %s", error)
        else:
            return numbered[step]
    return None


def read_run(folder: Path) -> dict[str, Any] | None:
    """RUN_FILE of a checkpoint; None for one of another trainer, without it. Raises CheckpointError when a file is not whole."""
    if not (folder / "trainer_state.json").is_file():
        raise CheckpointError("no checkpoint of a run (trainer_state.json is missing)", where=str(folder))
    try:
        run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        files, _ = run["files"], run["decides"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{RUN_FILE} cannot be read ({error})", where=str(folder)) from error
    if not run.get("resumable", True):
        raise CheckpointError("it holds weights alone (--save_only_model)", where=str(folder))
    for name, size in files.items():
        found = (folder / name).stat().st_size if (folder / name).is_file() else None
        if found != size:
            state = "is missing" if found is None else f"has {found} bytes instead of {size}"
            raise CheckpointError(f"{name} {state}", where=str(folder), next_step="Take an earlier checkpoint")
    return dict(run)


def write_run(folder: Path, decides: Mapping[str, Any], *, resumable: bool = True) -> None:
    """Tell in a finished checkpoint what decided its run, and how large its files are."""
    files = {
        str(file.relative_to(folder)): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != RUN_FILE
    }
    told = {"decides": dict(decides), "resumable": resumable, "files": files}
    (folder / RUN_FILE).write_text(json.dumps(told, indent=1), encoding="utf-8")


def _refuse_changes(then: Mapping[str, Any], now: Mapping[str, Any], folder: Path, *, allowed: bool) -> None:
    reason = unloadable(then, now)
    if reason:
        raise InputError(
            reason,
            where=str(folder),
            next_step="Start as it did, or begin a new run from its weights (--model_name_or_path)",
        )
    changed = changes(then, now)
    if changed and not allowed:
        raise InputError(
            f"going on would not be exact: {'; '.join(changed)}",
            where=str(folder),
            next_step="Give them as they were, take another --output_dir, or add "
            f"--resume_from_checkpoint {folder} --allow_changed_resume True",
        )


def unloadable(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Why the states of the optimizer cannot be read by this start at all; None: they can."""
    was, is_now = then.get("engine"), now["engine"]
    if was is not None and was != is_now:
        return f"its optimizer was saved by {was}, and this run has {is_now}"
    if str(is_now).startswith("zero") and then.get("processes", now["processes"]) != now["processes"]:
        return f"DeepSpeed's optimizer lies in {then['processes']} parts, and this run has {now['processes']} processes"
    return None


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`--seed was 1, is 2` for each setting that differs; processes and batches may, where each step has the same samples."""
    shared = {name for name in now if name in then} - {"engine"}
    if then.get("order of the samples") == now["order of the samples"]:
        shared -= {"per_device_train_batch_size", "processes", "gradient_accumulation_steps"}
    named = [
        f"{name if name in NO_FLAGS else f'--{name}'} was {then[name]}, is {now[name]}"
        for name in now
        if name in shared and name != "order of the samples" and then[name] != now[name]
    ]
    alike = then.get("order of the samples") in (None, now["order of the samples"])
    return named if named or alike else ["the order of the samples, by another version of the trainer"]
