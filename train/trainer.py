"""transformers' Trainer with our order of samples and a learning rate for each part."""

from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from train.batches import EpochSampler
from train.stages import parameter_groups


class FigureTrainer(Trainer):
    """A Trainer over a `TrainingSet`; `args` are our `TrainArguments`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._sampler = EpochSampler(
            self.train_dataset.checked,
            batch=self.args.train_batch_size * self.args.world_size,
            seed=self.args.data_seed if self.args.data_seed is not None else self.args.seed,
            grouped=self.args.group_by_modality_length,
        )
        self.add_callback(_SetEpoch(self._sampler))

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:  # noqa: ARG002
        return self._sampler

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

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        """The weights of a checkpoint into the model that is trained.

        transformers 5.23 compares the file's names with the model's directly; for LLaVA they differ (its files keep the
        published layout), and it goes on from random weights with a warning. `from_pretrained` knows both layouts.
        """
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        target = self.accelerator.unwrap_model(self.model if model is None else model)
        saved = type(target).from_pretrained(resume_from_checkpoint, dtype=target.dtype, local_files_only=True)
        target.load_state_dict(saved.state_dict())

    def _load_best_model(self) -> None:
        if self.state.best_model_checkpoint:
            self._load_from_checkpoint(self.state.best_model_checkpoint)


class _SetEpoch(TrainerCallback):
    """Tells the sampler the epoch before its iteration starts, also when a run goes on in the middle of one."""

    def __init__(self, sampler: EpochSampler) -> None:
        self._sampler = sampler

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self._sampler.epoch = int(state.epoch or 0)
