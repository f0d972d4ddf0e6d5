"""Which attention a run computes, and our own for packed rows. In: what is asked for and what is here. Out: the model so set.

`segments` is exact for packed rows without flash-attn: on a GPU torch's own variable-length flash kernel, elsewhere one
causal attention per sample, so that nothing is spent on pairs of tokens of different samples.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from llava_graph.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SEGMENTS = "segments"
FLASH_CAPABILITY = (8, 0)
"""Ampere; older GPUs have no flash kernel for bfloat16."""
ATTENTION_LAYERS = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
RECURRENT_SETTINGS = ("mamba_d_state", "ssm_cfg", "conv_L_cache", "linear_conv_kernel_dim", "attention_hidden_size")
"""Settings that only state-space, short-convolution, linear-attention and RWKV models have."""
PACKABLE = frozenset({"llava", "llava_next"})
PROOF_TOLERANCE = 0.5
"""Between what rounding explains in bfloat16 and what a leak gives (`packing_error`)."""


@dataclass(frozen=True)
class Attention:
    """What was chosen, and why."""

    name: str
    reason: str


def choose_attention(asked: str, *, packing: bool, half_precision: bool) -> Attention:
    """The fastest implementation that is here and exact for the batches. Raises InputError for one that cannot be had."""
    if asked != "auto":
        return _checked(asked, half_precision=half_precision)
    gpu = torch.cuda.is_available()
    if gpu and half_precision and torch.cuda.get_device_capability() >= FLASH_CAPABILITY:
        for name, package in (("flash_attention_3", "flash_attn_interface"), ("flash_attention_2", "flash_attn")):
            if find_spec(package) and (name != "flash_attention_3" or torch.cuda.get_device_capability()[0] == 9):
                return Attention(name, f"{package} is installed")
        if packing and KERNEL is not None:
            return Attention(SEGMENTS, "torch's variable-length flash kernel")
    if packing:
        return Attention(SEGMENTS, "one causal attention per sample of a row")
    return Attention("sdpa", "torch's own choice of kernel")


def _checked(name: str, *, half_precision: bool) -> Attention:
    if name.startswith("flash_attention"):
        if not torch.cuda.is_available():
            raise InputError(f"--attn_implementation {name} needs a CUDA GPU", next_step="Leave it out: auto chooses")
        if not half_precision:
            raise InputError(f"--attn_implementation {name} computes in half precision", next_step="Add --bf16 True")
        package = "flash_attn" if name.endswith("2") else "flash_attn_interface"
        if not find_spec(package):
            raise InputError(f"{package} is not installed", next_step="Install it, or leave the flag out: auto chooses")
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
    from train.packing import lay_out

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


def register_segments() -> None:
    """Make `segments` known to transformers; calling it again does nothing new."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(SEGMENTS, segments_attention)
    AttentionMaskInterface.register(SEGMENTS, _segments_mask)
    _try_groups()


def _segments_mask(*, attention_mask: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor | None:
    """None where borders say who sees whom; the usual mask where a batch is padded (evaluation, generation)."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None and kwargs.get("q_length") == kwargs.get("kv_length"):
        return None
    return sdpa_mask(attention_mask=attention_mask, **kwargs)


def segments_attention(  # noqa: PLR0917  (the signature that transformers calls)
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each segment of a packed row.

    query (1, heads, length, dim); key, value (1, key heads, length, dim); cu_seq_lens_q (segments + 1,) int32. Returns
    (1, length, heads, dim). Without borders it is transformers' SDPA.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if cu_seq_lens_q is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    kind = _computed_in(query)
    if query.is_cuda and kind in (torch.bfloat16, torch.float16) and not dropout and KERNEL is not None:
        answer = _varlen_attention(
            query[0].transpose(0, 1).to(kind),
            key[0].transpose(0, 1).to(kind),
            value[0].transpose(0, 1).to(kind),
            borders=cu_seq_lens_q,
            longest=max_length_q or query.shape[2],
            window=-1 if sliding_window is None else sliding_window - 1,
            scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
            kernel=KERNEL,
        )
        return answer[None], None
    pieces = []
    borders = cu_seq_lens_q.tolist()
    for start, end in itertools.pairwise(borders):
        if start == end:
            continue
        mask = None
        if sliding_window is not None and end - start > sliding_window:
            far = torch.arange(end - start, device=query.device)
            apart = far[:, None] - far[None, :]
            mask = ((apart >= 0) & (apart < sliding_window))[None, None]
        part = (one[:, :, start:end] for one in (query, key, value))
        pieces.append(sdpa_attention_forward(module, *part, mask, dropout=dropout, scaling=scaling)[0])
    return torch.cat(pieces, dim=1), None


def _computed_in(query: torch.Tensor) -> torch.dtype:
    """The number format of attention: under autocast norms give float32, which the flash kernels do not take."""
    kind = query.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype


@dataclass(frozen=True)
class _Kernel:
    """torch's variable-length attention, whose arguments differ between releases."""

    call: Callable[..., Any]
    takes: frozenset[str]
    grouped: bool = False
    """Whether it takes fewer key than query heads without being told so."""


def _find_kernel() -> _Kernel | None:
    """It came with torch 2.10."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return _Kernel(varlen_attn, frozenset(inspect.signature(varlen_attn).parameters))


KERNEL = _find_kernel()


@lru_cache(maxsize=1)
def _try_groups() -> None:
    """Try on this GPU whether grouped heads need no repeated keys and values: half the memory traffic where it is so."""
    global KERNEL  # noqa: PLW0603  (what this machine's torch can do is found once)
    if KERNEL is None or "enable_gqa" in KERNEL.takes or not torch.cuda.is_available():
        return
    grouped = replace(KERNEL, grouped=True)
    try:
        found = [_tried(kernel) for kernel in (KERNEL, grouped)]
    except RuntimeError:
        return
    if all(torch.allclose(one, two, atol=2e-2) for one, two in zip(*found, strict=True)):
        KERNEL = grouped


def _tried(kernel: _Kernel) -> tuple[torch.Tensor, ...]:
    """Output and gradients of two short samples with two query heads a key head."""
    numbers = torch.Generator("cuda").manual_seed(0)
    query, key, value = (
        torch.randn(48, heads, 64, device="cuda", dtype=torch.bfloat16, generator=numbers).requires_grad_()
        for heads in (4, 2, 2)
    )
    borders = torch.tensor([0, 20, 48], dtype=torch.int32, device="cuda")
    answer = _varlen_attention(query, key, value, borders=borders, longest=28, window=-1, scale=0.125, kernel=kernel)
    return answer, *torch.autograd.grad(answer.float().square().sum(), (query, key, value))


def _varlen_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    borders: torch.Tensor,
    longest: int,
    window: int,
    scale: float,
    kernel: _Kernel,
) -> torch.Tensor:
    """(length, heads, dim) each -> (length, heads, dim). `window`: tokens that are seen backwards, -1: all."""
    options: dict[str, Any] = {}
    groups = query.shape[1] // key.shape[1]
    if "enable_gqa" in kernel.takes:
        options["enable_gqa"] = groups > 1
    elif groups > 1 and not kernel.grouped:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    if "window_size" in kernel.takes:
        options["window_size"] = (window, 0)
    else:
        options["is_causal"] = True
    if "scale" in kernel.takes:
        options["scale"] = scale
    else:
        query = query * (scale * query.shape[-1] ** 0.5)
    return kernel.call(query, key, value, borders, borders, longest, longest, **options)
