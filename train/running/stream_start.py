"""A streamed run before its first step. In: the flags. Out: a stream, a look at its first samples, and what decides its steps."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from llava_graph.chat import IGNORE_INDEX
from llava_graph.errors import InputError
from llava_graph.record import Dropped
from train.batching.checking import Checked, reason_of
from train.batching.encoding import Encoder
from train.sources import Noise, open_windows
from train.sources.batching import Batching
from train.sources.pictures import Pictures
from train.sources.streaming import ENOUGH, Item, Stream, StreamedBatches

if TYPE_CHECKING:
    from llava_graph.prompt import PromptOptions
    from train.flags.arguments import Command, TrainArguments


def check_streaming(command: Command) -> None:
    """Before anything is loaded. Raises InputError where a flag needs samples that were all looked at."""
    training = command.training
    if not command.data.streaming or training.audit:
        return
    if training.max_steps <= 0:
        raise InputError(
            "--streaming needs --max_steps: how many samples are good is only known when all were read",
            next_step="Add --max_steps N",
        )
    if training.vision_cache:
        raise InputError(
            "--vision_cache computes the features of all images before the first step, and --streaming looks at none",
            next_step="Leave one of them out",
        )
    for kind in ("save", "eval", "logging"):
        if getattr(training, f"{kind}_strategy") == "epoch":
            raise InputError(
                f"--{kind}_strategy epoch: with --streaming an epoch has no known end",
                next_step=f"Give --{kind}_strategy steps --{kind}_steps N",
            )


def look_first(batches: StreamedBatches) -> Checked:
    """The first samples of a stream, as many as say whether too many are bad. Of images only the headers are read."""
    rows: list[tuple[int, int, int]] = []
    dropped: list[Dropped] = []
    repaired: Counter[str] = Counter()
    answers_cut = turns_cut = 0
    for found in batches.windows.read(0)[:ENOUGH]:
        try:
            sample, encoded = batches.look(found)
        except InputError as error:
            dropped.append(Dropped(item=found.name, reason=reason_of(error), detail=str(error)))
            continue
        learnt = sum(label != IGNORE_INDEX for label in encoded.labels)
        rows.append((len(encoded.input_ids), learnt, len(sample.images)))
        repaired.update(sample.repairs)
        answers_cut += encoded.answer_cut
        turns_cut += encoded.turns_cut
    lengths, answers, images = np.array(rows, dtype=np.int64).reshape(-1, 3).T.copy()
    return Checked(
        kept=np.arange(len(rows)),
        lengths=lengths,
        answers=answers,
        images=images,
        dropped=tuple(dropped),
        answers_cut=answers_cut,
        turns_cut=turns_cut,
        repaired=dict(repaired),
    )


def stream_decides(batches: StreamedBatches, training: TrainArguments) -> dict[str, Any]:
    """What of a stream a later start must share with this one: the files, and who reads which window into which step."""
    taken = (
        training.train_batch_size,
        training.gradient_accumulation_steps,
        training.world_size,
        batches.readers,
    )
    return {
        "data": f"{batches.windows.samples} samples in files, {_digest(batches.windows.identity)}",
        "dataloader_num_workers": batches.readers,
        "order of the samples": _digest(taken),
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def open_stream(
    command: Command,
    encoder: Encoder,
    options: PromptOptions,
    noise: Noise,
    collate: Callable[[list[Item]], dict[str, Any]],
) -> Stream:
    """The stream that the flags ask for, of this process. Raises InputError where a sample may be longer than a row."""
    data, training = command.data, command.training
    if training.packing_length is not None and training.packing_length < encoder.max_length:
        raise InputError(
            f"a sample may have {encoder.max_length} tokens and a row {training.packing_length}: a stream's samples are not "
            "known before",
            next_step=f"Add --model_max_length {training.packing_length}",
        )
    workers = training.dataloader_num_workers
    batches = StreamedBatches(
        open_windows(data, options, noise=noise),
        encoder,
        Batching(
            batch=training.train_batch_size,
            grouped=training.group_by_modality_length,
            packing_length=(training.packing_length or encoder.max_length) if training.packing else None,
            max_images=training.packing_max_images,
        ),
        pictures=Pictures(policy=data.bad_image),
        max_refused=data.max_refused,
        seed=training.seed if training.data_seed is None else training.data_seed,
        process=training.process_index,
        processes=training.world_size,
        readers=max(1, workers),
    )
    return Stream(
        batches,
        collate,
        workers=workers,
        pin_memory=training.dataloader_pin_memory,
        prefetch_factor=training.dataloader_prefetch_factor,
    )
