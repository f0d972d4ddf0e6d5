"""Which attention a run computes. In: what is asked for and what is here. Out: the model so set, proven exact where it packs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from llava_graph.errors import InputError
from train.learning.segments import SEGMENTS, has_kernel, register_segments

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FLASH_CAPABILITY = (8, 0)
"""Ampere; older GPUs have no flash kernel for bfloat16."""
ATTENTION_LAYERS = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
RECURRENT_SETTINGS = ("mamba_d_state", "ssm_cfg", "conv_L_cache", "linear_conv_kernel_dim", "attention_hidden_size")
"""Settings that only state-space, short-convolution, linear-attention and RWKV models have."""
PACKABLE = frozenset({"llava", "llava_mlp", "llava_next", "llava_scale_invariant"})
PROOF_TOLERANCE = 0.5
"""Between what rounding explains in bfloat16 and what a leak gives (`packing_error`)."""


@dataclass(frozen=True)
class Attention:
    """What was chosen, and why."""

    name: str
    reason: str


def choose_attention(asked: str, *, packing: bool, half_precision: bool, on_cpu: bool = False) -> Attention:
    """The fastest implementation that is here and exact for the batches. Raises InputError for one that cannot be had."""
    if asked != "auto":
        return _checked(asked, half_precision=half_precision, on_cpu=on_cpu)
    gpu = torch.cuda.is_available()
    if gpu and half_precision and torch.cuda.get_device_capability() >= FLASH_CAPABILITY:
        for name, package in (("flash_attention_3", "flash_attn_interface"), ("flash_attention_2", "flash_attn")):
            if find_spec(package) and (name != "flash_attention_3" or torch.cuda.get_device_capability()[0] == 9):
                return Attention(name, f"{package} is installed")
        if packing and has_kernel():
            return Attention(SEGMENTS, "torch's variable-length flash kernel")
    if packing:
        return Attention(SEGMENTS, "one causal attention per sample of a row")
    return Attention("sdpa", "torch's own choice of kernel")


def _checked(name: str, *, half_precision: bool, on_cpu: bool) -> Attention:
    if name.startswith("flash_attention"):
        if not torch.cuda.is_available():
            raise InputError(f"--attn_implementation {name} needs a CUDA GPU", next_step="Leave it out: auto chooses")
        if not half_precision:
            raise InputError(f"--attn_implementation {name} computes in half precision", next_step="Add --bf16 True")
        package = "flash_attn" if name.endswith("2") else "flash_attn_interface"
        if not find_spec(package):
            raise InputError(f"{package} is not installed", next_step="Install it, or leave the flag out: auto chooses")
    if name == "flex_attention" and on_cpu:
        raise InputError(
            "--attn_implementation flex_attention cannot learn on a CPU: torch has no backward pass for it there",
            next_step="Leave it out: auto chooses",
        )
    return Attention(name, "asked for")


def check_packable(model: PreTrainedModel) -> None:
    """Raises InputError for a model whose samples would mix in a packed row, with the reason."""
    text = model.config.get_text_config()
    kinds = sorted(set(getattr(text, "layer_types", None) or ()) - ATTENTION_LAYERS)
    recurrent = kinds or [name for name in RECURRENT_SETTINGS if getattr(text, name, None)]
    if recurrent:
        raise InputError(
            f"--packing: {text.model_type} has {recurrent[0].replace('_', ' ')} layers, whose state runs on from one sample of "
            "a row into the next whatever the positions say",
            next_step="Use --group_by_modality_length True instead",
        )
    if model.config.model_type not in PACKABLE:
        raise InputError(
            f"--packing is proven for {', '.join(sorted(PACKABLE))}, not for {model.config.model_type}, whose images may not "
            "keep to the positions of a row",
            next_step="Use --group_by_modality_length True instead",
        )


@torch.no_grad()
def packing_error(model: PreTrainedModel) -> float:
    """The largest difference between the logits of two short texts packed and alone, relative to the logits' spread.

    Rounding gives some 1e-6 in float32 and 0.1 in bfloat16; samples that see each other give 1 and more.
    """
    from train.batching.packing import lay_out

    place = next(model.parameters()).device
    size = model.config.get_text_config().vocab_size
    numbers = torch.Generator().manual_seed(0)
    texts = [torch.randint(3, min(size, 1000), (length,), generator=numbers).tolist() for length in (9, 14)]
    items = [{"input_ids": text, "labels": text} for text in texts]
    row = lay_out(items, length=None, pad_id=0, longest=14)
    was_training = model.training
    model.eval()
    try:
        packed = model(
            **{
                name: value.to(place) if hasattr(value, "to") else value
                for name, value in row.items()
                if name != "labels"
            },
            use_cache=False,
        ).logits[0]
        alone = torch.cat(
            [model(input_ids=torch.tensor([text], device=place), use_cache=False).logits[0] for text in texts]
        )
    finally:
        model.train(was_training)
    return float((packed - alone).abs().max() / alone.float().std())


def prove_packing(model: PreTrainedModel) -> None:
    """Pack two texts and compare. Raises InputError when they see each other."""
    with torch.compiler.set_stance("force_eager"):  # nothing is compiled for these lengths
        error = packing_error(model)
    if not error <= PROOF_TOLERANCE:
        raise InputError(
            f"--packing: with this model two samples of a row do not give what they give alone (off by {error:.2g} of the "
            "logits' spread)",
            next_step="Use --group_by_modality_length True instead, and tell us which model it is",
        )


def keep_activations_half(model: PreTrainedModel, kind: torch.dtype) -> None:
    """Let what runs along the layers be in `kind` (bfloat16), as in a model whose weights are.

    Under autocast over float32 weights the embeddings start it in float32, and every addition and norm moves twice the
    bytes; LLaVA's own trainer has it in bfloat16 too.
    """

    def halved(module: torch.nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
        return output.to(kind) if torch.is_autocast_enabled(output.device.type) else output

    model.get_input_embeddings().register_forward_hook(halved)


def set_attention(model: PreTrainedModel, name: str) -> None:
    """`name` for the language model; the vision tower, whose images need no mask, keeps torch's own choice."""
    register_segments()
    text = getattr(model.base_model, "language_model", None)
    if text is None:  # another family: the whole model, as its own code says
        model.set_attn_implementation(name)
        return
    text.set_attn_implementation(name)
    tower = getattr(model.base_model, "vision_tower", None)
    if name == SEGMENTS and model.device.type == "cpu" and tower is not None:
        tower.set_attn_implementation(name)
