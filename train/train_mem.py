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
    from train.flags.arguments import Command
    from train.learning.attention import Attention
    from train.planning.shown import Shown
    from train.running.trainer import PartsTrainer


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
    """The whole run: parse, and carry it out. Raises our errors alone for what a person can mend."""
    from train.flags.command import parse_command
    from train.flags.manual import HELP, manual
    from train.running.disk import disk_told
    from train.running.folder import alone_in

    if not argv:
        raise InputError("nothing to train", next_step="See --help")
    if set(argv) & HELP:
        say(manual(argv))
        return
    command = parse_command(argv)
    with disk_told(str(command.training.output_dir)), alone_in(command.training):
        carry_out(command)


def carry_out(command: Command) -> None:
    """Load, freeze, check the data, plan, train, save."""
    # Everything that saving needs is imported before the first step: an update of the code in the middle of a run
    # of days must not cost its result.
    from train.batching.checking import as_first_process
    from train.learning.loading import load_to_train
    from train.learning.muon import check_muon
    from train.learning.stages import check_reached, prepare
    from train.planning.shown import open_shown
    from train.running.disk import check_writable
    from train.running.distributed import start
    from train.running.finish import finish
    from train.running.resume import find_checkpoint, what_decides
    from train.running.stream_start import check_streaming
    from train.running.trackers import check_trackers
    from train.running.watch import check_watch

    check_watch(command)
    check_muon(command.training)
    check_streaming(command)
    check_trackers(command.training)
    quiet_libraries()
    start(command.training)
    if command.training.should_save and not (command.training.dry_run or command.training.audit):
        check_writable(Path(command.training.output_dir))
    loaded = load_to_train(command)
    attention = choose_kernels(command, loaded)
    loaded = prepare(loaded, command)
    shown = open_shown(command, loaded, say)
    if command.training.audit:
        tell_audit(command, shown)
        return
    if shown.streamed is None:
        check_reached(loaded.model, images=int(shown.checked.images.sum()))
    decides = what_decides(command, loaded, shown.decides)
    resume = as_first_process(lambda: find_checkpoint(command.training, decides))
    if (
        resume is None
        and str(command.training.resume_from_checkpoint).lower() == "true"
        and command.training.process_index == 0
    ):
        say(f"starts anew: no whole checkpoint in {command.training.output_dir}")
    plan = write_plan(command, loaded, shown, resume, attention=attention)
    if command.training.dry_run:
        return
    keep_features(command, loaded, shown)
    trainer = build_trainer(command, loaded, shown, plan=plan, decides=decides)
    trainer.train(resume_from_checkpoint=resume)
    tell_data(trainer)
    tell_speed(trainer)
    leave_if_stopped(trainer)
    finish(trainer)
    if command.training.process_index == 0:
        say(f"saved   {command.training.output_dir}")


def choose_kernels(command: Command, loaded: LoadedModel) -> Attention:
    """The attention for this run's batches, set in the model. Raises InputError when it, or packing, cannot be had."""
    import torch

    from train.learning.attention import check_packable, choose_attention, keep_activations_half, set_attention
    from train.learning.compiling import compile_layers

    training = command.training
    if training.packing:
        check_packable(loaded.model)
    attention = choose_attention(
        command.model.attn_implementation,
        packing=training.packing,
        half_precision=training.bf16 or training.fp16,
        on_cpu=training.device.type == "cpu",
    )
    set_attention(loaded.model, attention.name)
    if training.bf16:
        keep_activations_half(loaded.model, torch.bfloat16)
    if training.compile_layers:
        compile_layers(loaded.model)
    return attention


