"""What a training step costs, and what a device could do. In: a model, what a step showed it. Out: FLOPs, and a peak.

    MFU = FLOPs / (seconds · devices · peak FLOP/s)

FLOPs are those that the step needs: two a multiply-add, forward 1x, backward 1x for gradients of activations wherever
something that learns lies before, and 1x for gradients of weights that learn. Causal attention counts the pairs of tokens
that see each other (half of the square), inside their own sample. Not counted: padding, what activation checkpointing
computes again, norms and softmax, the optimizer, layers of the vision tower behind the one that is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from train.learning.parts import CONNECTOR, LANGUAGE, TOWER, idle_names, part_of, tower_layers

if TYPE_CHECKING:
    from torch import nn

COUNTABLE = frozenset({"llava", "llava_mlp", "llava_next", "llava_scale_invariant"})
"""Models whose images are squares of a fixed size to the vision tower."""
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
"""Settings of mixtures of experts, whose weights are no linear layers and of which a token meets only some."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one or many batches showed the model. Sums."""

    samples: int = 0
    images: int = 0
    tiles: int = 0
    """squares that the vision tower saw; AnyRes cuts an image into several"""
    tokens: int = 0
    """without padding, images included"""
    slots: int = 0
    """with padding"""
    answers: int = 0
    """tokens that are learnt"""
    pairs: int = 0
    """of a token and one that it sees, itself included, in causal attention"""
    near_pairs: int = 0
    """the same where a token sees no further than the sliding window"""
    idle_batches: int = 0
    """batches without a learnt token"""

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)})

    def __sub__(self, other: Counts) -> Counts:
        return Counts(**{one.name: getattr(self, one.name) - getattr(other, one.name) for one in fields(self)})


@dataclass(frozen=True, kw_only=True)
class Costs:
    """FLOPs of a training step for each of what `Counts` counts, forward and backward."""

    token: int
    """the language model's linear layers"""
    pair: int
    near_pair: int
    answer: int
    """the output head, where an answer's token is predicted"""
    tile: int
    """the vision tower, and the connector of its patches"""
    image: int = 0
    """a connector that runs once an image"""

    def of(self, counts: Counts) -> int:
        """FLOPs of the step."""
        return (
            counts.tokens * self.token
            + counts.pairs * self.pair
            + counts.near_pairs * self.near_pair
            + counts.answers * self.answer
            + counts.tiles * self.tile
            + counts.images * self.image
        )


