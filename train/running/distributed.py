"""One process or many. In: training arguments. Out: processes that can talk, before the model is built; whole weights at the end.

Shipped settings are named by a word: `--deepspeed zero3`, `--fsdp fsdp2`. DeepSpeed on a CPU works without a compiler.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llava_graph.errors import InputError, MissingExtra, did_you_mean

if TYPE_CHECKING:
    import torch
    from transformers import Trainer

    from train.flags.arguments import TrainArguments

FOLDER = Path(__file__).parent.parent
SHIPPED = {kind: {file.stem: file for file in sorted((FOLDER / kind).glob("*.json"))} for kind in ("deepspeed", "fsdp")}
"""Flag -> name -> settings file of ours."""

FSDP1_WORDS = {"full_shard", "shard_grad_op", "offload", "auto_wrap"}
"""Values of transformers 4's --fsdp that FSDP2 has a meaning for."""
TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no", "")


def prepare_arguments(training: TrainArguments) -> None:
    """Turn --deepspeed and --fsdp into what transformers takes; called before it reads them.

    Raises InputError for an unknown name, MissingExtra when DeepSpeed is asked for but not installed.
    """
    _open_group_again(training)
    if isinstance(training.deepspeed, str) and training.deepspeed.lower() in FALSE:
        training.deepspeed = None
    if training.deepspeed:
        _prepare_deepspeed(training)
    if training.fsdp:
        _prepare_fsdp(training)


def _open_group_again(training: TrainArguments) -> None:
    """After `torchrun --max_restarts` has started all processes again: they meet under names of their own.

    torch 2.13 keeps one store over all starts, in which a process may find where another one listened before it died.
    """
    import torch
    from torch import distributed

    count = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if count == "0" or "RANK" not in os.environ or distributed.is_initialized():
        return
    backend = training.ddp_backend or ("gloo" if training.use_cpu else None)
    if backend != "gloo" and torch.accelerator.is_available():
        torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))
    store, rank, size = next(distributed.rendezvous("env://"))
    distributed.init_process_group(
        backend,
        store=distributed.PrefixStore(f"start-{count}", store),
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=training.ddp_timeout),
    )


def _prepare_deepspeed(training: TrainArguments) -> None:
    try:
        version("deepspeed")  # find_spec would find our own folder of this name
    except PackageNotFoundError as error:
        raise MissingExtra("deepspeed", "deepspeed", needed_for="--deepspeed") from error
    settings = _read_settings("deepspeed", training.deepspeed)
    rates = training.mm_projector_lr, training.mm_vision_tower_lr
    if "optimizer" in settings and any(rate is not None for rate in rates):
        raise InputError(
            "the DeepSpeed settings bring their own optimizer, which knows one learning rate for all parts",
            next_step="Leave 'optimizer' out of them: --optim is used, with the rates of the parts",
        )
    if training.use_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        # Nothing is moved off a device here; torch's own optimizer needs no compiler.
        settings.setdefault("zero_force_ds_cpu_optimizer", False)
    training.deepspeed = settings
    # DeepSpeed always wants a process group, also for the one process of a plain start.
    if "RANK" not in os.environ:
        os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=_free_port())


def _prepare_fsdp(training: TrainArguments) -> None:
    asked = training.fsdp if isinstance(training.fsdp, str) else "true"
    if asked.lower() in FALSE:
        training.fsdp = None
        return
    words = set(asked.replace(",", " ").split())
    if asked.lower() in TRUE:
        name = "fsdp2"
    elif words <= FSDP1_WORDS:
        name = "fsdp2_offload" if "offload" in words else "fsdp2"
    elif asked in SHIPPED["fsdp"]:
        name = asked
    else:
        raise InputError(f"unknown --fsdp {asked!r}", next_step=did_you_mean(asked, SHIPPED["fsdp"]))
    settings = _read_settings("fsdp", training.fsdp_config or name)
    if "shard_grad_op" in words:
        settings["reshard_after_forward"] = False
    if training.use_cpu:
        settings.pop("cpu_offload", None)  # nothing is moved off a device here
    training.fsdp, training.fsdp_config = True, settings


