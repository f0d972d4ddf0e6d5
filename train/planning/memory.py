"""What a run needs of a GPU's memory. In: sizes of a model, of a step and of the processes, as numbers. Out: bytes by use.

Weights, gradients and optimizer states are counted as in the ZeRO paper (Rajbhandari et al. 2020, arXiv:1910.02054, §3.1):
under mixed precision 2 + 2 + K bytes a parameter. Activations are what autograd keeps for the backward pass, tensor by
tensor of transformers' layers; counted as in Korthikanti et al. 2022 (arXiv:2205.05198, §4) but without the attention matrix,
which no kernel but eager keeps. With c bytes a number in products, r in the residual stream and w a weight, one layer
keeps for a token

    language model   norms       2 · 4h, and where it learns 2 · rh + 2 · ch, or 5 · ch if w > c (each reader its own copy)
                     attention   c(2q + 2k), and with norms on q and k 4(q + k), where it learns (4 + c)(q + k)
                     gated MLP   3 · cm, where it learns 4 · cm
    vision tower     norms       4 · rh if r = c, else 2 · rh + 4 · ch
                     attention   4 · ch
                     MLP         2 · cm, or 3 · cm with quick_gelu

for width h, queries q, keys k, MLP m; `tests/test_train_plan.py` holds that against what autograd keeps. With checkpointing
every layer keeps its input alone, and one layer all. GB are 10^9 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

GB = 10**9

STATE_BYTES = {
    "adafactor": 0.1,  # a row and a column of each matrix
    "sgd": 0.0,
    "lion": 4.0,
    "adamw": 8.0,
    "ademamix": 12.0,
    "rmsprop": 4.0,
    "adagrad": 4.0,
    "stable_adamw": 8.0,
    "schedule_free": 8.0,
}
"""Bytes of optimizer state for a learning parameter, by the beginning of --optim; 8-bit ones: a quarter. Others: as AdamW."""
NF4_BYTES = {True: 0.5 + 0.127 / 8, False: 0.5 + 4 / 64}
"""Bytes of a weight in 4 bits, with scales that are quantized too or not (QLoRA, arXiv:2305.14314, §3)."""
BUCKETS = 2 * 2 * 2 * 10**8
"""ZeRO-2 fills one bucket of 2e8 numbers in 2 bytes while another is sent (train/deepspeed/zero2.json)."""
LIVE_PARAMETERS = 10**9
"""ZeRO-3 keeps so many gathered at most (stage3_max_live_parameters)."""
CONTEXT = 10**9
"""CUDA's own: context, kernels, cuBLAS workspaces, and what the allocator cannot use. A rule of thumb."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """A stack of equal transformer layers."""

    count: int
    width: int
    mlp: int
    queries: int = 0
    """width of all query heads; 0: the layer's width"""
    keys: int = 0
    """width of all key heads; 0: as the queries"""
    heads: int = 1
    qk_norm: bool = False
    quick_gelu: bool = False


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Numbers of parameters, and how they are held."""

    trained: int
    frozen: int
    trained_bytes: float = 4.0
    """bytes of a learning weight; a frozen one:"""
    frozen_bytes: float = 2.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one process computes at a time."""

    tokens: int
    """of a batch, padding included"""
    longest: int
    """tokens of the longest sample"""
    learnt: int
    """tokens that are predicted"""
    vocabulary: int
    piece_bytes: int = 2**31
    """of logits in float32 that exist at a time"""
    tiles: int = 0
    """images, or parts of images, that the vision tower sees"""
    tile_tokens: int = 0
    compute_bytes: float = 2.0
    """c: 2 under bf16 or fp16, else 4"""
    residual_bytes: float = 2.0
    """r of the language model"""
    checkpointing: bool = False
    eager: bool = False
    """attention keeps its matrix"""
    language_learns: bool = True
    tower_layers_learn: int = 0
    """the tower's last layers that keep something for the backward pass"""
    lora_inputs: int = 0
    """width of all inputs that LoRA reads in one layer"""


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How processes share a model."""

    processes: int = 1
    way: str = "none"
    """none (also DDP), zero1, zero2, zero3, fsdp, fsdp-grad (gathered weights stay)"""
    offload_optimizer: bool = False
    offload_weights: bool = False
    mixed: bool = True
    """half precision in the products of float32 weights"""
    on_gpu: bool = True

    @property
    def told(self) -> str:
        """For a person."""
        if self.way == "none":
            return "one process" if self.processes == 1 else f"the whole model in each of {self.processes} processes"
        kind = {"fsdp": "FSDP2", "fsdp-grad": "FSDP2 (gathered weights stay)"}.get(
            self.way, f"DeepSpeed ZeRO-{self.way[4:]}"
        )
        moved = [
            what for what, moves in (("optimizer", self.offload_optimizer), ("weights", self.offload_weights)) if moves
        ]
        return f"{kind} over {self.processes}" + (f", {' and '.join(moved)} in the CPU's memory" if moved else "")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one GPU."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    vision: int
    """activations of the vision tower"""
    context: int

    @property
    def total(self) -> int:
        """All of it, at the peak of a step."""
        return sum(getattr(self, field.name) for field in fields(self))

    def in_gb(self) -> dict[str, float]:
        """Use -> GB, with the total, to a tenth (small runs: to a thousandth)."""
        digits = 1 if self.total > GB else 3
        found = {field.name: getattr(self, field.name) / GB for field in fields(self)}
        return {name: round(value, digits) for name, value in {**found, "total": self.total / GB}.items()}


def estimate(
    *, weights: Weights, language: Layers, tower: Layers | None, step: Step, sharing: Sharing, optim: str
) -> Memory:
    """The peak of a training step on one of `sharing.processes` GPUs."""
    held_bytes = weights.trained_bytes if step.language_learns else max(weights.frozen_bytes, 2.0)
    if sharing.way != "none" and sharing.mixed:
        held_bytes = 2.0  # DeepSpeed and FSDP gather weights in half precision
    held, gradients, states = _state(weights, language, sharing, state_bytes(optim))
    # In half precision, in float32, and their gradient; the loss makes them in pieces (train.learning.loss).
    logits = min(step.learnt * step.vocabulary * 4, step.piece_bytes) / 4 * (4 + 4 + step.compute_bytes)
    return Memory(
        weights=round(held),
        gradients=round(gradients),
        optimizer=round(states),
        activations=round(_language_activations(language, step, held_bytes)),
        logits=round(logits),
        vision=round(_tower_activations(tower, step, held_bytes) if tower else 0),
        context=CONTEXT if sharing.on_gpu else 0,
    )


def state_bytes(optim: str) -> float:
    """Bytes of optimizer state for a learning parameter; paged states are moved to the CPU when room is short."""
    if "paged" in optim:
        return 0.0
    known = max((name for name in STATE_BYTES if optim.startswith(name)), key=len, default="adamw")
    return STATE_BYTES[known] / (4 if "8bit" in optim or "bnb" in optim else 1)


def _state(weights: Weights, language: Layers, sharing: Sharing, each: float) -> tuple[float, float, float]:
    """Bytes of weights, gradients and optimizer states on one GPU."""
    trained, frozen, many = weights.trained, weights.frozen, max(sharing.processes, 1)
    every = trained + frozen
    if sharing.way.startswith("zero"):
        # DeepSpeed keeps weights and gradients in 2 bytes, and a float32 copy of what learns beside the states.
        master = 0.0 if sharing.offload_optimizer else trained * (4 + each) / many
        if sharing.way == "zero3":
            parts = 0.0 if sharing.offload_weights else 2.0 * every / many
            return parts + 2.0 * min(every, LIVE_PARAMETERS), 2.0 * trained / many, master
        partitioned = many if sharing.way == "zero2" else 1
        return 2.0 * every, 2.0 * trained / partitioned + min(BUCKETS, 4.0 * trained), master
    copies = 2.0 * trained if sharing.mixed and weights.trained_bytes == 4 else 0.0
    if sharing.way.startswith("fsdp"):
        on_gpu = 0.0 if sharing.offload_weights else 1.0
        parts = on_gpu * (trained * weights.trained_bytes + frozen * weights.frozen_bytes) / many
        # Gathered in 2 bytes: two layers at a time, or all.
        gathered = 2.0 * every * (1 if sharing.way == "fsdp-grad" else min(1.0, 2 / max(language.count, 1)))
        return parts + gathered, on_gpu * weights.trained_bytes * trained / many, on_gpu * each * trained / many
    held = trained * weights.trained_bytes + frozen * weights.frozen_bytes + copies
    # DDP sends gradients from buckets of their own.
    return held, weights.trained_bytes * trained * (2 if many > 1 else 1), each * weights.trained_bytes / 4 * trained


def language_layer_bytes(
    layers: Layers, *, compute: float, residual: float, held: float, learns: bool, lora_inputs: int = 0
) -> float:
    """Bytes that one layer of the language model keeps for a token (the formula above)."""
    queries = layers.queries or layers.width
    keys = layers.keys or queries
    norms = 8.0 * layers.width
    if learns:
        norms += (2 * residual + (2 if held <= compute else 5) * compute) * layers.width
    attention = compute * (2 * queries + 2 * keys)
    if layers.qk_norm:
        attention += (4 + (compute if learns else 0)) * (queries + keys)
    # LoRA keeps the input of its first matrix, and the mask of its dropout.
    return norms + attention + (4 if learns else 3) * compute * layers.mlp + (compute + 1) * lora_inputs


def tower_layer_bytes(layers: Layers, *, compute: float, residual: float) -> float:
    """Bytes that one layer of the vision tower keeps for a token (the formula above)."""
    norms = 4 * residual if residual == compute else 2 * residual + 4 * compute
    return (norms + 4 * compute) * layers.width + (3 if layers.quick_gelu else 2) * compute * layers.mlp


def _language_activations(layers: Layers, step: Step, held: float) -> float:
    residual = step.residual_bytes
    whole = language_layer_bytes(
        layers,
        compute=step.compute_bytes,
        residual=residual,
        held=held,
        learns=step.language_learns,
        lora_inputs=step.lora_inputs,
    )
    if step.eager:
        whole += 6.0 * layers.heads * step.longest
    if step.checkpointing:
        return step.tokens * (layers.count * residual * layers.width + whole)
    return step.tokens * layers.count * whole


def _tower_activations(layers: Layers, step: Step, residual: float) -> float:
    """A frozen tower needs the room of one layer at a time."""
    whole = tower_layer_bytes(layers, compute=step.compute_bytes, residual=residual)
    kept = max(step.tower_layers_learn, 1)
    if step.checkpointing and step.tower_layers_learn:
        return step.tiles * step.tile_tokens * (kept * residual * layers.width + whole)
    return step.tiles * step.tile_tokens * kept * whole
