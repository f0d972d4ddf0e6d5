"""What a run leaves. In: a trainer. Out: folders that plain transformers (or PEFT) opens, each complete with its model card.

`Keeper.save` is called by every process for a checkpoint on the way and for the result; the weights are gathered, and the
first process writes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.durable import write_json, write_text
from llava_graph.errors import CheckpointError
from llava_graph.model.adapters import ADAPTER, MODEL_CONFIG, is_adapter
from llava_graph.model.build import save_checkpoint
from llava_graph.model.hub import checkpoint_folder
from llava_graph.model.legacy.llava import REMEMBERED
from train.learning.adapter_files import State, save_adapter, without_lora
from train.learning.adapters import needs_lora, restore_adapter
from train.learning.loading import joins_parts
from train.learning.parts import CONNECTOR, part_of
from train.running.card import model_card, teaches_instructions
from train.running.distributed import unsplit_models, whole_weights
from train.running.identity import base_digest

if TYPE_CHECKING:
    import torch
    from transformers import Trainer

    from llava_graph.model import LoadedModel
    from llava_graph.prompt import PromptOptions
    from train.flags.arguments import Command
    from train.running.trainer import PartsTrainer

PROJECTOR = "mm_projector.safetensors"
"""What --pretrain_mm_mlp_adapter takes."""
BASE = "base"
"""Folder beside an adapter for a base model that lies nowhere else."""
ORIGIN = "origin.txt"
"""In it: a digest of the model that it was made from."""


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Writes what a run leaves; made before training, while the model is still whole."""

    command: Command
    loaded: LoadedModel
    plan: Mapping[str, Any]
    prompt: PromptOptions
    model_class: Any
    """Of the model: FSDP and torch.compile change it later."""

    def save(self, trainer: Trainer, out: Path, *, final: bool = False) -> None:
        """A complete folder of the weights as they are now. All processes call it.

        LoRA: an adapter; with `final` and --merge_lora the merged model. Only `final` weights get --save_dtype: what a run
        goes on from stays exact.
        """
        state = gather_state(trainer)
        if not trainer.args.should_save:
            return
        out.mkdir(parents=True, exist_ok=True)
        model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
        if self.command.model.stage != "projector":
            (out / PROJECTOR).unlink(missing_ok=True)  # of an earlier run: the next stage would take it for this one's
        if needs_lora(self.command) and not (final and self.command.model.merge_lora):
            self._save_adapter(model, state, trainer, out)
        else:
            if needs_lora(self.command):
                state = without_lora(model, state, merged=True)
            remove_adapter(out)
            if final and self.command.model.save_dtype:
                state = cast(state, self.command.model.save_dtype)
            save_checkpoint(self._empty(model, state, trainer), self.loaded.processor, out, state)
        if self.command.model.stage == "projector":
            save_projector(state, out)
        write_text(out / "README.md", model_card(self.command, self.loaded, self.plan, trainer.state, out))

    def _save_adapter(self, model: Any, state: State, trainer: Trainer, out: Path) -> None:
        base = self._base(model)
        if base is None:
            base = str(self._write_base(model, state, trainer))
        if not (Path(base).is_dir() and out.samefile(base)):
            remove_model(out)
        save_adapter(model, state, base, out)
        write_json(out / MODEL_CONFIG, self._config(model, trainer).to_dict())
        self.loaded.processor.save_pretrained(out)
        self.loaded.image_processor.save_pretrained(out)

    def _base(self, model: Any) -> str | None:
        """Where the base model lies: a folder, or owner/name; None where no folder holds just this model."""
        from transformers import AutoConfig

        name = self.command.model.model_name_or_path
        folder, joined = checkpoint_folder(name), joins_parts(self.command)
        named = Path(model.name_or_path) if joined else folder
        if not (named / "config.json").is_file() or is_adapter(folder):
            return None
        rows = AutoConfig.from_pretrained(named, local_files_only=True).get_text_config().vocab_size
        if rows != model.config.get_text_config().vocab_size:
            return None  # new tokens made the embedding grow
        from_hub = not joined and not Path(name).exists()
        return name if from_hub else str(named.resolve())

    def _write_base(self, model: Any, state: State, trainer: Trainer) -> Path:
        """The model without its adapter, once: nothing of it changes but what the adapter brings itself.

        One that an earlier run has written from another model stays: adapters of that run name it.
        """
        asked = self.command.model
        origin = [base_digest(self.command, self.loaded), asked.bits, asked.quant_type, asked.new_tokens]
        origin += [model.config.get_text_config().vocab_size, self.loaded.template]
        told = hashlib.sha256(json.dumps(origin).encode()).hexdigest()
        base = Path(self.command.training.output_dir) / BASE
        if base.is_dir() and _origin_told(base) != told:
            base = base.with_name(f"{BASE}-{told[:8]}")
        if _origin_told(base) != told:
            draft = base.with_name(f".{BASE}.part")
            shutil.rmtree(base, ignore_errors=True)
            shutil.rmtree(draft, ignore_errors=True)
            plain = without_lora(model, state, merged=False)
            save_checkpoint(self._empty(model, plain, trainer), self.loaded.processor, draft, plain)
            write_text(draft / ORIGIN, told)
            draft.rename(base)
        return base.resolve()

    def _config(self, model: Any, trainer: Trainer) -> Any:
        """The model's configuration with what it is, ready for use."""
        config = copy.deepcopy(model.config)
        for part in (config, config.get_text_config()):
            part.use_cache = True
        if getattr(config, "quantization_config", None) is not None:
            del config.quantization_config
        asked = self.command.model
        config.about = {
            **origin_of(config),
            "name": asked.model_name or self.loaded.name,
            "description": asked.about or f"Fine-tuned from {self.loaded.name}.",
            "prompt": asdict(self.prompt),
            "instructions": teaches_instructions(self.command)
            if asked.follows_instructions is None
            else asked.follows_instructions,
            **({} if asked.max_images is None else {"max_images": asked.max_images}),
            "trained": {
                "data": ", ".join(Path(path).name for path in self.command.data.data_path),
                "steps": trainer.state.global_step,
                "seed": self.command.training.seed,
            },
        }
        return config

    def _empty(self, model: Any, state: State, trainer: Trainer) -> Any:
        """A model of the same shape without weights, to save `state` by: the one in training may be cut up or wrapped."""
        import torch

        kinds = [tensor.dtype for tensor in state.values() if tensor.is_floating_point()]
        with torch.device("meta"), unsplit_models(trainer.args):
            empty = self.model_class._from_config(
                self._config(model, trainer), dtype=max(set(kinds), key=kinds.count), attn_implementation="eager"
            )
        empty.generation_config = copy.deepcopy(model.generation_config)
        if hasattr(model, "_weight_conversions"):
            empty._weight_conversions = model._weight_conversions
        return empty


