"""Train a LLaVA model on figures: `torchrun --nproc_per_node 1 train/train_mem.py --model_name_or_path … --data_path …`.

In: a checkpoint, a data set of ours or a LLaVA JSON. Out: a checkpoint that plain transformers opens, and the run's plan.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import InputError

if TYPE_CHECKING:
    from llava_graph.model import LoadedModel
    from train.arguments import Command
    from train.attention import Attention
    from train.batches import TrainingSet
    from train.checking import Checked
    from train.encoding import Encoder
    from train.order import Order
    from train.sources import Noise
    from train.trainer import FigureTrainer


def main(argv: Sequence[str] | None = None) -> None:
    """The command: our errors are one line on stderr and exit status 2."""
    import torch

    from llava_graph.command import errors_told

    # On some CPUs bitsandbytes, which transformers loads unasked, tells of a kernel that it could download; DeepSpeed of
    # the GPU that it does not find.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if not torch.accelerator.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    with errors_told():
        train(sys.argv[1:] if argv is None else argv)


def train(argv: Sequence[str]) -> None:
    """The whole run: parse, load, freeze, check the data, plan, train, save."""
    # Everything that saving needs is imported before the first step: an update of the code in the middle of a run
    # of days must not cost its result.
    from train.checking import as_first_process
    from train.command import parse_command
    from train.distributed import start
    from train.finish import finish
    from train.loading import load_to_train
    from train.manual import HELP, manual
    from train.resume import find_checkpoint, what_decides
    from train.stages import prepare
    from train.trackers import check_trackers
    from train.watch import check_watch

    if not argv:
        raise InputError("nothing to train", next_step="See --help")
    if set(argv) & HELP:
        say(manual(argv))
        return
    command = parse_command(argv)
    check_watch(command)
    check_trackers(command.training)
    quiet_libraries()
    start(command.training)
    loaded = load_to_train(command)
    attention = choose_kernels(command, loaded)
    loaded = prepare(loaded, command)
    dataset = open_data(command, loaded)
    order = build_order(command, dataset)
    if command.training.audit:
        tell_audit(command, dataset, order)
        return
    decides = what_decides(command, loaded, dataset.checked, order)
    resume = as_first_process(lambda: find_checkpoint(command.training, decides))
    plan = write_plan(command, loaded, dataset, resume, order=order, attention=attention)
    if command.training.dry_run:
        return
    keep_features(command, loaded, dataset)
    trainer = build_trainer(command, loaded, dataset, order=order, plan=plan, decides=decides)
    trainer.train(resume_from_checkpoint=resume)
    tell_speed(trainer)
    leave_if_stopped(trainer)
    finish(trainer)
    if command.training.process_index == 0:
        say(f"saved   {command.training.output_dir}")


def choose_kernels(command: Command, loaded: LoadedModel) -> Attention:
    """The attention for this run's batches, set in the model. Raises InputError when it, or packing, cannot be had."""
    import torch

    from train.attention import check_packable, choose_attention, keep_activations_half, set_attention
    from train.compiling import compile_layers

    training = command.training
    if training.packing:
        check_packable(loaded.model)
    attention = choose_attention(
        command.model.attn_implementation, packing=training.packing, half_precision=training.bf16 or training.fp16
    )
    set_attention(loaded.model, attention.name)
    if training.bf16:
        keep_activations_half(loaded.model, torch.bfloat16)
    if training.compile_layers:
        compile_layers(loaded.model)
    return attention


def open_data(command: Command, loaded: LoadedModel, *, evaluated: bool = False) -> TrainingSet:
    """Every sample is looked at once, by one process for all. Raises DatasetError when too many, or all, are refused."""
    from train.batches import TrainingSet
    from train.checking import as_first_process, check_samples, refuse_too_many
    from train.sources import NO_NOISE, open_samples
    from train.sources.pictures import Pictures

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
            say(f"note    {warning}")
        checked = check_samples(
            samples, encoder, pictures=pictures, workers=data.check_workers, cached=True, progress=True
        )
        if not training.audit:
            refuse_too_many(checked, data.max_refused, where=", ".join(data.data_path))
        return checked

    return TrainingSet(samples, as_first_process(look), encoder, pictures)


def keep_features(command: Command, loaded: LoadedModel, dataset: TrainingSet) -> None:
    """With --vision_cache: what the frozen vision tower sees is computed once and read in every epoch."""
    from train.vision_cache import fill_cache, take_features

    if command.training.vision_cache:
        dataset.features = fill_cache(Path(command.training.vision_cache), dataset, loaded, command.training)
        take_features(loaded)
        say(f"cache   features of {int(dataset.checked.images.sum())} images in {dataset.features.folder}")


def tell_audit(command: Command, dataset: TrainingSet, order: Order) -> None:
    """How long the samples are, what was refused, and what padding costs."""
    from train.audit import audit_lines

    if command.training.process_index == 0:
        say("\n".join(audit_lines(dataset.checked, order, max_length=dataset.max_length)))


