"""A Trainer whose batches are those of an `Order`. In: a `TrainingSet`. Out: this process's batches, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transformers import Trainer, TrainerCallback

from train.batching.order import EpochBatches, Order

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


class OrderedTrainer(Trainer):
    """`train_dataset` is a `TrainingSet`, `args` are our `TrainArguments`."""

    def __init__(self, *, order: Order, train_collator: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
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
