"""The model of contrastive pretraining: a vision tower, a text encoder, and what joins them.

In: pixels and tokens. Out: features of length one in a shared space, and with a fused text encoder a verdict on each pair.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from train.contrastive.gathering import gather, gather_with_gradient, rank
from train.contrastive.losses import info_nce, ita_loss, itm_loss, sample_negatives

if TYPE_CHECKING:
    from transformers import BlipTextModel, PreTrainedModel

    from train.contrastive.momentum import Keys


class DualEncoder(nn.Module):
    """An image, or a caption, to a feature of length one."""

    def __init__(self, vision_tower: PreTrainedModel, text_encoder: BlipTextModel, width: int) -> None:
        """`width`: numbers of a feature."""
        super().__init__()
        self.vision_tower, self.text_encoder, self.width = vision_tower, text_encoder, width
        self.vision_projection = nn.Linear(vision_tower.config.hidden_size, width)
        self.text_projection = nn.Linear(text_encoder.config.hidden_size, width)

    def look(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, H, W) -> features (n, width) float32, and all tokens of the last layer (n, tokens, hidden), normalized.

        CLIP's class token is the image; SigLIP has none, and its attention head is no part of the tower: there the mean is.
        """
        seen = self.vision_tower(pixel_values=pixel_values)
        if seen.pooler_output is None:
            tokens = seen.last_hidden_state
            whole = tokens.mean(1)
        else:
            tokens = self.vision_tower.post_layernorm(seen.last_hidden_state)
            whole = tokens[:, 0]
        return normalize(self.vision_projection(whole).float(), dim=-1), tokens

    def read(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """(n, tokens) -> features (n, width) float32, of the first token, [CLS]."""
        read = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state[:, 0]
        return normalize(self.text_projection(read).float(), dim=-1)


class ContrastiveModel(nn.Module):
    """What learns. With `fused_token` (the id of [ENC]) also whether a pair is one, by cross-attention to the image (ITM)."""

    accepts_loss_kwargs = False
    """Asked by transformers' Trainer: the loss is a mean over the batch."""

    def __init__(
        self, encoders: DualEncoder, *, temperature: float, bounds: tuple[float, float], fused_token: int | None = None
    ) -> None:
        super().__init__()
        self.encoders = encoders
        self.config = encoders.text_encoder.config
        self.bounds, self.fused_token = bounds, fused_token
        self.temperature = nn.Parameter(torch.tensor(temperature))
        self.itm_head = None if fused_token is None else nn.Linear(self.config.hidden_size, 2)

    def activation_checkpointing_enable(self, **_: Any) -> None:
        """Compute every layer's activations again in the backward pass; transformers' Trainer calls it.

        BlipTextModel's layers can do so, and the model says that it could not.
        """
        for module in self.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.gradient_checkpointing = True
                module._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)

    gradient_checkpointing_enable = activation_checkpointing_enable  # as releases before 5.20 call it

    def forward(
        self,
        pixel_values: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        image_keys: torch.Tensor,
        *,
        keys: Keys | None = None,
        alpha: float = 0.0,
    ) -> dict[str, torch.Tensor]:
        """{"loss", and its parts "ita", "itm"} of n pairs; without `keys` InfoNCE over the batches of all processes.

        `image_keys` (n,) int64: equal where two pairs show the same image. All processes call it, with batches of one size.
        """
        with torch.no_grad():
            self.temperature.clamp_(*self.bounds)
        image, tokens = self.encoders.look(pixel_values)
        text = self.encoders.read(input_ids, attention_mask)
        with torch.autocast(image.device.type, enabled=False):
            if keys is None:
                first = rank() * len(image)
                images, texts = gather_with_gradient(image), gather_with_gradient(text)
                ita = info_nce((image, text), (images, texts), self.temperature, first)
            else:
                ita = ita_loss((image, text), keys.own, keys.all, self.temperature, alpha=alpha, first=keys.first)
        if self.itm_head is None:
            return {"loss": ita, "ita": ita.detach()}
        itm = self._match((image.detach(), tokens), text.detach(), input_ids, attention_mask, image_keys)
        return {"loss": ita + itm, "ita": ita.detach(), "itm": itm.detach()}

    def _match(
        self,
        seen: tuple[torch.Tensor, torch.Tensor],
        text: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        image_keys: torch.Tensor,
    ) -> torch.Tensor:
        """ITM of each pair, of each text with a hard negative image, and of each image with a hard negative text.

        Negatives come from the batches of all processes (as PA-LLaVA's); a pair that has none brings its positive alone.
        """
        image, tokens = seen
        all_tokens, all_ids, all_masks = gather_with_gradient(tokens), gather(input_ids), gather(attention_mask)
        with torch.no_grad():
            same = same_pair(image_keys, input_ids, gather(image_keys), all_ids)
            other_text = sample_negatives(image @ gather(text).T / self.temperature, same)
            other_image = sample_negatives(text @ gather(image).T / self.temperature, same)
        has_text, has_image = other_text >= 0, other_image >= 0
        states = torch.cat([tokens, all_tokens[other_image[has_image]], tokens[has_text]])
        ids = torch.cat([input_ids, input_ids[has_image], all_ids[other_text[has_text]]])
        masks = torch.cat([attention_mask, attention_mask[has_image], all_masks[other_text[has_text]]])
        matched = torch.zeros(len(ids), dtype=torch.long, device=ids.device)
        matched[: len(input_ids)] = 1
        return itm_loss(self.match(ids, masks, states), matched)

    def match(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """(k, 2) for each caption with the image of the same row, logits of (no pair, pair); `tokens` as `look` gives them."""
        if self.itm_head is None or self.fused_token is None:
            raise RuntimeError("this model has no fused text encoder")
        asked = input_ids.clone()
        asked[:, 0] = self.fused_token
        read = self.encoders.text_encoder(
            input_ids=asked, attention_mask=attention_mask, encoder_hidden_states=tokens
        ).last_hidden_state[:, 0]
        return self.itm_head(read)


def same_pair(keys: torch.Tensor, ids: torch.Tensor, all_keys: torch.Tensor, all_ids: torch.Tensor) -> torch.Tensor:
    """(n, m) bool: whether row and column show the same image or say the same words. Keys (n,), (m,), ids (n, t), (m, t)."""
    return (keys[:, None] == all_keys[None]) | (ids[:, None] == all_ids[None]).all(-1)