def count_costs(model: Any) -> Costs | None:
    """The costs of training `model` with what learns in it now; None for a model that we cannot count."""
    text = model.config.get_text_config()
    if model.config.model_type not in COUNTABLE or any(getattr(text, name, None) for name in EXPERTS):
        return None
    vision = model.config.vision_config
    if hasattr(vision, "depths"):  # a tower whose layers see different numbers of patches
        return None
    patches = (vision.image_size // vision.patch_size) ** 2
    head = model.get_output_embeddings()
    whole = patches + any(name.endswith("class_embedding") for name, _ in model.named_parameters())
    tower, learns = _linear_layers(model, TOWER, whole, before=False, head=head)
    tower += _tower_attention(model, whole)
    if any(getattr(module, "takes_features", False) for module in model.modules()):
        tower = 0  # its features were computed before (`train.learning.vision_cache`)
    connector, learns = _linear_layers(model, CONNECTOR, patches, before=learns, head=head)
    token, learns = _linear_layers(model, LANGUAGE, 1, before=learns, head=head)
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    pair = 4 * text.num_attention_heads * size * (3 if learns else 1)
    near = near_layers(text)
    once = model.config.model_type == "llava_scale_invariant"
    return Costs(
        token=token,
        pair=pair * (text.num_hidden_layers - near),
        near_pair=pair * near,
        answer=_cost(head, before=learns),
        tile=tower if once else tower + connector,
        image=connector if once else 0,
    )


def near_layers(text: Any) -> int:
    """Layers of a language model with a sliding window."""
    kinds = getattr(text, "layer_types", None)
    if kinds:
        return sum(kind == "sliding_attention" for kind in kinds)
    return text.num_hidden_layers if getattr(text, "sliding_window", None) else 0


def _linear_layers(model: Any, part: str, positions: int, *, before: bool, head: Any) -> tuple[int, bool]:
    """(FLOPs of a part's linear layers over `positions`, whether something up to its end learns)."""
    total, idle = 0, idle_names(model)
    for name, module in _modules(model, part):
        if module is not head and f"{name}.weight" not in idle:
            total += positions * _cost(module, before=before)
        before = before or any(one.requires_grad for one in module.parameters(recurse=False))
    return total, before


def _modules(model: Any, part: str) -> Iterator[tuple[str, nn.Module]]:
    """A part's modules that have parameters of their own, in the order in which they run."""
    for name, module in model.named_modules():
        if part_of(name) == part and any(True for _ in module.parameters(recurse=False)):
            yield name, module


def _cost(module: Any, *, before: bool) -> int:
    """FLOPs of a linear layer, or a convolution without overlap, at one position. `before`: something before it learns."""
    if hasattr(module, "in_features"):
        size = module.in_features * module.out_features
    elif hasattr(module, "kernel_size"):
        height, width = module.kernel_size
        size = module.in_channels * module.out_channels * height * width
    else:
        return 0
    return 2 * size * (1 + before + module.weight.requires_grad)


def _tower_attention(model: Any, tokens: int) -> int:
    """FLOPs of the vision tower's attention for one tile of `tokens`: every token sees all."""
    width, idle = model.config.vision_config.hidden_size, idle_names(model)
    prefix, count = tower_layers(model) or ("", 0)
    total, learns = 0, False
    for number in range(count):
        layer = {name: one for name, one in model.named_parameters() if name.startswith(f"{prefix}{number}.")}
        if layer.keys() <= idle:
            break
        learns = learns or any(one.requires_grad for one in layer.values())
        total += 4 * tokens**2 * width * (3 if learns else 1)
    return total


@dataclass(frozen=True)
class Peak:
    """Dense TFLOP/s of a device as its maker states them: half precision with float32 sums, TF32, float32."""

    half: float
    tf32: float | None = None
    single: float | None = None
    bfloat16: bool = True
    """False: half precision is float16 alone."""


PEAKS: tuple[tuple[str, Peak], ...] = (
    (r"\bB200\b", Peak(2250, 1125)),  # NVIDIA HGX B200 datasheet, half of the sparse figure
    (r"\bH[12]00 NVL\b", Peak(835.5, 417.7, 60)),  # NVIDIA H100 NVL, H200 NVL datasheets, half of the sparse figure
    (r"\bH100 PCIe\b", Peak(756.4, 378.2, 51.2)),  # NVIDIA H100 datasheet
    (r"\b(?:H100|H200|H800|GH200)\b", Peak(989.4, 494.7, 66.9)),  # NVIDIA H100 whitepaper, table 2 (SXM5)
    (r"\bH20\b", Peak(148, 74, 44)),  # NVIDIA H20 datasheet
    (r"\bA[18]00\b", Peak(312, 156, 19.5)),  # NVIDIA A100 datasheet
    (r"\bL40S\b", Peak(362.05, 183.2, 91.6)),  # NVIDIA L40S datasheet
    (r"\bL40\b", Peak(181.05, 90.5, 90.5)),  # NVIDIA L40 datasheet
    (r"\bL4\b", Peak(121, 60, 30.3)),  # NVIDIA L4 datasheet, half of the sparse figure
    (r"\bA40\b", Peak(149.7, 74.8, 37.4)),  # NVIDIA A40 datasheet
    (r"\bA10\b", Peak(125, 62.5, 31.2)),  # NVIDIA A10 datasheet
    (r"\bRTX A6000\b", Peak(154.8, 77.4, 38.7)),  # NVIDIA RTX A6000 datasheet, half of the sparse figure
    (r"\bRTX 6000 Ada\b", Peak(364.2, 182.1, 91.1)),  # NVIDIA RTX 6000 Ada datasheet, half of the sparse figure
    (r"\bRTX 5090\b", Peak(209.5, 104.8, 104.8)),  # NVIDIA RTX Blackwell whitepaper
    (r"\bRTX 4090\b", Peak(165.2, 82.6, 82.6)),  # NVIDIA Ada whitepaper
    (r"\bRTX 3090\b", Peak(71, 35.6, 35.6)),  # NVIDIA GA102 whitepaper
    (r"\bV100S\b", Peak(130, None, 16.4, bfloat16=False)),  # NVIDIA V100S datasheet
    (r"\bV100-PCIE\b", Peak(112, None, 14, bfloat16=False)),  # NVIDIA V100 datasheet
    (r"\bV100\b", Peak(125, None, 15.7, bfloat16=False)),  # NVIDIA V100 datasheet (SXM2)
    (r"\bT4\b", Peak(65, None, 8.1, bfloat16=False)),  # NVIDIA T4 datasheet
    (r"\bMI3(?:00|25)X\b", Peak(1307.4, 653.7, 163.4)),  # AMD Instinct MI300X, MI325X datasheets
)
"""Name of the device as torch tells it -> its peak; the first that is found wins."""


def peak_tflops(device_name: str, precision: str) -> float | None:
    """Peak TFLOP/s; `precision` is bfloat16, float16, tf32 or float32. None: not known for this device."""
    peak = next((peak for pattern, peak in PEAKS if re.search(pattern, device_name)), None)
    if peak is None or (precision == "bfloat16" and not peak.bfloat16):
        return None
    return {"bfloat16": peak.half, "float16": peak.half, "tf32": peak.tf32, "float32": peak.single}[precision]
