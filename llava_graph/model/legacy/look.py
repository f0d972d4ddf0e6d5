"""How a converted checkpoint is asked. In: a `Llava`. Out: chat template, prompt style, a tokenizer with the image token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llava_graph.model.legacy import settings
from llava_graph.model.legacy.llava import Llava
from llava_graph.model.legacy.write import SHARD_BYTES
from llava_graph.model.vocabulary import IMAGE_END, IMAGE_START, add_tokens, wrap_images

if TYPE_CHECKING:
    import torch

PATCH_TOKEN = "<im_patch>"  # noqa: S105


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a converted checkpoint is asked; None: as its own files say, else as its time did."""

    vision_tower: str | None = None
    template: str | None = None
    """Name of a chat template of ours."""
    prompt: str | None = None
    """Style of the prompt: figure or llava_graph."""
    preparation: str | None = None
    """pad, square or crop."""
    dtype: torch.dtype | None = None
    shard_bytes: int = SHARD_BYTES


def template_name(model: Llava, asked: str | None) -> tuple[str, str]:
    """Name of the chat template, and why it is this one."""
    if asked:
        return asked, "as asked"
    vocabulary = model.tokenizer.get_vocab()
    kind = settings.text_type(model.config, str(model.where))
    rules = (
        (settings.is_early(model.config), "v0", "a LLaVA of spring 2023: no mm_projector_type in config.json"),
        (kind == "mistral", "mistral_instruct", "LLaVA 1.6 on Mistral"),
        (kind == "qwen2", "qwen", "LLaVA on Qwen"),
        ("<|start_header_id|>" in vocabulary, "llama_3", "its tokenizer is Llama 3's"),
        ("<|im_start|>" in vocabulary, "chatml_direct", "its tokenizer has ChatML's marks"),
        (True, "vicuna_v1", "LLaVA 1.5 and 1.6"),
    )
    return next((name, why) for holds, name, why in rules if holds)


def prepare_tokens(model: Llava, template: str) -> tuple[Any, str, list[str]]:
    """The tokenizer with the image token, the template as it is for this model, and the tokens that were added."""
    tokenizer, config = model.tokenizer, model.config
    marks = bool(config.get("mm_use_im_start_end", False))
    before = set(tokenizer.get_vocab())
    # LLaVA's own loader adds these, in this order, where a tokenizer was saved without them.
    if config.get("mm_use_im_patch_token", True) and PATCH_TOKEN not in before and model.rows > len(tokenizer):
        tokenizer.add_tokens([PATCH_TOKEN], special_tokens=True)
    if marks:
        missing = [token for token in (IMAGE_START, IMAGE_END) if token not in before]
        tokenizer.add_tokens(missing, special_tokens=True)
        template = wrap_images(template)
    add_tokens(tokenizer, template)
    added = sorted(set(tokenizer.get_vocab()) - before, key=tokenizer.convert_tokens_to_ids)
    return tokenizer, template, added
