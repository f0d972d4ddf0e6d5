"""A Trainer whose checkpoints appear whole or not at all, and from which a run goes on as if nothing had happened.

In: transformers' Trainer and what decides the run. Out: the same, with whole folders, and the losses since the last log line.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import Trainer
from transformers.integrations.deepspeed import deepspeed_load_checkpoint

from train.running.distributed import settle_fsdp
from train.running.finish import restore_weights
from train.running.resume import UNFINISHED, set_aside, write_run
from train.running.stop import StopOnSignal

if TYPE_CHECKING:
    from torch import nn


class CheckpointTrainer(Trainer):
    """`decides` is what `train.running.resume.what_decides` gives; it is stored with each checkpoint."""

    def __init__(self, *, decides: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._decides = decides
        self._apart = False
        self.stop = StopOnSignal()
        self.add_callback(self.stop)
        whole = self.accelerator.unwrap_model(self.model)
        if getattr(whole, "_weight_conversions", None):
            # Loaded under ZeRO-3 a model remembers every renaming that exists instead of those that its files needed, and
            # would be saved under names that nothing opens.
            whole._weight_conversions = [one for one in whole._weight_conversions if one.was_used()]

    def create_accelerator_and_postprocess(self) -> None:
        """As ever, with FSDP where it was asked for."""
        super().create_accelerator_and_postprocess()
        if self.args.fsdp:
            settle_fsdp(self.args, self.accelerator, self.model)
            self.is_fsdp_enabled = True

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As ever; what a run left that was killed while it saved goes first, and another run's checkpoints make way."""
        if self.args.should_save:
            shutil.rmtree(Path(self.args.output_dir) / UNFINISHED, ignore_errors=True)
            set_aside(self.args, resume_from_checkpoint or None)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def _init_training_state(self, max_steps: int, *given: Any) -> tuple[int, int]:
        """As ever; a checkpoint of the last step is the end. transformers looks at --max_steps only after another step."""
        epochs, steps = super()._init_training_state(max_steps, *given)
        done = self.state.global_step
        if not 0 < max_steps <= done:
            return epochs, steps
        if self.args.should_save:
            logging.getLogger(__name__).warning("step %d of %d is done: only the result is written", done, max_steps)
        return max(epochs, self.state.num_train_epochs), 0  # no epoch is left

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """A start that had no step to do has no speed and no loss to tell."""
        if "train_runtime" in logs and self.state.global_step == self._initial_global_step:
            return
        super().log(logs, start_time)

    # ---- writing ----

    def _get_output_dir(self, trial: Any) -> str:
        folder = Path(super()._get_output_dir(trial))
        return str(folder / UNFINISHED if self._apart else folder)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint beside the others and move it to them when all processes are done.

        A run that is killed meanwhile leaves the earlier checkpoints as they were: the oldest goes when the new one is there.
        """
        out = Path(self._get_output_dir(trial))
        name = f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            shutil.rmtree(out / UNFINISHED, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self._apart = True
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._apart = False
        self.accelerator.wait_for_everyone()
        self._name_best(out, out / UNFINISHED / name)
        if self.args.should_save:
            write_run(out / UNFINISHED / name, self._decides, resumable=not self.args.save_only_model)
            _move(out / UNFINISHED / name, out / name)
        self.accelerator.wait_for_everyone()
        if self.args.local_process_index == 0 and (out / UNFINISHED / name).is_dir():
            _move(out / UNFINISHED / name, out / name)  # a disk of this machine's own
        if self.args.should_save:
            self._after_saving(out, out / name)

    def _name_best(self, out: Path, written: Path) -> None:
        """The best checkpoint by the name that it will have, in the state of every process and in its file."""
        best = self.state.best_global_step
        if not best:
            return
        folder = out / f"checkpoint-{best}"
        if best == self.state.global_step or folder.is_dir():
            self.state.best_model_checkpoint = str(folder)
            if self.args.should_save:
                self.state.save_to_json(str(written / "trainer_state.json"))

    def _after_saving(self, out: Path, folder: Path) -> None:
        from transformers.trainer_utils import rotate_checkpoints

        if self.args.push_to_hub:
            super()._push_from_checkpoint(str(folder))
        rotate_checkpoints(
            output_dir=str(out),
            save_total_limit=self.args.save_total_limit,
            best_model_checkpoint=self.state.best_model_checkpoint,
            use_mtime=True,
        )

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        if not self._apart:
            super()._push_from_checkpoint(checkpoint_folder)

    def _save_rng_state(self, output_dir: str) -> None:
        """Random draws, and the losses since the last log line, of this process."""
        super()._save_rng_state(output_dir)
        told = {"loss": float(self._tr_loss), "logged": self._globalstep_last_logged}
        _losses_file(output_dir, self.args.process_index).write_text(json.dumps(told), encoding="utf-8")

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: Any) -> Any:
        """Under DeepSpeed what LoRA leaves frozen is in no checkpoint: it comes from the base model, and is most of the size.

        transformers does so for PEFT's wrapper alone, which our models have not.
        """
        apart = self._leaves_frozen_out()
        prepared = super()._prepare_for_training(max_steps, train_dataloader, None if apart else resume_from_checkpoint)
        if apart:
            engine = self.model_wrapped
            engine.save_checkpoint = partial(engine.save_checkpoint, exclude_frozen_parameters=True)
            if resume_from_checkpoint is not None:
                deepspeed_load_checkpoint(engine, resume_from_checkpoint, load_module_strict=False)
                self._load_optimizer_and_scheduler(resume_from_checkpoint)
                self._load_scaler(resume_from_checkpoint)
        return prepared

    def _leaves_frozen_out(self) -> bool:
        return self.is_deepspeed_enabled and getattr(self.model, "_hf_peft_config_loaded", False)

    # ---- reading ----

    def _is_cut_up(self) -> bool:
        """Whether DeepSpeed or FSDP keep the weights, and so read them back by themselves."""
        return self.is_deepspeed_enabled or self.is_fsdp_enabled

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        if checkpoint is None:
            return
        files = sorted(Path(checkpoint).glob("losses_*.json"))
        if not files:
            return
        told = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        if len(files) == self.args.world_size:
            loss = json.loads(_losses_file(checkpoint, self.args.process_index).read_text(encoding="utf-8"))["loss"]
        else:  # saved by another number of processes: their mean is what a log line shows
            loss = sum(one["loss"] for one in told) / len(told)
        self._tr_loss += loss
        self._total_loss_scalar -= loss  # the mean over this start alone, as transformers reports it
        self._globalstep_last_logged = told[0]["logged"]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """The weights of a checkpoint into the model that is trained."""
        if self._is_cut_up():
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            restore_weights(self.accelerator.unwrap_model(self.model), Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        if best is None or self.stop.stopped_by is not None:
            return
        if self.is_deepspeed_enabled:
            deepspeed_load_checkpoint(self.model_wrapped, best, load_module_strict=not self._leaves_frozen_out())
        elif self.is_fsdp_enabled:
            super()._load_best_model()
        else:
            restore_weights(self.accelerator.unwrap_model(self.model), Path(best))


def _losses_file(folder: str, process: int) -> Path:
    return Path(folder) / f"losses_{process}.json"


def _move(written: Path, folder: Path) -> None:
    """`written` becomes `folder` in one step; one of the same step, of an earlier start, makes way."""
    shutil.rmtree(folder, ignore_errors=True)
    written.rename(folder)
    written.parent.rmdir()
