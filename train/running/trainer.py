"""transformers' Trainer with our batches, our loss and a learning rate for each part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback
from transformers.training_args import ParallelMode

from train.batching.order import EpochBatches, Order
from train.learning.attention import prove_packing
from train.learning.loss import install_answer_loss
from train.learning.stages import parameter_groups
from train.running.flops import COUNTABLE
from train.running.guard import GuardedTrainer
from train.running.in_step import image_inputs, install_blank_image
from train.running.measured import MeasuredTrainer
from train.running.watch import WatchedTrainer

if TYPE_CHECKING:
    import torch
    from torch.utils.data import DataLoader

    from train.batching.batches import TrainingSet
    from train.running.finish import Keeper


class PartsTrainer(WatchedTrainer, MeasuredTrainer, GuardedTrainer):
    """A Trainer whose subclass knows the batches; `args` are our `TrainArguments`.

    `packed`: whether they are packed rows. `an_image` gives the model's inputs of some image of theirs, {} when none has one.
    """

    def __init__(
        self,
        *,
        packed: bool,
        an_image: Callable[[], Mapping[str, torch.Tensor]],
        keeper: Keeper | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.keeper = keeper
        whole = self.accelerator.unwrap_model(self.model)
        if packed and not (self.is_deepspeed_enabled or self.is_fsdp_enabled):
            with self.compute_loss_context_manager():
                prove_packing(whole)
        install_answer_loss(whole, self.args.label_smoothing_factor)
        self.label_smoother = None  # transformers' own takes the labels away from our loss, and does not shift them
        if self.args.parallel_mode == ParallelMode.DISTRIBUTED and (vision := an_image()):
            install_blank_image(whole, vision)
            if self.args.ddp_find_unused_parameters is None and whole.config.model_type in COUNTABLE:
                # All that learns now takes part in every step; to search for what does not would cost every step.
                self.args.ddp_find_unused_parameters = False
        self.args.prediction_loss_only = True  # the loss comes without logits

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """A folder that stands on its own: weights, processor, template and model card."""
        if self.keeper is None:
            super().save_model(output_dir, _internal_call)
            return
        self.keeper.save(self, Path(output_dir or self.args.output_dir))
        if self.args.push_to_hub and not _internal_call:
            self.push_to_hub(commit_message="Model save", revision=self.args.hub_revision)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Ours is written with the weights."""

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW (or what --optim says) over groups by part and decay."""
        if self.optimizer is None:  # type: ignore[has-type]
            trained = self.model if model is None else model
            groups = parameter_groups(
                trained,
                decayed=self.get_decay_parameter_names(trained),
                weight_decay=self.args.weight_decay,
                rates={"connector": self.args.mm_projector_lr, "vision tower": self.args.mm_vision_tower_lr},
            )
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            self.optimizer = kind(groups, **options)
        return self.optimizer


class FigureTrainer(PartsTrainer):
    """A Trainer over a `TrainingSet` in the batches of an `Order`."""

    def __init__(
        self, *, order: Order, train_collator: Callable[..., Any], train_dataset: TrainingSet, **kwargs: Any
    ) -> None:
        super().__init__(
            packed=order.packing_length is not None,
            an_image=partial(image_inputs, train_dataset),
            train_dataset=train_dataset,
            **kwargs,
        )
        self._train_collator = train_collator
        self._batches = EpochBatches(order, self.args.process_index)
        self.add_callback(_SetEpoch(self._batches))

    def get_train_dataloader(self) -> DataLoader:
        """Batches of this process alone: the order is ours, so nothing is left to share out."""
        from accelerate.data_loader import prepare_data_loader
        from torch.utils.data import DataLoader

        args = self.args
        loader = DataLoader(
            self.train_dataset,
            batch_sampler=self._batches,
            collate_fn=self._train_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )
        return prepare_data_loader(
            loader,
            device=self.accelerator.device,
            num_processes=1,
            process_index=0,
            put_on_device=True,
            non_blocking=args.dataloader_pin_memory,  # else each batch would wait until the device has done the last one
        )

    def samples_of(self, step: int) -> list[list[str]]:
        """Names of the samples of each batch of this process in step `step` (from 1)."""
        order, together = self._batches.order, self.args.gradient_accumulation_steps
        epoch, place = divmod(step - 1, -(-len(order) // together))
        batches = order.mine(epoch, self.args.process_index)[place * together : (place + 1) * together]
        return [[self.train_dataset.name(row) for row in rows] for rows in batches]


class _SetEpoch(TrainerCallback):
    """Tells the batches their epoch before its iteration starts, also when a run goes on in the middle of one."""

    def __init__(self, batches: EpochBatches) -> None:
        self._batches = batches

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self._batches.set_epoch(int(state.epoch or 0))