def _origin_told(base: Path) -> str | None:
    file = base / ORIGIN
    return file.read_text(encoding="utf-8") if file.is_file() else None


def origin_of(config: Any) -> dict[str, Any]:
    """What a checkpoint says of where it came from: its parts, and LLaVA's own layout (`llava-graph convert` goes back to it)."""
    about = getattr(config, "about", None)
    about = about if isinstance(about, dict) else {}
    kept = {name: about[name] for name in ("assembled", REMEMBERED) if isinstance(about.get(name), dict)}
    if "assembled" in kept:  # the fingerprint is that of untrained weights
        kept["assembled"] = {name: value for name, value in kept["assembled"].items() if name != "fingerprint"}
    return kept


def gather_state(trainer: Trainer) -> State:
    """All weights by their names in the model, without the copies that tied layers are. All processes call it.

    Processes that save nothing get {} where weights are gathered.
    """
    state = whole_weights(trainer)
    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    if state is None:
        state = model.state_dict()
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    return {name: tensor for name, tensor in state.items() if not (name in tied and tied[name] in state)}


def cast(state: State, dtype: str) -> State:
    """The same weights in another number format."""
    import torch

    kind: torch.dtype = getattr(torch, dtype)
    return {name: tensor.to(kind) if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def save_projector(state: State, out: Path) -> None:
    """The connector alone, by the names of published checkpoints."""
    from safetensors.torch import save_file

    connector = {name: tensor for name, tensor in state.items() if part_of(name) == CONNECTOR}
    tensors = {name.removeprefix("model."): tensor.detach().cpu().clone() for name, tensor in connector.items()}
    save_file(tensors, out / PROJECTOR, metadata={"format": "pt"})
    (out / PROJECTOR).chmod(0o644)


def remove_adapter(out: Path) -> None:
    """A folder is an adapter or a model, never both: transformers would lay one over the other."""
    for name in (ADAPTER, "adapter_model.safetensors", "non_lora_trainables.safetensors", MODEL_CONFIG):
        (out / name).unlink(missing_ok=True)


def remove_model(out: Path) -> None:
    """The other way round: with a config.json a folder is a model, and its adapter would be laid over old weights."""
    for file in (out / "config.json", out / "generation_config.json", *out.glob("model*.safetensors*")):
        file.unlink(missing_ok=True)


def restore_weights(model: Any, folder: Path) -> None:
    """The weights of a checkpoint of this run into the model in training: an adapter's, or all. Raises CheckpointError.

    transformers 5.23 compares a file's names with the model's directly; for LLaVA they differ (its files keep the
    published layout), and it goes on from random weights with a warning. `from_pretrained` knows both layouts.
    """
    if is_adapter(folder):
        restore_adapter(model, folder)
        return
    if getattr(model, "_hf_peft_config_loaded", False):
        raise CheckpointError(
            "it holds a whole model, and this run trains an adapter",
            where=str(folder),
            next_step="Begin a new run from its weights (--model_name_or_path), or leave out --lora_enable",
        )
    saved = type(model).from_pretrained(folder, dtype="float32", local_files_only=True)
    take_weights(model, saved.state_dict(), folder, next_step="Take the model that this checkpoint was trained from")


def take_weights(model: Any, state: State, folder: Path, *, next_step: str) -> None:
    """All weights of `folder` into the model in training. Raises CheckpointError where names or shapes are others."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:  # torch's word for other names or shapes
        raise CheckpointError(
            f"its weights do not fit this model ({' '.join(str(error).split())[:200]})",
            where=str(folder),
            next_step=next_step,
        ) from error


def finish(trainer: PartsTrainer) -> None:
    """The end of a run: trainer_state.json with the losses, and the result in the output folder. Raises NotFinite."""
    trainer.check_before_saving()
    trainer.save_state()
    trainer.accelerator.wait_for_everyone()
    if trainer.keeper is None:
        trainer.save_model()
    else:
        trainer.keeper.save(trainer, Path(trainer.args.output_dir), final=True)