def _read_settings(kind: str, asked: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(asked, dict):
        return dict(asked)
    # Published scripts say ./scripts/zero3.json: where there is no such file, the name decides.
    path = Path(asked)
    file = path if path.is_file() else SHIPPED[kind].get(path.stem)
    if file is None:
        raise InputError(f"no such {kind} settings: {asked}", next_step=did_you_mean(path.stem, SHIPPED[kind]))
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the {kind} settings cannot be read ({error})", where=str(file)) from error
    if not isinstance(settings, dict):
        raise InputError(f"the {kind} settings must be a mapping", where=str(file))
    return settings


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def start(training: TrainArguments) -> None:
    """Open the process group and tell DeepSpeed, before the model is built: under ZeRO-3 it is split while it is loaded.

    Raises InputError for FSDP without processes.
    """
    from transformers.training_args import ParallelMode

    on_cpu = training.device.type == "cpu"
    if training.fsdp and training.parallel_mode != ParallelMode.DISTRIBUTED:
        raise InputError(
            "--fsdp cuts the weights over processes, and this is one without torchrun",
            next_step="Add --fsdp none, or start with torchrun --nproc_per_node N",
        )
    if not training.deepspeed:
        return
    import deepspeed

    if on_cpu:
        # Its shared-memory kernel would be compiled at the first start (most of a minute, and needs a compiler); gloo is there.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        # transformers opens torch's group alone on a CPU; zero.Init asks DeepSpeed's for the number of processes.
        deepspeed.init_distributed(dist_backend="gloo", auto_mpi_discovery=False, verbose=False)


def settle_fsdp(training: TrainArguments, accelerator: Any, model: Any) -> None:
    """FSDP for this model: each of its layers apart, and on a CPU too, where accelerate 1.15 leaves it out without a word."""
    import torch
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    state = accelerator.state
    if getattr(state, "fsdp_plugin", None) is None:
        plugin = FullyShardedDataParallelPlugin(**training.fsdp_plugin_args)
        if state.mixed_precision != "no":
            plugin.set_mixed_precision(state.mixed_precision)
        AcceleratorState._shared_state |= {"fsdp_plugin": plugin, "distributed_type": DistributedType.FSDP}
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    policy = state.fsdp_plugin.mixed_precision_policy
    if policy is not None and state.fsdp_plugin.fsdp_version == 2:
        # accelerate also sums gradients in half precision, and rounds the loss to it.
        state.fsdp_plugin.mixed_precision_policy = replace(policy, reduce_dtype=torch.float32, output_dtype=None)
    if state.fsdp_plugin.transformer_cls_names_to_wrap is None:
        # A vision tower also names the layers of the text tower that it came with, and accelerate insists on finding each.
        here = {type(module).__name__ for module in model.modules()}
        state.fsdp_plugin.transformer_cls_names_to_wrap = sorted(here & set(model._no_split_modules or ()))


def is_sharded(training: TrainArguments) -> bool:
    """Whether a process holds only a part of each weight: all processes must then run the same modules in the same order."""
    if training.fsdp:
        return True
    return isinstance(training.deepspeed, dict) and training.deepspeed.get("zero_optimization", {}).get("stage") == 3


@contextmanager
def unsplit_models(training: TrainArguments) -> Iterator[None]:
    """Within it a model is built whole, in this process alone, though the run's own is split by ZeRO-3."""
    from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config

    settings = getattr(training, "hf_deepspeed_config", None)
    if settings is None:
        yield
        return
    unset_hf_deepspeed_config()
    try:
        yield
    finally:
        set_hf_deepspeed_config(settings)


def whole_weights(trainer: Trainer) -> dict[str, torch.Tensor] | None:
    """The trained model's state dict on the CPU, gathered from all processes; every process calls it.

    Processes other than the first, which save nothing, get {}. None: the model in this process is whole as it stands.
    """
    if not is_sharded(trainer.args):
        return None
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped) or {}
    return {name: weight.cpu() for name, weight in weights.items()} if trainer.args.process_index == 0 else {}


def number_of(parameter: torch.Tensor) -> int:
    """Numbers in a parameter, all processes' parts together (under ZeRO-3 the tensor itself is empty)."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))
