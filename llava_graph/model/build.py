"""A small LLaVA from scratch: a shape and texts in; a checkpoint folder that plain transformers opens out.

The parts are transformers' own: SigLIP or Swin vision tower, mlp2x_gelu connector, Qwen3 language model, LlavaProcessor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llava_graph.chat import load_template
from llava_graph.errors import InputError, did_you_mean
from llava_graph.model.load import progress_bar
from llava_graph.model.tokenizer import EOS, IM_END, read_texts, train_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import (
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerFast,
        ProcessorMixin,
    )

MAX_NEW_TOKENS = 200
"""Default length of an answer: the paragraphs it learns from are 40 to 150 tokens long."""


STD = 0.5
"""By which each channel of an image is divided."""


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The sizes of a model. Widths are multiples of 64, so that 4-bit and matrix-unit kernels take them."""

    image_size: int
    """px a side; an image is made square, then scaled."""
    patch_size: int
    """px a side; one patch is one image token."""
    vision_width: int
    vision_layers: int
    vision_heads: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    mlp_width: int
    vocab_size: int
    stages: tuple[int, ...] = ()
    """Layers of each stage of a Swin tower: it begins with small patches, and each stage after the first joins 2 x 2 of them, up
    to patches of `patch_size` and `vision_width`. What it learns of a line in one place it knows in all others, which a plain
    tower with large patches learns place by place. Empty: SigLIP, of `vision_layers`."""
    window: int = 0
    """Patches a side of the windows in which a Swin tower's layers attend."""
    context_length: int = 2048
    """tokens, image included"""
    padded: bool = True
    """Images become square by white bands (nothing is distorted); else they are stretched, so that a place in per cent, as
    the text in the figure is given, is the same place in the grid of image tokens whatever the figure's proportions."""

    def __post_init__(self) -> None:
        if self.stages and self.padded:
            raise ValueError("a Swin tower takes stretched images: the bands of padded ones would be zeros or grey")

    @property
    def image_tokens(self) -> int:
        """Tokens that one image takes."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def image_mean(self) -> float:
        """What is taken off each channel (0 to 1). White becomes 0 where images are padded with it; a Swin's layers must not see
        zeros alone: their gradients grow through every normalisation of nothing."""
        return 0.5 if self.stages else 1.0

    @property
    def vision_config(self) -> PreTrainedConfig:
        """SigLIP; Swin (Liu et al. 2021, arXiv:2103.14030) where `stages` are given."""
        from transformers import SiglipVisionConfig, SwinConfig

        if not self.stages:
            return SiglipVisionConfig(
                hidden_size=self.vision_width,
                intermediate_size=4 * self.vision_width,
                num_hidden_layers=self.vision_layers,
                num_attention_heads=self.vision_heads,
                image_size=self.image_size,
                patch_size=self.patch_size,
                vision_use_head=False,
            )
        halvings = 2 ** (len(self.stages) - 1)
        return SwinConfig(
            image_size=self.image_size,
            patch_size=self.patch_size // halvings,
            embed_dim=self.vision_width // halvings,
            depths=list(self.stages),
            num_heads=[self.vision_heads * 2**stage // halvings for stage in range(len(self.stages))],
            window_size=self.window,
            drop_path_rate=0.0,
            use_absolute_embeddings=True,
        )


PRESETS = {
    # For tests: built in a second, steps in milliseconds.
    "nano": ModelShape(
        image_size=64, patch_size=16, vision_width=64, vision_layers=1, vision_heads=2,
        width=64, layers=2, heads=2, kv_heads=1, mlp_width=128, vocab_size=512,
    ),
    # 5.7 M parameters, 11 MB in bf16. Patches of 28 px: 144 tokens an image.
    "tiny": ModelShape(
        image_size=336, patch_size=28, vision_width=192, vision_layers=3, vision_heads=3,
        width=256, layers=5, heads=4, kv_heads=2, mlp_width=448, vocab_size=4096,
    ),
    # The packaged model: 8.1 M parameters, 16 MB in bf16. Tokens of 32 px: 144 an image.
    "small": ModelShape(
        image_size=384, patch_size=32, vision_width=256, vision_layers=6, vision_heads=8, stages=(1, 1, 2, 2), window=6,
        width=256, layers=6, heads=4, kv_heads=2, mlp_width=704, vocab_size=4096, padded=False,
    ),
}  # fmt: skip


def build_model(
    shape: ModelShape, tokenizer: PreTrainedTokenizerFast, *, seed: int = 0
) -> LlavaForConditionalGeneration:
    """Random weights, float32, the same for the same seed; the caller's random state is left as it was."""
    import torch
    from transformers import LlavaConfig, LlavaForConditionalGeneration, Qwen3Config

    text = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=shape.mlp_width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.width // shape.heads,
        max_position_embeddings=shape.context_length,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = LlavaConfig(
        vision_config=shape.vision_config,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=shape.image_tokens,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
        if shape.stages:
            _spread(model.model.vision_tower)
    _centre(model, shape)
    generation = model.generation_config
    generation.eos_token_id = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(EOS)]
    generation.pad_token_id = tokenizer.pad_token_id
    generation.bos_token_id = tokenizer.bos_token_id
    generation.do_sample = False
    generation.max_new_tokens = MAX_NEW_TOKENS
    # No repetition penalty: transformers counts the prompt as repeated too, and names are to be copied from it.
    return model


