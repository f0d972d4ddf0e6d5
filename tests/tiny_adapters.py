"""Models with LoRA as a command prepares them, and their logits."""

import torch
from tiny_run import arguments

from llava_graph.model import load
from train.flags.command import parse_command
from train.learning.stages import prepare

LORA = {"lora_enable": True, "lora_r": 4, "lora_alpha": 8}


def prepared(checkpoint, **more):
    command = parse_command(arguments(checkpoint, "squares", "out", **{**LORA, **more}))
    return prepare(load(checkpoint, device="cpu"), command).model.eval()


def logits(model, size=64):
    """Of an image between some tokens, in float32."""
    tokens = (size // model.config.vision_config.patch_size) ** 2
    ids = torch.tensor(
        [[2, *[model.config.image_token_id] * tokens, 7, 8, 9, model.config.get_text_config().vocab_size - 1]]
    )
    pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return model.eval()(input_ids=ids, pixel_values=pixels).logits.float()


def close(one, two):
    """Equal but for the order of additions."""
    assert (one - two).abs().max() < 1e-5 * max(1, one.abs().max())
    return True
