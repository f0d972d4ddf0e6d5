"""Messages, or a rendered prompt, and images in; the model's inputs out.

A LLaVA's prompts are rendered and counted by us (`llava_graph.chat`); any other model's go through its own processor, which
alone knows what it writes in the place of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError

from llava_graph.chat import IMAGE_TOKEN, count_images, encode_prompt, encode_text, neutralise, render
from llava_graph.errors import InputError
from llava_graph.prompt import Message

if TYPE_CHECKING:
    from PIL import Image
    from transformers import ProcessorMixin

    from llava_graph.model.load import LoadedModel

LLAVA_PROCESSORS = ("LlavaProcessor", "LlavaNextProcessor")
"""Under these an image stands in a prompt as so many image tokens and nothing else."""

PROCESSOR_ERRORS = (ValueError, TypeError, KeyError, IndexError, RuntimeError, TemplateError)
"""What processors raise for images and texts that they cannot take."""


def model_inputs(loaded: LoadedModel, prompt: Sequence[Message] | str, images: Sequence[Image.Image]) -> dict[str, Any]:
    """What the model takes for an answer, on its device: `input_ids` and `attention_mask` (1, tokens), and its images.

    See `prompt_inputs` for the errors.
    """
    return on_device(loaded, prompt_inputs(loaded, prompt, images))


def prompt_inputs(
    loaded: LoadedModel, prompt: Sequence[Message] | str, images: Sequence[Image.Image]
) -> dict[str, Any]:
    """The same in the machine's memory: the part that needs no model, and may be done in another thread.

    A prompt that is already rendered (as FastChat's protocol sends it) has `<image>` in the place of each image. Raises
    InputError when images and places do not match, or the processor cannot take them.
    """
    import torch

    places = prompt.count(IMAGE_TOKEN) if isinstance(prompt, str) else count_images(prompt)
    if places != len(images):
        raise InputError(f"the prompt has {places} image placeholder(s) for {len(images)} image(s)")
    if loaded.counts_image_tokens:
        ids = torch.tensor([_ids(loaded, prompt, images)])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **loaded.prepare(images)}
    text = prompt if isinstance(prompt, str) else render_prompt(loaded, prompt)
    return _processed(loaded.processor, text, images)


def on_device(loaded: LoadedModel, inputs: dict[str, Any]) -> dict[str, Any]:
    """Tensors where the model is, floating ones in its type."""
    model = loaded.model
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else None)
        for name, value in inputs.items()
    }


def render_prompt(loaded: LoadedModel, messages: Sequence[Message]) -> str:
    """The conversation as the model's template writes it, open for the answer; `<image>` stands for each image."""
    if loaded.counts_image_tokens:
        tokenizer = loaded.tokenizer
        names = {"bos_token": tokenizer.bos_token or "", "eos_token": tokenizer.eos_token or ""}
        return render(messages, loaded.template, add_generation_prompt=True, **names)
    text = _rendered(loaded.processor, neutralise(messages, special_tokens(loaded.processor)))
    return text.replace(image_mark(loaded.processor), IMAGE_TOKEN)


def count_tokens(loaded: LoadedModel, prompt: str) -> int:
    """Tokens of a rendered prompt; each `<image>` counts as a small image's tokens, where its size matters."""
    images = prompt.count(IMAGE_TOKEN)
    if loaded.counts_image_tokens:
        return len(encode_text(prompt, loaded.tokenizer, loaded.image_tokens, images))
    return int(_processed(loaded.processor, prompt, [_blank()] * images)["input_ids"].shape[1])


def _ids(loaded: LoadedModel, prompt: Sequence[Message] | str, images: Sequence[Image.Image]) -> list[int]:
    tokens = [loaded.tokens_of(image.size) for image in images]
    if isinstance(prompt, str):
        return encode_text(prompt, loaded.tokenizer, tokens, len(images))
    return encode_prompt(prompt, loaded.tokenizer, loaded.template, tokens)


def _blank(size: tuple[int, int] = (64, 64)) -> Image.Image:
    from PIL import Image

    return Image.new("RGB", size, "white")


def _processed(processor: ProcessorMixin, text: str, images: Sequence[Image.Image]) -> dict[str, Any]:
    text = text.replace(IMAGE_TOKEN, image_mark(processor))
    shown = {"images": [list(images)]} if images else {}
    try:
        made = processor(text=[text], add_special_tokens=_adds_bos(processor, text), return_tensors="pt", **shown)
    except PROCESSOR_ERRORS as error:
        raise InputError(f"the model's processor cannot take it ({' '.join(str(error).split())[:200]})") from error
    return dict(made)


def _adds_bos(processor: ProcessorMixin, text: str) -> bool:
    """Whether the tokenizer is to begin the text: not when the template has done so (transformers decides alike)."""
    bos = processor.tokenizer.bos_token
    return not (bos and text.startswith(bos))


def _rendered(processor: ProcessorMixin, messages: Sequence[Message]) -> str:
    try:
        return str(processor.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
    except PROCESSOR_ERRORS as error:
        raise InputError(f"the chat template cannot render this conversation ({error})") from error


def image_mark(processor: ProcessorMixin) -> str:
    """What the processor's template writes in the place of an image: Qwen's <|vision_start|><|image_pad|><|vision_end|>."""
    text = {"type": "text", "text": "?"}
    without, shown = (
        _rendered(processor, [{"role": "user", "content": content}]) for content in ([text], [{"type": "image"}, text])
    )
    head = _shared(without, shown)
    tail = _shared(without[head:][::-1], shown[head:][::-1])
    mark = shown[head : len(shown) - tail]
    if not mark:
        raise InputError("the chat template leaves images out")
    return mark


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def count_image_tokens(processor: ProcessorMixin, size: tuple[int, int] = (64, 64)) -> int:
    """Tokens by which an image of `size` (width, height in px) makes a prompt longer, by asking the processor itself.

    With what is written around it, except under LLaVA's processors: there it is the number of image tokens.
    """
    if type(processor).__name__ in LLAVA_PROCESSORS:
        ids = processor(text=processor.image_token, images=_blank(size))["input_ids"][0]
        return list(ids).count(processor.image_token_id)
    text, image = {"type": "text", "text": "?"}, {"type": "image"}
    without, shown = (
        _processed(processor, _rendered(processor, [{"role": "user", "content": content}]), images)["input_ids"]
        for content, images in (([text], []), ([image, text], [_blank(size)]))
    )
    return int(shown.shape[1] - without.shape[1])


def special_tokens(processor: ProcessorMixin) -> list[str]:
    """Whatever means more to a processor than its letters."""
    tokenizer = processor.tokenizer
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    marks = getattr(processor, "all_special_multimodal_tokens", [])
    return sorted({*tokenizer.all_special_tokens, *added, *marks})
