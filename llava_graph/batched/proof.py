"""Whether a model's answers are the same in a batch as alone: tried out on a made-up conversation. In: a model. Out: a reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from llava_graph.batched.batch import Batch, Prompt, Row, prepare
from llava_graph.model.prompts import on_device
from llava_graph.sampling import Sampler, Sampling

if TYPE_CHECKING:
    import torch

    from llava_graph.model.load import LoadedModel
    from llava_graph.prompt import Message

TOKENS = 6
"""Of each answer."""
EXACT, ROUNDED = 1e-3, 0.1
"""Largest difference of logits, as a part of the largest logit: of float32, where only the order of additions differs, and of
shorter types. A wrong mask or position is off by a third and more."""
LONGEST_WINDOW = 1024
"""Tokens of a sliding window that the conversation is made longer than; a longer one would take minutes on a CPU."""
OWN_WAYS = (
    "no_repeat_ngram_size", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "sequence_bias", "guidance_scale",
    "forced_bos_token_id", "forced_eos_token_id", "min_length", "min_new_tokens", "exponential_decay_length_penalty",
    "encoder_repetition_penalty", "encoder_no_repeat_ngram_size", "watermarking_config", "prompt_lookup_num_tokens",
)  # fmt: skip
"""Settings of a checkpoint's generation_config under which only transformers' own generate() writes as it asks."""


def prove(loaded: LoadedModel) -> str:
    """Why the model cannot answer in batches; empty: its logits were those of the answers alone."""
    config, generation = loaded.model.config, loaded.model.generation_config
    if getattr(config, "is_encoder_decoder", False):
        return "it has an encoder and a decoder"
    if told := [name for name in OWN_WAYS if getattr(generation, name, None)]:
        return f"its generation_config sets {', '.join(told)}"
    window = sliding_window(config)
    if window > LONGEST_WINDOW and window < loaded.context_length:
        return f"its sliding window of {window} tokens is too long to be tried"
    try:
        prompts = _conversations(loaded, window)
        answers = [_alone(loaded, prompt) for prompt in prompts]
        if wordy := _without_image(loaded):
            prompts, answers = [*prompts, wordy[0]], [*answers, wordy[1]]
        alone = [logits for _, logits in answers]
        together = _together(loaded, prompts, [tokens for tokens, _ in answers])
    except Exception as error:  # noqa: BLE001  (whatever a model does in a batch, it is served without one)
        return f"it fails in a batch ({type(error).__name__}: {str(error).strip().splitlines()[0][:150]})"
    worst = max(map(_distance, alone, together))
    limit = EXACT if next(loaded.model.parameters()).element_size() >= 4 and not _quantized(loaded) else ROUNDED
    return "" if worst <= limit else f"its logits in a batch differ by {worst:.2g} of their size from those alone"


def sliding_window(config: Any) -> int:
    """Tokens that a layer with a sliding window sees; 0 where all layers see everything."""
    text = config.get_text_config()
    window = getattr(text, "sliding_window", None) or 0
    kinds = getattr(text, "layer_types", None)
    return 0 if kinds is not None and not any("sliding" in kind or "chunked" in kind for kind in kinds) else int(window)


def _quantized(loaded: LoadedModel) -> bool:
    return getattr(loaded.model, "hf_quantizer", None) is not None


def _conversations(loaded: LoadedModel, window: int) -> list[Prompt]:
    """A short prompt with an image, and one of another length and beyond the window."""
    from PIL import Image

    images = [Image.linear_gradient("L").resize(size).convert("RGB") for size in ((96, 64), (64, 64))]
    shown, asked = {"type": "image"}, "Which of the two curves is higher at the end, and by how much? "
    prompts = [
        prepare(loaded, [_user(shown, "What does the figure show?")], images[:1]),
        prepare(loaded, [_user(shown, asked * (2 + window // 8))], images[1:]),
    ]
    if prompts[-1].tokens <= window:
        raise ValueError("no prompt beyond the sliding window")
    return prompts


def _without_image(loaded: LoadedModel) -> tuple[Prompt, tuple[list[int], list[torch.Tensor]]] | None:
    """A prompt of text alone, with its answer alone; None for a model that always wants an image."""
    try:
        prompt = prepare(loaded, [_user("Thank you.")], [])
        return prompt, _alone(loaded, prompt)
    except Exception:  # noqa: BLE001  (then it has nothing to show here)
        return None


def _user(*parts: Any) -> Message:
    content = [part if isinstance(part, dict) else {"type": "text", "text": part} for part in parts]
    return {"role": "user", "content": content}


def _alone(loaded: LoadedModel, prompt: Prompt) -> tuple[list[int], list[torch.Tensor]]:
    """An answer's tokens and the logits (vocabulary,) of each, as transformers' own generate() has them."""
    import torch

    with torch.inference_mode():
        made = loaded.model.generate(
            **on_device(loaded, prompt.inputs),
            do_sample=False,
            num_beams=1,
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            output_logits=True,
            return_dict_in_generate=True,
        )
    return made.sequences[0, prompt.tokens :].tolist(), [step[0].float() for step in made.logits]


class _Listener(Sampler):
    """Keeps the logits and goes on as the answer alone went on."""

    def __init__(self, tokens: Sequence[int]) -> None:
        super().__init__(Sampling())
        self.logits: list[torch.Tensor] = []
        self._tokens = tokens

    @property
    def plain(self) -> bool:
        return False

    def pick(self, logits: torch.Tensor) -> torch.Tensor:
        self.logits.append(logits.clone())
        return logits.new_tensor(self._tokens[min(len(self.logits), len(self._tokens)) - 1]).long()


def _together(
    loaded: LoadedModel, prompts: Sequence[Prompt], tokens: Sequence[Sequence[int]]
) -> list[list[torch.Tensor]]:
    """The same logits in a batch: one after the other joins, together where that can be, and the first leaves early."""
    batch = Batch(loaded)
    listeners = [_Listener(one) for one in tokens]
    rows = [Row(listener) for listener in listeners]
    later = list(range(1, len(rows)))
    for group in [[0], later] if batch.joins_several else [[0], *([place] for place in later)]:
        batch.admit([prompts[place] for place in group], [rows[place] for place in group])
        batch.step()
    while len(listeners[0].logits) < TOKENS:
        batch.step()
    batch.remove(rows[0])
    while len(listeners[-1].logits) < TOKENS:
        batch.step()
    return [listener.logits[:TOKENS] for listener in listeners]


def _distance(alone: Sequence[torch.Tensor], together: Sequence[torch.Tensor]) -> float:
    """The largest difference of logits, as a part of the largest logit; not finite: infinitely far."""
    pairs = [(float((one - other).abs().max()), float(one.abs().max())) for one, other in zip_longest(alone, together)]
    return max(apart / max(size, 1e-6) if math.isfinite(apart) else math.inf for apart, size in pairs)
