"""Connectors that transformers' LLaVA has not, as models of their own: deeper perceptrons and PA-LLaVA's scale-invariant one.

This file travels with a checkpoint (`auto_map`), so that plain transformers opens it too: it imports nothing of ours.
"""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModelForImageTextToText, LlavaConfig, LlavaForConditionalGeneration
from transformers.models.llava.modeling_llava import LlavaModel
from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches


class LlavaMlpConfig(LlavaConfig):
    """LLaVA's mlpNx_gelu: a perceptron of N layers instead of two."""

    model_type = "llava_mlp"
    connector_depth: int = 3


class LlavaScaleInvariantConfig(LlavaConfig):
    """PA-LLaVA's connector: patches of the whole image ask the patches of its tiles."""

    model_type = "llava_scale_invariant"
    connector_layers: int = 6
    connector_heads: int = 12
    image_grid_pinpoints: list | None = None
    """(height, width) in px of the grids that an image may be laid on; multiples of the tower's image size."""


class MlpConnector(nn.Sequential):
    """Linear, then GELU and linear `connector_depth` - 1 times: (…, vision width) -> (…, text width)."""

    def __init__(self, config: LlavaMlpConfig) -> None:
        width = config.text_config.hidden_size
        layers: list[nn.Module] = [nn.Linear(config.vision_config.hidden_size, width)]
        for _ in range(1, config.connector_depth):
            layers += [nn.GELU(), nn.Linear(width, width)]
        super().__init__(*layers)


class Attention(nn.Module):
    """BERT's attention with its residual and norm after it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, asking: torch.Tensor, asked: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """`asking` (n, q, width), `asked` (n, k, width), `mask` (n, 1, 1, k), True where there is something to see."""
        query, key, value = (
            layer(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, states in ((self.query, asking), (self.key, asked), (self.value, asked))
        )
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.norm(asking + self.out(seen.transpose(1, 2).flatten(2)))


class ConnectorLayer(nn.Module):
    """One layer of BERT with cross-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.own, self.tiles = Attention(width, heads), Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, states: torch.Tensor, tiles: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`states` (n, patches, width) after they have seen each other and the tiles (n, tile patches, width)."""
        states = self.tiles(self.own(states, states), tiles, mask)
        return self.norm(states + self.down(functional.gelu(self.up(states))))


class ScaleInvariantConnector(nn.Module):
    """PA-LLaVA's connector (arXiv 2408.09530 and its code): as many tokens as the whole image has patches, whatever its size.

    Queries, and the residual, are the patches of the whole image; no positions, no learnt queries.
    """

    def __init__(self, config: LlavaScaleInvariantConfig) -> None:
        super().__init__()
        width = config.vision_config.hidden_size
        self.layers = nn.ModuleList(
            ConnectorLayer(width, config.connector_heads) for _ in range(config.connector_layers)
        )
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.linear = nn.Linear(width, config.text_config.hidden_size)

    def forward(self, whole: torch.Tensor, tiles: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """`whole` (n, patches, vision width), `tiles` (n, tile patches, vision width) -> (n, patches, text width).

        `mask` (n, tile patches) is False where an image has fewer tiles than its neighbours.
        """
        states = whole
        for layer in self.layers:
            states = layer(states, tiles, mask[:, None, None, :])
        return self.linear(self.norm(states + whole))


class LlavaMlpModel(LlavaModel):
    """LLaVA's trunk with a deeper connector."""

    def __init__(self, config: LlavaMlpConfig) -> None:
        super().__init__(config)
        self.multi_modal_projector = MlpConnector(config)
        self.post_init()


class LlavaScaleInvariantModel(LlavaModel):
    """LLaVA's trunk, shown each image whole and in tiles."""

    def __init__(self, config: LlavaScaleInvariantConfig) -> None:
        super().__init__(config)
        self.multi_modal_projector = ScaleInvariantConnector(config)
        self.post_init()

    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        image_sizes: torch.Tensor,
        vision_feature_layer: int | None = None,
        vision_feature_select_strategy: str | None = None,
        **_: object,
    ) -> object:
        """The tower's output; `pooler_output` holds (patches, text width) of each image.

        `pixel_values` (images, 1 + tiles, 3, H, W): the whole image, then its tiles, then padding that is never looked
        at. `image_sizes` (images, 2) as height, width.
        """
        config = self.config
        layer = config.vision_feature_layer if vision_feature_layer is None else vision_feature_layer
        side, grids = config.vision_config.image_size, config.image_grid_pinpoints
        counts = [image_size_to_num_patches(size, grids, side) for size in image_sizes]
        shown = torch.cat([image[:count] for image, count in zip(pixel_values, counts, strict=True)])
        outputs = self.vision_tower(shown, output_hidden_states=True, return_dict=True)
        features = outputs.hidden_states[layer]
        if (vision_feature_select_strategy or config.vision_feature_select_strategy) == "default":
            features = features[:, 1:]
        images = features.split(counts)
        tiles = [image[1:].flatten(0, 1) for image in images]
        lengths = torch.tensor([len(tile) for tile in tiles], device=features.device)
        padded = pad_sequence(tiles, batch_first=True)
        mask = torch.arange(padded.shape[1], device=features.device) < lengths[:, None]
        whole = torch.stack([image[0] for image in images])
        outputs.pooler_output = list(self.multi_modal_projector(whole, padded, mask))
        return outputs


class LlavaMlpForConditionalGeneration(LlavaForConditionalGeneration):
    """LLaVA with a connector of N layers."""

    config_class = LlavaMlpConfig

    def __init__(self, config: LlavaMlpConfig) -> None:
        super(LlavaForConditionalGeneration, self).__init__(config)
        self.model = LlavaMlpModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()


class LlavaScaleInvariantForConditionalGeneration(LlavaForConditionalGeneration):
    """LLaVA with PA-LLaVA's scale-invariant connector."""

    config_class = LlavaScaleInvariantConfig

    def __init__(self, config: LlavaScaleInvariantConfig) -> None:
        super(LlavaForConditionalGeneration, self).__init__(config)
        self.model = LlavaScaleInvariantModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()


CLASSES = (
    (LlavaMlpConfig, LlavaMlpForConditionalGeneration),
    (LlavaScaleInvariantConfig, LlavaScaleInvariantForConditionalGeneration),
)


def register() -> None:
    """Let AutoModelForImageTextToText know these models, and their checkpoints carry this file."""
    for config, model in CLASSES:
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForImageTextToText.register(config, model, exist_ok=True)
        config.register_for_auto_class("AutoConfig")
        model.register_for_auto_class("AutoModelForImageTextToText")