def _spread(tower: PreTrainedModel) -> None:
    """Weights of a variance of 1 / inputs, as SigLIP's are: Swin's own 0.02 leaves narrow layers next to idle at first."""
    from torch import nn

    for layer in tower.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)


def _centre(model: LlavaForConditionalGeneration, shape: ModelShape) -> None:
    """Shift and scale the connector so that the tokens of a ruled page are zero on average and vary as much as words do.

    A tower with random weights gives nearly the same vector for every patch, and training makes that vector longer before
    anything else: behind the language model's first normalisation all patches then look alike, and nothing is learnt from them.
    """
    import torch

    inner, connector = model.model, model.model.multi_modal_projector
    with torch.no_grad():
        # Paper is never quite white; what a tower answers to one value everywhere stands alone.
        grain = torch.rand(1, 3, shape.image_size, shape.image_size, generator=torch.Generator().manual_seed(0))
        page = (1 - shape.image_mean - 0.025 * grain) / STD
        page[..., :: max(2, shape.patch_size - 1), :] = -shape.image_mean / STD
        page[..., :: max(2, shape.patch_size + 1)] = -shape.image_mean / STD
        tower = inner.vision_tower.eval()
        tokens = connector(tower(page, output_hidden_states=True).hidden_states[-1])[0]
        scale = model.config.text_config.initializer_range / tokens.std(dim=0).mean()
        connector.linear_2.weight.mul_(scale)
        connector.linear_2.bias.copy_(-scale * (tokens.mean(dim=0) - connector.linear_2.bias))
        tower.train(model.training)


def build_processor(shape: ModelShape, tokenizer: PreTrainedTokenizerFast, template: str) -> LlavaProcessor:
    """Images made square (nothing is cut), then scaled.

    `template` is the Jinja source of the chat template.
    """
    from transformers import LlavaProcessor
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    side = {"height": shape.image_size, "width": shape.image_size}
    images = LlavaImageProcessorPil(
        do_pad=shape.padded,
        size=side,
        crop_size=side,  # nothing is cropped; LlavaProcessor reads the number of image tokens from it
        do_center_crop=False,
        image_mean=[shape.image_mean] * 3,  # also the colour of the padding
        image_std=[STD] * 3,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=shape.patch_size,
        vision_feature_select_strategy="full",
        chat_template=template,
    )


