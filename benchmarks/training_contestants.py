"""What `bench_training` compares: the same random LLaVA and the same samples, trained by four trainers.

`plain` is transformers' own Trainer with length grouping; `llava` pads and feeds as LLaVA 1.5's trainer does; `grouped` and
`packed` are ours. All take the same optimizer, learning rate and number format, and about the same samples a step.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

IMAGE_ID, PAD_ID = 1, 0


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The model and the work of a comparison."""

    name: str
    vision: dict[str, Any]
    text: dict[str, Any]
    samples: int
    """Samples a step."""
    steps: int
    """Steps that are timed, after `warm_up`."""
    warm_up: int
    rounds: int
    dtype: str
    """"float32" or "bfloat16" (autocast over float32 weights)."""
    compile: bool = False
    text_only: float = 0.05
    """Share of samples without an image."""

    @property
    def image_tokens(self) -> int:
        """Tokens of one image."""
        return (self.vision["image_size"] // self.vision["patch_size"]) ** 2


def tower(*, width: int, mlp: int, layers: int, heads: int, image: int, patch: int) -> dict[str, Any]:
    """Settings of a SigLIP vision tower."""
    return {
        "hidden_size": width, "intermediate_size": mlp, "num_hidden_layers": layers, "num_attention_heads": heads,
        "image_size": image, "patch_size": patch,
    }  # fmt: skip


def language(
    *, width: int, mlp: int, layers: int, heads: int, kv_heads: int, head_dim: int, vocabulary: int
) -> dict[str, Any]:
    """Settings of a Qwen3 language model."""
    return {
        "hidden_size": width, "intermediate_size": mlp, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head_dim, "vocab_size": vocabulary,
    }  # fmt: skip


SIZES = {
    # 27 M parameters; the head's share of them is that of Qwen3-0.6B (a quarter). Minutes on two cores.
    "cpu": Sizes(
        name="cpu",
        vision=tower(width=192, mlp=768, layers=6, heads=3, image=224, patch=16),
        text=language(width=384, mlp=1152, layers=12, heads=6, kv_heads=2, head_dim=64, vocabulary=16384),
        samples=8, steps=4, warm_up=1, rounds=3, dtype="float32",
    ),
    # The same in half precision, its layers compiled: for CPUs that multiply bfloat16 by themselves.
    "cpu-half": Sizes(
        name="cpu-half",
        vision=tower(width=192, mlp=768, layers=6, heads=3, image=224, patch=16),
        text=language(width=384, mlp=1152, layers=12, heads=6, kv_heads=2, head_dim=64, vocabulary=16384),
        samples=8, steps=8, warm_up=2, rounds=3, dtype="bfloat16", compile=True,
    ),
    # SigLIP so400m-384 and Qwen3-1.7B by their published shapes, random weights.
    "gpu": Sizes(
        name="gpu",
        vision=tower(width=1152, mlp=4304, layers=27, heads=16, image=384, patch=14),
        text=language(width=2048, mlp=6144, layers=28, heads=16, kv_heads=8, head_dim=128, vocabulary=151936),
        samples=8, steps=8, warm_up=4, rounds=2, dtype="bfloat16", compile=True,
    ),
    # For the tests: does everything run?
    "smoke": Sizes(
        name="smoke",
        vision=tower(width=32, mlp=64, layers=2, heads=2, image=32, patch=8),
        text=language(width=64, mlp=96, layers=2, heads=2, kv_heads=1, head_dim=32, vocabulary=512),
        samples=4, steps=2, warm_up=1, rounds=1, dtype="float32",
    ),
}  # fmt: skip


def build(sizes: Sizes, device: str) -> Any:
    """A LLaVA of random weights, the same for every contestant; its vision tower is frozen, as in LLaVA's second stage."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration, Qwen3Config, SiglipVisionConfig

    text = Qwen3Config(**sizes.text, tie_word_embeddings=True, pad_token_id=PAD_ID, max_position_embeddings=32768)
    vision = SiglipVisionConfig(**sizes.vision, vision_use_head=False)
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=IMAGE_ID, image_seq_length=sizes.image_tokens,
        vision_feature_layer=-2, vision_feature_select_strategy="full", tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.requires_grad_(False)
    return model.train()


class Figures(Dataset):
    """Samples with the lengths of real ones: `lengths` are (context, answer) in tokens; pixels come from a small pool."""

    def __init__(self, lengths: Sequence[tuple[int, int]], sizes: Sizes, count: int) -> None:
        chance, vocabulary = random.Random(0), sizes.text["vocab_size"]
        side = sizes.vision["image_size"]
        pool = torch.randn(8, 3, side, side, generator=torch.Generator().manual_seed(0))
        self.items = []
        for index in range(count):
            context, answer = chance.choice(lengths)
            image = chance.random() >= sizes.text_only
            count_words = range(context + answer)
            words = [2 + int((vocabulary - 2) * chance.random() ** 3) for _ in count_words]  # some often, some rarely
            ids = ([IMAGE_ID] * sizes.image_tokens if image else []) + words
            start = len(ids) - answer
            self.items.append({
                "input_ids": ids,
                "labels": [-100] * start + ids[start:],
                "vision": {"pixel_values": pool[index % 8][None]} if image else {},
            })  # fmt: skip

    @property
    def lengths(self) -> np.ndarray:
        """(n,) tokens"""
        return np.array([len(item["input_ids"]) for item in self.items])

    @property
    def images(self) -> np.ndarray:
        """(n,) images"""
        return np.array([len(item["vision"]) for item in self.items])

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int) -> dict[str, Any]:
        return self.items[int(position) % len(self.items)]


def arguments(sizes: Sizes, out: str, steps: int, **more: Any) -> Any:
    """TrainArguments that all contestants share."""
    from train.flags.arguments import TrainArguments

    gpu = torch.cuda.is_available()
    return TrainArguments(
        output_dir=out, max_steps=steps, learning_rate=1e-4, lr_scheduler_type="constant", logging_steps=steps,
        save_strategy="no", disable_tqdm=True, report_to=[], use_cpu=not gpu, bf16=sizes.dtype == "bfloat16",
        dataloader_num_workers=2 if gpu else 0, dataloader_pin_memory=gpu, seed=1, **more,
    )  # fmt: skip


def padded(items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Padding to the longest of the batch."""
    from train.batching.batches import PaddedCollator

    batch = PaddedCollator(PAD_ID)(items)
    del batch["answer_rows"]  # our loss alone knows it
    return batch


def plain(sizes: Sizes, data: Figures, model: Any, out: str, steps: int) -> Any:
    """transformers' Trainer: batches by length, padded, the model's own loss over all logits."""
    from transformers import Trainer
    from transformers.trainer_pt_utils import LengthGroupedSampler

    class Grouped(Trainer):
        """`train_sampling_strategy=group_by_length` reads lengths from a column of `datasets`; this is the same sampler."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:  # noqa: ARG002
            return LengthGroupedSampler(self.args.train_batch_size, lengths=data.lengths.tolist())

    args = arguments(sizes, out, steps, per_device_train_batch_size=sizes.samples)
    return Grouped(model=model, args=args, train_dataset=data, data_collator=padded)


def llava(sizes: Sizes, data: Figures, model: Any, out: str, steps: int) -> Any:
    """LLaVA 1.5's trainer: random order, padding to the longest, and a zero image for samples that have none.

    Its `group_by_modality_length` is off by default, and counts words, not tokens, when it is on.
    """
    from transformers import Trainer

    side = sizes.vision["image_size"]

    def collate(items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        without = sum(not item["vision"] for item in items)
        zeros = {"zero_images": torch.zeros(without, 3, side, side)} if without else {}
        return {**padded(items), **zeros}

    original = model.forward

    def forward(zero_images: torch.Tensor | None = None, **inputs: Any) -> Any:
        if zero_images is not None:
            model.get_image_features(pixel_values=zero_images)  # as LLaVA: through tower and connector, then dropped
        return original(**inputs)

    forward.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    model.forward = forward
    args = arguments(sizes, out, steps, per_device_train_batch_size=sizes.samples)
    return Trainer(model=model, args=args, train_dataset=data, data_collator=collate)


def ours(sizes: Sizes, data: Figures, model: Any, out: str, steps: int, *, packing: bool, products: bool = True) -> Any:
    """Our trainer: length grouping with padding, or packed rows; answers' logits only, layers compiled where that pays."""
    from train.batching.batches import PackedCollator, PaddedCollator
    from train.batching.order import Order
    from train.learning import segments
    from train.learning.attention import choose_attention, keep_activations_half, set_attention
    from train.learning.compiling import compile_layers
    from train.running.trainer import FigureTrainer

    segments.HALF_PRODUCTS = products and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    set_attention(model, choose_attention("auto", packing=packing, half_precision=sizes.dtype == "bfloat16").name)
    if sizes.dtype == "bfloat16":
        keep_activations_half(model, torch.bfloat16)
    if sizes.compile and packing:
        compile_layers(model)
    row = int(np.ceil(sizes.samples * data.lengths.mean() / 256)) * 256
    order = Order(
        lengths=data.lengths, images=data.images, batch=1 if packing else sizes.samples, seed=1, grouped=not packing,
        packing_length=row if packing else None,
    )  # fmt: skip
    collate = (
        PackedCollator(pad_id=PAD_ID, longest=int(data.lengths.max()), length=row)
        if packing
        else PaddedCollator(PAD_ID)
    )
    args = arguments(sizes, out, steps, per_device_train_batch_size=1 if packing else sizes.samples)
    return FigureTrainer(
        model=model,
        args=args,
        train_dataset=data,
        data_collator=collate,
        train_collator=collate,
        order=order,
        decides={},
    )


Contestant = Callable[[Sizes, Figures, Any, str, int], Any]
FUSED = "ours, packed, torch's fused attention"
"""Differs from ours on a CPU in half precision alone."""
CONTESTANTS: dict[str, Contestant] = {
    "transformers, length grouping": plain,
    "LLaVA 1.5's batches": llava,
    "ours, grouped": lambda *given: ours(*given, packing=False),
    "ours, packed": lambda *given: ours(*given, packing=True),
    FUSED: lambda *given: ours(*given, packing=True, products=False),
}
