"""The loop of tokens: prompts are read and join the rows, every step gives each row a token, rows leave.

One thread calls it. Which prompts join when, and what becomes of the tokens, is decided elsewhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llava_graph.errors import ContextOverflow
from llava_graph.model.prompts import on_device, prompt_inputs
from llava_graph.sampling import GenerationOptions, Sampler, choose, end_ids, resolve

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from llava_graph.model.load import LoadedModel
    from llava_graph.prompt import Message

STACKED = ("pixel_values", "image_sizes")
"""What LLaVA's image processors make, image by image: that of several prompts stands in one tensor."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads for one answer, in the machine's memory."""

    inputs: dict[str, Any]
    ids: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """Images included."""
        return len(self.ids)


def prepare(loaded: LoadedModel, prompt: Sequence[Message] | str, images: Sequence[Image.Image]) -> Prompt:
    """Tokens and pixels of a prompt; needs no model, so it is done beside the loop.

    Raises InputError (see `prompt_inputs`), and ContextOverflow when no token of an answer would fit behind it.
    """
    inputs = prompt_inputs(loaded, prompt, images)
    ids = tuple(inputs["input_ids"][0].tolist())
    check_room(loaded, len(ids))
    return Prompt(inputs, ids)


def check_room(loaded: LoadedModel, tokens: int) -> int:
    """Tokens that an answer may have behind a prompt of `tokens`. Raises ContextOverflow for none."""
    room = loaded.context_length - tokens
    if room < 1:
        raise ContextOverflow(
            f"the prompt has {tokens} tokens (images included), the model reads {loaded.context_length}",
            next_step="Shorten the question or the context, or clear the chat",
        )
    return room


@dataclass(eq=False, slots=True)
class Row:
    """One answer that is being written."""

    sampler: Sampler
    ends: frozenset[int] = frozenset()
    """Tokens after which nothing more comes."""
    max_new_tokens: int = 256
    shift: int = 0
    """What m-rope adds to the position of the next token: an image takes fewer positions than tokens."""
    token: int = 0
    """The newest token, which the model has not read yet."""


def row_of(loaded: LoadedModel, prompt: Prompt, generation: GenerationOptions) -> Row:
    """The answer to a prompt, before its first token; as long as asked for and as the context has room."""
    sampler = Sampler(resolve(generation, loaded.model.generation_config), prompt.ids)
    most = min(generation.max_new_tokens, check_room(loaded, prompt.tokens))
    return Row(sampler, frozenset(end_ids(loaded, generation)), most)


class Batch:
    """The rows that are being written, with their keys and values."""

    def __init__(self, loaded: LoadedModel) -> None:
        from llava_graph.batched.cache import Rows

        self._loaded = loaded
        self._model = loaded.model
        self._cache = Rows()
        self._shifting = [module for module in self._model.modules() if "rope_deltas" in vars(module)]
        keeps = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if keeps else {}
        self.rows: list[Row] = []
        self.joins_several = loaded.counts_image_tokens
        """Whether several prompts can be read at once: where an image's tokens are all there is to it."""

    def admit(self, prompts: Sequence[Prompt], rows: Sequence[Row]) -> list[int]:
        """Read `prompts`, add their rows, and return each one's first token (NO_NUMBER: logits are not finite).

        Whatever it raises, the rows that were there are as before.
        """
        import torch
        from transformers import DynamicCache

        with torch.inference_mode():
            cache = DynamicCache()
            logits = self._read(prompts, rows, cache)
            tokens = choose([row.sampler for row in rows], logits)
            self._cache.join(cache, [prompt.tokens for prompt in prompts])
        for row, token in zip(rows, tokens, strict=True):
            row.token = token
        self.rows.extend(rows)
        return tokens

    def step(self) -> list[int]:
        """One more token for each of `rows`, in their order. Whatever it raises, it can be repeated."""
        import torch

        device, lengths = self._model.device, self._cache.lengths
        with torch.inference_mode():
            self._cache.reserve()
            columns = self._cache.columns
            sizes = torch.tensor(lengths, device=device)
            shifts = [length + row.shift for length, row in zip(lengths, self.rows, strict=True)]
            output = self._model(
                input_ids=torch.tensor([[row.token] for row in self.rows], device=device),
                attention_mask=(torch.arange(columns + 1, device=device) >= columns - sizes[:, None]).long(),
                position_ids=torch.tensor(shifts, device=device)[:, None],
                past_key_values=self._cache,
                use_cache=True,
            )
            tokens = choose([row.sampler for row in self.rows], output.logits[:, -1])
        self._cache.advance()
        for row, token in zip(self.rows, tokens, strict=True):
            row.token = token
        return tokens

    def remove(self, row: Row) -> None:
        """Take a row out, and free its place."""
        import torch

        place = next(place for place, one in enumerate(self.rows) if one is row)
        with torch.inference_mode():
            self._cache.leave(place)
        self.rows[place] = self.rows[-1]
        self.rows.pop()

    def clear(self) -> None:
        """Take all out and free the memory."""
        from llava_graph.batched.cache import Rows

        self.rows, self._cache = [], Rows()

    def _read(self, prompts: Sequence[Prompt], rows: Sequence[Row], cache: Any) -> torch.Tensor:
        """Logits (prompts, vocabulary) behind the prompts."""
        for module in self._shifting:
            module.rope_deltas = None
        inputs = prompts[0].inputs if len(prompts) == 1 else _side_by_side(prompts, self._filler())
        inputs = on_device(self._loaded, inputs)
        output = self._model(**inputs, past_key_values=cache, use_cache=True, **self._last_only)
        for module in self._shifting:
            if module.rope_deltas is not None:
                for row, shift in zip(rows, module.rope_deltas.reshape(-1).tolist(), strict=True):
                    row.shift = int(shift)
        return output.logits[:, -1]

    def _filler(self) -> int:
        """An id for masked places: any but the image's."""
        return 1 if self._model.config.image_token_id == 0 else 0


def _side_by_side(prompts: Sequence[Prompt], filler: int) -> dict[str, Any]:
    """Inputs of several prompts in one: ids padded on the left, images behind each other."""
    import torch

    longest = max(prompt.tokens for prompt in prompts)
    mask = torch.tensor([[int(place >= longest - p.tokens) for place in range(longest)] for p in prompts])
    made = {
        "input_ids": torch.tensor([[filler] * (longest - p.tokens) + list(p.ids) for p in prompts]),
        "attention_mask": mask,
        "position_ids": (mask.cumsum(-1) - 1).clamp(min=0),
    }
    for name in STACKED:
        if there := [prompt.inputs[name] for prompt in prompts if name in prompt.inputs]:
            made[name] = torch.cat(_padded(there) if name == "pixel_values" else there)
    return made


def _padded(pixels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """AnyRes: (images, tiles, 3, H, W) with as many tiles each, zeros behind an image's own, as its processor pads."""
    import torch

    if pixels[0].dim() == 4:
        return list(pixels)
    tiles = max(tensor.shape[1] for tensor in pixels)
    return [torch.nn.functional.pad(one, (0, 0, 0, 0, 0, 0, 0, tiles - one.shape[1])) for one in pixels]