def prompt_options(command: Command, loaded: LoadedModel) -> Any:
    """Which slots of a figure record the prompt shows, and how."""
    from llava_graph.prompt import PromptOptions
    from train.arguments import SLOTS

    shown: dict[str, Any] = {slot: slot in command.data.context for slot in SLOTS}
    return PromptOptions(
        **shown,
        ocr_style=command.data.ocr_style or loaded.prompt.ocr_style,
        max_context_tokens=command.data.max_context_tokens,
    )


def noise(command: Command) -> Noise:
    """What the training split leaves out or spoils by chance."""
    from train.sources import Noise

    data = command.data
    return Noise(context_dropout=data.context_dropout, ocr_corruption=data.ocr_corruption, seed=command.training.seed)


def build_encoder(command: Command, loaded: LoadedModel) -> Encoder:
    """Tokenization within the model's context, or the shorter limit that was asked for."""
    from train import encoding

    limit = command.data.model_max_length or loaded.context_length
    if limit > loaded.context_length:
        raise InputError(f"--model_max_length {limit} is more than the model's {loaded.context_length} tokens")
    return encoding.build_encoder(loaded, limit)


def write_plan(
    command: Command,
    loaded: LoadedModel,
    dataset: TrainingSet,
    resume: str | None,
    *,
    order: Order,
    attention: Attention,
) -> Mapping[str, Any]:
    """Say and save what will happen (--dry_run: say alone). Returns the plan."""
    from train.plan import resolve_plan, save_plan
    from train.plan_text import plan_page

    plan = resolve_plan(command, loaded, dataset.checked, resume, order=order, attention=attention)
    if command.training.process_index == 0:
        say(plan_page(plan, terminal=sys.stdout.isatty()))
        if not command.training.dry_run:
            save_plan(plan, dataset.checked, Path(command.training.output_dir))
    return plan


def build_order(command: Command, dataset: TrainingSet) -> Order:
    """Which samples share a batch. Raises InputError when a row of --packing_length cannot hold the longest sample."""
    from train.order import Order

    training, checked = command.training, dataset.checked
    return Order(
        lengths=checked.lengths,
        images=checked.images,
        batch=training.train_batch_size,
        processes=training.world_size,
        seed=training.data_seed if training.data_seed is not None else training.seed,
        grouped=training.group_by_modality_length,
        packing_length=(training.packing_length or dataset.max_length) if training.packing else None,
        max_images=training.packing_max_images,
        shown=checked.shown,
    )


def build_collators(command: Command, loaded: LoadedModel, dataset: TrainingSet) -> dict[str, Any]:
    """Samples side by side with padding, or end to end: for training in full rows, for evaluation without any padding."""
    from train.batches import PackedCollator, PaddedCollator

    training, pad = command.training, loaded.tokenizer.pad_token_id
    if not training.packing:
        padded = PaddedCollator(pad)
        return {"train_collator": padded, "data_collator": padded}
    row = (training.packing_length or dataset.max_length) * training.train_batch_size
    return {
        "train_collator": PackedCollator(pad_id=pad, longest=dataset.max_length, length=row),
        "data_collator": PackedCollator(pad_id=pad, longest=dataset.max_length),
    }


def build_trainer(
    command: Command,
    loaded: LoadedModel,
    dataset: TrainingSet,
    *,
    order: Order,
    plan: Mapping[str, Any],
    decides: Mapping[str, Any],
) -> FigureTrainer:
    """transformers' Trainer with our order of samples and our learning rates."""
    from train.finish import Keeper
    from train.log_lines import tell_in_lines
    from train.trackers import PlanTold
    from train.trainer import FigureTrainer
    from train.watch import build_watch

    evaluated = command.data.eval_split or command.data.eval_data_path
    eval_dataset = open_data(command, loaded, evaluated=True) if evaluated else None
    trainer = FigureTrainer(
        model=loaded.model,
        args=command.training,
        train_dataset=dataset,
        eval_dataset=eval_dataset,
        **build_collators(command, loaded, dataset),
        processing_class=loaded.processor,
        order=order,
        decides=decides,
        max_refused=command.data.max_refused,
        watch=build_watch(command, eval_dataset, loaded.tokenizer, say),
        keeper=Keeper(
            command=command,
            loaded=loaded,
            plan=plan,
            prompt=prompt_options(command, loaded),
            model_class=type(loaded.model),
        ),
    )
    trainer.add_callback(PlanTold(trainer, plan))
    tell_in_lines(trainer, say)
    return trainer


def tell_speed(trainer: FigureTrainer) -> None:
    """One line on what throughput.json holds; nothing after a run without a step."""
    from train.meters import summary_line

    if trainer.summary and trainer.args.process_index == 0:
        say(summary_line(trainer.summary))


def leave_if_stopped(trainer: FigureTrainer) -> None:
    """A run that was told to stop has saved a checkpoint and ends here; raises SystemExit."""
    from train.stop import exit_status, name_of

    number = trainer.stop.stopped_by
    if number is None:
        return
    if trainer.args.process_index == 0:
        say(f"stopped by {name_of(number)} at step {trainer.state.global_step}, saved; the same command goes on")
    raise SystemExit(exit_status(number))


def quiet_libraries() -> None:
    """Their progress bars over a few files say nothing."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()


def say(text: str) -> None:
    """To stdout, at once: the output of a long run is read while it goes on."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
