"""What a run shows its model. In: the data flags and a model. Out: samples or a stream of them, their order, and collators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from llava_graph.errors import InputError
from llava_graph.prompt import PromptOptions
from train.batching import encoding
from train.batching.batches import PackedCollator, PaddedCollator, TrainingSet
from train.batching.checking import Checked, as_first_process, check_samples, refuse_too_many
from train.batching.encoding import Encoder
from train.batching.order import Order
from train.flags.arguments import SLOTS
from train.running.resume import order_decides
from train.running.stream_start import look_first, open_stream, stream_decides
from train.sources import NO_NOISE, Noise, open_samples
from train.sources.pictures import Pictures
from train.sources.streaming import Stream

if TYPE_CHECKING:
    from llava_graph.model import LoadedModel
    from train.flags.arguments import Command

ROW_STEP = 64
"""Tokens to a multiple of which a row that holds everything is rounded up."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a run learns from."""

    samples: TrainingSet | Stream
    checked: Checked
    """The verdicts on all samples; on the first ones of a stream."""
    order: Order
    """Of those samples."""
    decides: dict[str, Any]
    """What of it decides the steps, for `train.running.resume.what_decides`."""

    @property
    def longest(self) -> int:
        """Tokens of the longest sample allowed."""
        return self.samples.batches.encoder.max_length if isinstance(self.samples, Stream) else self.samples.max_length

    @property
    def streamed(self) -> int | None:
        """Samples in the files of a stream, good and bad; None where all were looked at."""
        return self.samples.batches.windows.samples if isinstance(self.samples, Stream) else None


def open_shown(command: Command, loaded: LoadedModel, tell: Callable[[str], None]) -> Shown:
    """All samples looked at, or with --streaming the first ones; `tell` says notes to a person. Raises DatasetError."""
    training = command.training
    if command.data.streaming and not training.audit:
        stream, first = open_streamed(command, loaded, tell)
        return Shown(
            samples=stream,
            checked=first,
            order=build_order(command, first, row=command.training.packing_length or stream.batches.encoder.max_length),
            decides=stream_decides(stream.batches, training),
        )
    samples = open_data(command, loaded, tell=tell)
    row = row_length(samples.checked, training.packing_length or samples.max_length)
    if row < (training.packing_length or 0) and training.process_index == 0:
        tell(f"note    a row of {row} tokens holds all samples: not {training.packing_length}, which would be padding")
    order = build_order(command, samples.checked, row=row)
    decides = {} if training.audit else order_decides(samples.checked, order, training.gradient_accumulation_steps)
    return Shown(samples=samples, checked=samples.checked, order=order, decides=decides)


def open_streamed(command: Command, loaded: LoadedModel, tell: Callable[[str], None]) -> tuple[Stream, Checked]:
    """This process's stream, and one look at its first samples for all. Raises DatasetError when too many are refused."""
    data, encoder = command.data, build_encoder(command, loaded)
    with command.training.main_process_first(desc="reading the data"):
        stream = open_stream(
            command,
            encoder,
            prompt_options(command, loaded),
            noise(command),
            build_collators(command, loaded, encoder.max_length)["train_collator"],
        )

    def look() -> Checked:
        for warning in encoder.warnings():
            tell(f"note    {warning}")
        first = look_first(stream.batches)
        refuse_too_many(first, data.max_refused, where=f"the first samples of {', '.join(data.data_path)}")
        return first

    return stream, as_first_process(look)


def open_data(
    command: Command, loaded: LoadedModel, *, tell: Callable[[str], None], evaluated: bool = False
) -> TrainingSet:
    """Every sample is looked at once, by one process for all. Raises DatasetError when too many, or all, are refused."""
    data, training = command.data, command.training
    with training.main_process_first(desc="reading the data"):
        samples = open_samples(
            data,
            prompt_options(command, loaded),
            noise=NO_NOISE if evaluated else noise(command),
            evaluated=(data.eval_split or "validation") if evaluated else None,
        )
    encoder, pictures = build_encoder(command, loaded), Pictures(policy=data.bad_image)

    def look() -> Checked:
        for warning in () if evaluated else encoder.warnings():
            tell(f"note    {warning}")
        checked = check_samples(
            samples, encoder, pictures=pictures, workers=data.check_workers, cached=True, progress=True
        )
        if not training.audit:
            paths = (evaluated and data.eval_data_path) or data.data_path
            refuse_too_many(checked, data.max_refused, where=", ".join(paths))
        return checked

    return TrainingSet(samples, as_first_process(look), encoder, pictures)


def prompt_options(command: Command, loaded: LoadedModel) -> PromptOptions:
    """Which slots of a figure record the prompt shows, and how."""
    shown: dict[str, Any] = {slot: slot in command.data.context for slot in SLOTS}
    return PromptOptions(
        **shown,
        ocr_style=command.data.ocr_style or loaded.prompt.ocr_style,
        max_context_tokens=command.data.max_context_tokens,
    )


def noise(command: Command) -> Noise:
    """What the training split leaves out or spoils by chance."""
    data = command.data
    return Noise(context_dropout=data.context_dropout, ocr_corruption=data.ocr_corruption, seed=command.training.seed)


def build_encoder(command: Command, loaded: LoadedModel) -> Encoder:
    """Tokenization within the model's context, or the shorter limit that was asked for."""
    limit = command.data.model_max_length or loaded.context_length
    if limit > loaded.context_length:
        raise InputError(f"--model_max_length {limit} is more than the model's {loaded.context_length} tokens")
    return encoding.build_encoder(loaded, limit)


def row_length(checked: Checked, asked: int) -> int:
    """Tokens of a packed row: as many as `asked`, but no more than all samples of any epoch together have."""
    most = int(checked.lengths.sum()) * max(1, *map(ceil, checked.weights.parts))
    return min(asked, max(1, ceil(most / ROW_STEP)) * ROW_STEP)


def build_order(command: Command, checked: Checked, *, row: int) -> Order:
    """Which samples share a batch; `row`: tokens of a row, if they are packed.

    Raises InputError when a row of --packing_length cannot hold the longest sample that there is.
    """
    training = command.training
    return Order(
        lengths=checked.lengths,
        images=checked.images,
        batch=training.train_batch_size,
        processes=training.world_size,
        seed=training.data_seed if training.data_seed is not None else training.seed,
        grouped=training.group_by_modality_length,
        packing_length=row if training.packing else None,
        max_images=training.packing_max_images,
        shown=checked.shown,
    )


def build_collators(command: Command, loaded: LoadedModel, longest: int, *, row: int | None = None) -> dict[str, Any]:
    """Samples side by side with padding, or end to end: for training in full rows, for evaluation without any padding.

    `longest`: tokens of the longest sample allowed; `row`: those of a packed row (default: as the flags say).
    """
    training, pad = command.training, loaded.tokenizer.pad_token_id
    if not training.packing:
        padded = PaddedCollator(pad)
        return {"train_collator": padded, "data_collator": padded}
    length = (row or training.packing_length or longest) * training.train_batch_size
    return {
        "train_collator": PackedCollator(pad_id=pad, longest=longest, length=length),
        "data_collator": PackedCollator(pad_id=pad, longest=longest),
    }