def build_checkpoint(
    out: Path,
    *,
    shape: ModelShape,
    texts: Iterable[str],
    template: str = "chatml",
    name: str = "llava-graph-untrained",
    about: str = "An untrained model: its weights are random.",
    seed: int = 0,
) -> LlavaForConditionalGeneration:
    """Train a tokenizer on `texts`, build a model and save both to the new folder `out`. Raises InputError.

    The checkpoint says in its own config.json what it is: `about: {name, description}`.
    """
    if out.exists() and any(out.iterdir()):
        raise InputError("the folder is not empty", where=str(out), next_step="Give another --out")
    source = load_template(template)
    end_of_turn = IM_END if IM_END in source else EOS
    tokenizer = train_tokenizer(
        texts, vocab_size=shape.vocab_size, end_of_turn=end_of_turn, max_length=shape.context_length
    )
    model = build_model(shape, tokenizer, seed=seed)
    model.config.about = {"name": name, "description": about}
    save_checkpoint(model, build_processor(shape, tokenizer, source), out)
    return model


def save_checkpoint(
    model: PreTrainedModel, processor: ProcessorMixin, out: Path, state_dict: dict[str, torch.Tensor] | None = None
) -> None:
    """config.json, generation_config.json, model.safetensors, tokenizer, processor and chat_template.jinja to `out`.

    `state_dict` is given where the weights had to be gathered from several processes. The image preparation is also
    written as preprocessor_config.json, which engines older than transformers 5 read.
    """
    weights: dict[str, Any] = {} if state_dict is None else {"state_dict": state_dict}
    if model.config.model_type in PUBLISHED_TYPES and getattr(model, "hf_quantizer", None) is None:
        named = published_names(model, model.state_dict() if state_dict is None else state_dict)
        weights = {"state_dict": named, "save_original_format": False}
    with progress_bar(shown=False):
        model.save_pretrained(out, **weights)
    processor.save_pretrained(out)
    processor.image_processor.save_pretrained(out)
    # transformers writes weights with mode 0600; a shared folder or a wheel should be readable.
    for file in out.glob("*.safetensors"):
        file.chmod(0o644)


PUBLISHED_TYPES = ("llava", "llava_next")

PUBLISHED = {
    "model.language_model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
    "model.vision_tower.": "vision_tower.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "model.image_newline": "image_newline",
}
"""transformers' names in memory -> those of the llava-hf checkpoints, which other engines look for."""

WITH_INNER_NAME = ("clip_vision_model", "siglip_vision_model")
"""Vision towers that are called `vision_tower.vision_model` there."""


def published_names(model: PreTrainedModel, state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors under the names of published LLaVA checkpoints.

    transformers 5 opens both; a new model of its own it would save with `vision_tower.encoder…`, which no other engine
    knows: CLIP's and SigLIP's weights are called `vision_tower.vision_model.encoder…` everywhere else.
    """
    inner = "vision_model." if model.config.vision_config.model_type in WITH_INNER_NAME else ""
    names = {**PUBLISHED, "model.vision_tower.": f"vision_tower.{inner}"}

    def renamed(name: str) -> str:
        return next((new + name.removeprefix(old) for old, new in names.items() if name.startswith(old)), name)

    return {renamed(name): tensor for name, tensor in state_dict.items()}


def build_command(  # noqa: PLR0917  (typer reads the options from the signature)
    texts: Annotated[
        list[Path],
        typer.Option(help="UTF-8 text files or data set folders; the tokenizer is trained on them.", exists=True),
    ],
    out: Annotated[Path, typer.Option(help="New folder for the checkpoint.")],
    preset: Annotated[str, typer.Option(help=f"Size of the model: {', '.join(PRESETS)}.")] = "tiny",
    template: Annotated[str, typer.Option(help="Chat template that travels with the checkpoint.")] = "chatml",
    name: Annotated[str, typer.Option(help="What the model calls itself.")] = "llava-graph-untrained",
    seed: Annotated[int, typer.Option(help="Seed of the random weights.")] = 0,
) -> None:
    """Build a small untrained LLaVA model with its own tokenizer.

    Example: llava-graph model build --preset tiny --texts charts --out models/tiny
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}", next_step=did_you_mean(preset, PRESETS))
    shape = PRESETS[preset]
    model = build_checkpoint(out, shape=shape, texts=read_texts(texts), template=template, name=name, seed=seed)
    parameters = sum(weight.numel() for weight in model.parameters())
    typer.echo(f"{out}: {parameters / 1e6:.2f} M parameters, {shape.image_tokens} tokens an image, {asdict(shape)}")
