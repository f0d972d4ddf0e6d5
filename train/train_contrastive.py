"""Pretrain a vision tower on pairs of image and caption: `torchrun --nproc_per_node 1 train/train_contrastive.py …`.

In: a CLIP or SigLIP vision tower, a BERT, records with captions. Out: a vision tower for `train_mem.py --vision_tower`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import DatasetError, InputError

if TYPE_CHECKING:
    from train.batching.batches import TrainingSet
    from train.batching.order import Order
    from train.contrastive.arguments import ContrastiveCommand
    from train.contrastive.folder import Contrastive
    from train.contrastive.pairs import PairEncoder
    from train.contrastive.retrieval import Evaluation
    from train.contrastive.trainer import ContrastiveTrainer


def main(argv: Sequence[str] | None = None) -> None:
    """The command: our errors are one line on stderr and exit status 2."""
    from llava_graph.command import errors_told

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of a kernel that it could download
    with errors_told():
        train(sys.argv[1:] if argv is None else argv)


def train(argv: Sequence[str]) -> None:
    """The whole run: parse, and carry it out. Raises our errors alone for what a person can mend."""
    from train.contrastive.arguments import parse_contrastive
    from train.contrastive.manual import contrastive_manual
    from train.flags.manual import HELP
    from train.running.disk import disk_told
    from train.running.folder import alone_in

    if not argv:
        raise InputError("nothing to train", next_step="See --help")
    if set(argv) & HELP:
        say(contrastive_manual(argv))
        return
    command = parse_contrastive(argv)
    with disk_told(str(command.training.output_dir)), alone_in(command.training):
        carry_out(command)


def carry_out(command: ContrastiveCommand) -> None:
    """Load, check the pairs, plan, train, save."""
    from train.batching.checking import as_first_process
    from train.contrastive.plan import plan_lines, resolve_plan
    from train.planning.plan import save_plan
    from train.running.disk import check_writable
    from train.running.resume import find_checkpoint
    from train.running.trackers import check_trackers
    from train.train_mem import quiet_libraries

    training = command.training
    check_trackers(training)
    quiet_libraries()
    out = Path(str(training.output_dir))
    if training.should_save and not training.dry_run:
        check_writable(out)
    loaded = load(command)
    encoder = build_encoder(command, loaded, augmented=True)
    samples = open_data(command, encoder, command.data.data_path)
    order = build_order(command, samples)
    decides = what_decides(command, samples, order)
    resume = as_first_process(lambda: find_checkpoint(training, decides))
    plan = resolve_plan(command, loaded, samples.checked, order, resume)
    if training.process_index == 0:
        say("\n".join(plan_lines(plan)))
        if not training.dry_run:
            save_plan(plan, samples.checked, out)
    if training.dry_run:
        return
    trainer = build_trainer(command, loaded, samples, order, plan=plan, decides=decides)
    trainer.train(resume_from_checkpoint=resume)
    finish(trainer)


def load(command: ContrastiveCommand) -> Contrastive:
    """The towers, joined, or the folder to go on from. What is new is drawn by --seed."""
    from transformers import set_seed

    from llava_graph.model.hub import checkpoint_folder
    from train.contrastive.folder import build_contrastive, read_contrastive

    asked = command.contrastive
    set_seed(command.training.seed)
    with command.training.main_process_first(desc="reading the towers"):
        if asked.model_name_or_path:
            folder = checkpoint_folder(asked.model_name_or_path)
            return read_contrastive(folder, fused=asked.fused, bounds=asked.bounds)
        return build_contrastive(
            str(asked.vision_tower),
            asked.text_tower,
            fused=asked.fused,
            projection_dim=asked.projection_dim,
            temperature=asked.temperature,
            bounds=asked.bounds,
        )


def build_encoder(command: ContrastiveCommand, loaded: Contrastive, *, augmented: bool) -> PairEncoder:
    """How captions and images reach the model; `augmented` for training."""
    from train.contrastive.pairs import PairEncoder

    longest = loaded.model.config.max_position_embeddings
    if command.contrastive.max_caption_tokens > longest:
        raise InputError(f"--max_caption_tokens is more than the text encoder's {longest}")
    return PairEncoder(
        tokenizer=loaded.tokenizer,
        images=loaded.images,
        max_length=command.contrastive.max_caption_tokens,
        augmentation=command.contrastive.augmentation if augmented else None,
        seed=command.training.seed,
    )


def open_data(
    command: ContrastiveCommand, encoder: PairEncoder, paths: Sequence[str], split: str | None = None
) -> TrainingSet:
    """Every pair of the data paths is looked at once, by one process for all. Raises DatasetError when too many are refused."""
    from dataclasses import replace

    from llava_graph.prompt import PromptOptions
    from train.batching.batches import TrainingSet
    from train.batching.checking import Checked, as_first_process, check_samples, refuse_too_many
    from train.contrastive.pairs import open_pairs
    from train.sources import sources_of

    data, training = command.data, command.training
    weights = data.data_weights if split is None else []
    asked = replace(data, data_path=list(paths), data_weights=weights, train_split=split or data.train_split)
    with training.main_process_first(desc="reading the data"):
        samples = open_pairs(sources_of(asked, PromptOptions()), seed=training.seed, limit=data.max_samples)

    def look() -> Checked:
        checked = check_samples(samples, encoder, workers=data.check_workers, cached=True, progress=True)
        refuse_too_many(checked, data.max_refused, where=", ".join(paths))
        return checked

    return TrainingSet(samples, as_first_process(look), encoder)


def build_order(command: ContrastiveCommand, samples: TrainingSet) -> Order:
    """Which pairs share a batch. Raises DatasetError where they fill none."""
    from train.batching.order import Order

    training, checked = command.training, samples.checked
    order = Order(
        lengths=checked.lengths,
        images=checked.images,
        batch=training.train_batch_size,
        processes=training.world_size,
        seed=training.data_seed if training.data_seed is not None else training.seed,
        whole=True,
        shown=checked.shown,
    )
    if not len(order):
        raise DatasetError(
            f"{len(checked.kept)} pairs do not fill a batch of {order.batch} on each of {order.processes} processes",
            where=", ".join(command.data.data_path),
            next_step="Lower --per_device_train_batch_size",
        )
    return order


def what_decides(command: ContrastiveCommand, samples: TrainingSet, order: Order) -> dict[str, Any]:
    """Everything that a later start must share with this one to go on exactly, as plain values."""
    import json

    from train.batching.checking import as_first_process
    from train.contrastive.card import SETTINGS
    from train.running.identity import data_digest
    from train.running.resume import DATA, TRAINING_FLAGS, engine_of, order_decides

    asked, training = command.contrastive, command.training
    shown = order_decides(samples.checked, order, training.gradient_accumulation_steps)
    # Other batches than before compare a pair with others, though a step may hold the same pairs.
    shown["order of the samples"] += f", {order.processes} x {order.batch}"
    chosen = {
        **{name: getattr(asked, name) for name in (*SETTINGS, "temperature_min", "temperature_max")},
        **{name: getattr(training, name) for name in TRAINING_FLAGS},
        "data_weights": command.data.data_weights,
        "train_split": command.data.train_split,
        "per_device_train_batch_size": training.train_batch_size,
        "processes": training.world_size,
        "engine": engine_of(training),
        **shown,
        DATA: as_first_process(lambda: data_digest(command.data)),
    }
    return dict(json.loads(json.dumps(chosen, default=str)))


def build_evaluation(command: ContrastiveCommand, loaded: Contrastive) -> Evaluation | None:
    """Held-out pairs and labelled images; None: nothing is evaluated."""
    from llava_graph.prompt import PromptOptions
    from train.contrastive.retrieval import AT, Evaluation
    from train.sources import sources_of

    data, asked, training = command.data, command.contrastive, command.training
    if training.eval_strategy == "no":
        return None
    encoder = build_encoder(command, loaded, augmented=False)
    paths, split = data.eval_data_path or data.data_path, data.eval_split or "validation"
    known = [source for source in sources_of(data, PromptOptions()) if source.has_splits]
    if not data.eval_data_path and data.eval_split and len(known) < len(data.data_path):
        raise DatasetError(
            "a JSON file has no splits: it would be evaluated on what it is trained on",
            where=", ".join(data.data_path),
            next_step="Give other pairs as --eval_data_path",
        )
    pairs = open_data(command, encoder, paths, split)
    if len(pairs) <= max(AT) and training.process_index == 0:
        logging.getLogger(__name__).warning(
            "%d held-out pairs: recall at %s finds everything",
            len(pairs),
            ", ".join(str(k) for k in AT if k >= len(pairs)),
        )
    return Evaluation(
        collator=collator(command, loaded),
        encoder=encoder,
        pairs=pairs,
        labelled=open_data(command, encoder, [asked.zero_shot_data], "test") if asked.zero_shot_data else None,
        label_prompt=asked.label_prompt,
    )


def collator(command: ContrastiveCommand, loaded: Contrastive) -> Any:
    """Pairs side by side."""
    from train.contrastive.pairs import PairCollator

    return PairCollator(pad_id=loaded.tokenizer.pad_token_id, length=command.contrastive.max_caption_tokens)


def build_trainer(
    command: ContrastiveCommand,
    loaded: Contrastive,
    samples: TrainingSet,
    order: Order,
    *,
    plan: Mapping[str, Any],
    decides: Mapping[str, Any],
) -> ContrastiveTrainer:
    """transformers' Trainer with our batches and losses."""
    from train.contrastive.trainer import ContrastiveTrainer
    from train.running.log_lines import tell_in_lines
    from train.running.trackers import PlanTold

    trainer = ContrastiveTrainer(
        command=command,
        loaded=loaded,
        plan=plan,
        evaluation=build_evaluation(command, loaded),
        order=order,
        train_dataset=samples,
        train_collator=collator(command, loaded),
        processing_class=loaded.tokenizer,
        decides=decides,
        max_refused=command.data.max_refused,
    )
    trainer.add_callback(PlanTold(trainer, plan))
    tell_in_lines(trainer, say)
    return trainer


def finish(trainer: ContrastiveTrainer) -> None:
    """trainer_state.json and the result in the output folder, unless the run was told to stop. Raises SystemExit, NotFinite."""
    from train.running.finish import finish as save
    from train.train_mem import leave_if_stopped

    if trainer.summary and trainer.args.process_index == 0:
        say(speed_line(trainer.summary))
    leave_if_stopped(trainer)
    save(trainer)
    if trainer.args.process_index == 0:
        say(f"saved   {trainer.args.output_dir}")


def speed_line(summary: Mapping[str, Any]) -> str:
    """What throughput.json holds, for a person."""
    return (
        f"speed   {summary['pairs_per_second']:.3g} pairs/s, waited for data {summary['data_wait_share']:.1%}, "
        f"at most {summary['peak_memory_gib']:.1f} GiB"
    )


def say(text: str) -> None:
    """To stdout, at once: the output of a long run is read while it goes on."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
