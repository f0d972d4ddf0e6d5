"""Attention inside each sample of a packed row, exact without flash-attn. In: queries, keys, values, borders. Out: the answer.

On a GPU it is torch's own variable-length flash kernel, elsewhere one causal attention per sample, so that nothing is spent on
pairs of tokens of different samples. transformers knows it as `segments`.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

SEGMENTS = "segments"


def has_kernel() -> bool:
    """Whether this torch has a variable-length kernel (2.10 and newer)."""
    return KERNEL is not None


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
        all_seen = attention_mask is None and not getattr(module, "is_causal", True)
        if all_seen and not dropout and _products_pay(query):
            return _by_products(query, key, value, scale=scaling, causal=False), None
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
    answer = _one_by_one(
        module, query, key, value, borders=cu_seq_lens_q, scale=scaling, dropout=dropout, window=sliding_window
    )
    return answer, None


@torch.compiler.disable  # borders differ from row to row: compiled, every row would be compiled anew
def _one_by_one(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    borders: torch.Tensor,
    scale: float | None,
    dropout: float,
    window: int | None,
) -> torch.Tensor:
    """One causal attention per sample: (1, heads, length, dim) -> (1, length, heads, dim)."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    pieces = []
    for start, end in itertools.pairwise(borders.tolist()):
        if start == end:
            continue
        part = [one[:, :, start:end] for one in (query, key, value)]
        mask = None
        if window is not None and end - start > window:
            far = torch.arange(end - start, device=query.device)
            apart = far[:, None] - far[None, :]
            mask = ((apart >= 0) & (apart < window))[None, None]
        elif not dropout and _products_pay(part[0]):
            pieces.append(_by_products(*part, scale=scale, causal=True))
            continue
        pieces.append(sdpa_attention_forward(module, *part, mask, dropout=dropout, scaling=scale)[0])
    return torch.cat(pieces, dim=1)


HALF_PRODUCTS: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
"""Whether this CPU multiplies matrices of bfloat16 by itself."""
LONGEST_PRODUCT = 1024
"""Tokens of a sample whose scores are all held at once; a longer one is left to the fused kernel."""


def _products_pay(query: torch.Tensor) -> bool:
    """Whether two matrix products are faster than the fused kernel: in bfloat16, on a CPU that has instructions for it."""
    short = query.device.type == "cpu" and query.shape[2] <= LONGEST_PRODUCT
    return short and HALF_PRODUCTS and _computed_in(query) == torch.bfloat16


def _by_products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, scale: float | None, causal: bool
) -> torch.Tensor:
    """(batch, heads, length, dim), key and value with as many or fewer heads -> (batch, length, heads, dim).

    Two bfloat16 matrix products with the scores between them: on CPUs with instructions for such products faster than torch's
    fused kernel, forwards and backwards, at the few hundred tokens of a sample (docs/benchmarks.md).
    """
    batch, heads, length, dim = query.shape
    query, key, value = (one.to(torch.bfloat16) for one in (query, key, value))
    if key.shape[1] != heads:
        key, value = (one.repeat_interleave(heads // one.shape[1], dim=1) for one in (key, value))
    queries, keys, values = (one.reshape(batch * heads, length, dim) for one in (query, key, value))
    scale = dim**-0.5 if scale is None else scale
    if causal:
        seen = _later_tokens(-(-length // 256) * 256)[:length, :length].expand(batch * heads, length, length)
        scores = torch.baddbmm(seen, queries, keys.transpose(1, 2), alpha=scale)
    else:
        scores = torch.bmm(queries * scale, keys.transpose(1, 2))
    answer = torch.bmm(scores.softmax(-1), values)
    return answer.reshape(batch, heads, length, dim).transpose(1, 2)


@lru_cache(maxsize=16)
def _later_tokens(length: int) -> torch.Tensor:
    """(length, length) bfloat16: minus infinity where a key comes after the query."""
    return torch.full((length, length), -torch.inf, dtype=torch.bfloat16).triu_(1)


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