def keep_features(command: Command, loaded: LoadedModel, shown: Shown) -> None:
    """With --vision_cache: what the frozen vision tower sees is computed once and read in every epoch."""
    from train.batching.batches import TrainingSet
    from train.learning.vision_cache import fill_cache, take_features

    dataset = shown.samples
    if command.training.vision_cache and isinstance(dataset, TrainingSet):
        dataset.features = fill_cache(Path(command.training.vision_cache), dataset, loaded, command.training)
        take_features(loaded)
        say(f"cache   features of {int(dataset.checked.images.sum())} images in {dataset.features.folder}")


def tell_audit(command: Command, shown: Shown) -> None:
    """How long the samples are, what was refused, and what padding costs."""
    from train.planning.audit import audit_lines

    if command.training.process_index == 0:
        say("\n".join(audit_lines(shown.checked, shown.order, max_length=shown.longest)))


def write_plan(
    command: Command, loaded: LoadedModel, shown: Shown, resume: str | None, *, attention: Attention
) -> Mapping[str, Any]:
    """Say and save what will happen (--dry_run: say alone). Returns the plan."""
    from train.planning.plan import resolve_plan, save_plan
    from train.planning.plan_text import plan_page

    plan = resolve_plan(
        command, loaded, shown.checked, resume, order=shown.order, attention=attention, streamed=shown.streamed
    )
    if command.training.process_index == 0:
        say(plan_page(plan, terminal=sys.stdout.isatty()))
        if not command.training.dry_run:
            save_plan(plan, shown.checked, Path(command.training.output_dir))
    return plan


def build_trainer(
    command: Command, loaded: LoadedModel, shown: Shown, *, plan: Mapping[str, Any], decides: Mapping[str, Any]
) -> PartsTrainer:
    """transformers' Trainer with our batches and our learning rates."""
    from train.planning.shown import build_collators, open_data, prompt_options
    from train.running.finish import Keeper
    from train.running.log_lines import tell_in_lines
    from train.running.streamed import StreamedTrainer
    from train.running.trackers import PlanTold
    from train.running.trainer import FigureTrainer
    from train.running.watch import build_watch
    from train.sources.streaming import Stream

    evaluated = command.data.eval_split or command.data.eval_data_path
    eval_dataset = open_data(command, loaded, tell=say, evaluated=True) if evaluated else None
    collators = build_collators(command, loaded, shown.longest, row=shown.order.packing_length)
    settings: dict[str, Any] = {
        "model": loaded.model,
        "args": command.training,
        "eval_dataset": eval_dataset,
        "data_collator": collators["data_collator"],
        "processing_class": loaded.processor,
        "decides": decides,
        "max_refused": command.data.max_refused,
        "watch": build_watch(command, eval_dataset, loaded.tokenizer, say),
        "keeper": Keeper(
            command=command,
            loaded=loaded,
            plan=plan,
            prompt=prompt_options(command, loaded),
            model_class=type(loaded.model),
        ),
    }
    trainer: PartsTrainer
    if isinstance(shown.samples, Stream):
        trainer = StreamedTrainer(stream=shown.samples, **settings)
    else:
        trainer = FigureTrainer(
            train_dataset=shown.samples, order=shown.order, train_collator=collators["train_collator"], **settings
        )
    trainer.add_callback(PlanTold(trainer, plan))
    tell_in_lines(trainer, say)
    return trainer


def tell_data(trainer: PartsTrainer) -> None:
    """One line on what a stream has counted: nobody has looked at its samples before."""
    from train.running.streamed import StreamedTrainer, stream_line

    if isinstance(trainer, StreamedTrainer) and trainer.args.process_index == 0:
        say(stream_line(trainer.told))


def tell_speed(trainer: PartsTrainer) -> None:
    """One line on what throughput.json holds; nothing after a run without a step."""
    from train.running.meters import summary_line

    if trainer.summary and trainer.args.process_index == 0:
        say(summary_line(trainer.summary))


def leave_if_stopped(trainer: PartsTrainer) -> None:
    """A run that was told to stop has saved a checkpoint and ends here; raises SystemExit."""
    from train.running.stop import exit_status, name_of

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
