"""How the next token is chosen. In: what a person asked for and logits. Out: token ids.

One answer has one `Sampler` with a generator of its own: what it draws depends on its seed and its logits, never on what is
computed beside it. Answers alone and answers in a batch go through the same lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llava_graph.errors import InputError

if TYPE_CHECKING:
    import torch

    from llava_graph.model.load import LoadedModel

GREEDY_BELOW = 1e-4
"""A temperature under it means greedy (FastChat's threshold)."""
NO_NUMBER = -1
"""Instead of a token id where a model's logits are no finite numbers."""


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """How the answer is sampled. None: as the checkpoint's own generation_config says."""

    max_new_tokens: int = 256
    temperature: float | None = None
    """0 is greedy."""
    top_p: float | None = None
    top_k: int | None = None
    """0 takes all tokens."""
    repetition_penalty: float | None = None
    """Divides the logits of tokens that prompt and answer have already (arXiv:1909.05858)."""
    presence_penalty: float = 0.0
    """Taken from the logits of tokens that the answer has already (OpenAI's)."""
    frequency_penalty: float = 0.0
    """The same, once for each time that it has them."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these."""
    stop_token_ids: tuple[int, ...] = ()
    seed: int | None = None
    """The same seed draws the same answer, whatever is computed beside it."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if self.temperature is not None and self.temperature < 0:
            raise InputError(f"temperature must be >= 0, got {self.temperature}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be in (0, 1], got {self.top_p}")
        if self.top_k is not None and self.top_k < 0:
            raise InputError(f"top_k must be >= 0, got {self.top_k}")
        if self.repetition_penalty is not None and self.repetition_penalty <= 0:
            raise InputError(f"repetition_penalty must be > 0, got {self.repetition_penalty}")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """`GenerationOptions` with the checkpoint's own settings filled in: numbers only."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None

    @property
    def greedy(self) -> bool:
        """The likeliest token is taken, none is drawn."""
        return self.temperature <= GREEDY_BELOW

    @property
    def penalised(self) -> bool:
        """What was written changes the logits."""
        return self.repetition_penalty != 1 or bool(self.presence_penalty or self.frequency_penalty)


def resolve(options: GenerationOptions, own: Any) -> Sampling:
    """Fill in what `options` leave open from `own`, a transformers GenerationConfig."""
    temperature = options.temperature
    if temperature is None:
        temperature = (_told(own.temperature, 1.0)) if own.do_sample else 0.0
    penalty = options.repetition_penalty
    return Sampling(
        temperature=temperature,
        top_p=_told(own.top_p, 1.0) if options.top_p is None else options.top_p,
        top_k=int(_told(own.top_k, 0)) if options.top_k is None else options.top_k,
        min_p=_told(getattr(own, "min_p", None), 0.0),
        repetition_penalty=_told(own.repetition_penalty, 1.0) if penalty is None else penalty,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        seed=options.seed,
    )


def _told(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def end_ids(loaded: LoadedModel, generation: GenerationOptions) -> set[int]:
    """Tokens that end an answer: the checkpoint's own and those asked for."""
    ends = loaded.model.generation_config.eos_token_id
    own = ends if isinstance(ends, list) else [ends]
    return {*generation.stop_token_ids, *(token for token in own if token is not None)}


class Sampler:
    """Chooses the tokens of one answer, one after the other."""

    def __init__(self, sampling: Sampling, prompt: Iterable[int] = ()) -> None:
        """`prompt`: the ids before the answer; only the repetition penalty looks at them."""
        self.sampling = sampling
        self._prompt = list(prompt) if sampling.repetition_penalty != 1 else []
        self._generator: torch.Generator | None = None
        self._counts: torch.Tensor | None = None
        self._seen: torch.Tensor | None = None

    @property
    def plain(self) -> bool:
        """The likeliest token as the model gives it: no state, and rows can be chosen together."""
        return self.sampling.greedy and not self.sampling.penalised

    def pick(self, logits: torch.Tensor) -> torch.Tensor:
        """The next token, a 0-d tensor, of float32 `logits` (vocabulary,)."""
        scores = self._penalise(logits) if self.sampling.penalised else logits
        token = scores.argmax() if self.sampling.greedy else self._draw(scores)
        if self._counts is not None and self._seen is not None:
            self._counts[token] += 1
            self._seen[token] = True
        return token

    def _penalise(self, logits: torch.Tensor) -> torch.Tensor:
        import torch

        asked = self.sampling
        if self._counts is None or self._seen is None:
            self._counts = torch.zeros_like(logits)
            self._seen = torch.zeros_like(logits, dtype=torch.bool)
            self._seen[torch.tensor(self._prompt, dtype=torch.long, device=logits.device)] = True
        scores = logits
        if asked.repetition_penalty != 1:
            lowered = torch.where(logits < 0, logits * asked.repetition_penalty, logits / asked.repetition_penalty)
            scores = torch.where(self._seen, lowered, logits)
        return scores - asked.frequency_penalty * self._counts - asked.presence_penalty * (self._counts > 0)

    def _draw(self, scores: torch.Tensor) -> torch.Tensor:
        """From the softmax, cut by top_k, top_p and min_p. The race of exponentials (as torch.multinomial runs it), over all
        of the vocabulary in its own order: rounding in the logits changes a draw only where two tokens tie.
        """
        import torch

        asked = self.sampling
        if self._generator is None:
            self._generator = torch.Generator(scores.device)
            if asked.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(asked.seed % 2**63)
        scores = scores / asked.temperature
        if 0 < asked.top_k < scores.shape[-1]:
            scores = scores.masked_fill(scores < scores.topk(asked.top_k).values[-1], float("-inf"))
        likely = scores.softmax(-1)
        if asked.top_p < 1:
            ordered = likely.sort(descending=True).values
            kept = (ordered.cumsum(-1) - ordered < asked.top_p).sum()
            likely = likely.masked_fill(likely < ordered[kept - 1], 0)
        if asked.min_p > 0:
            likely = likely.masked_fill(likely < asked.min_p * likely.max(), 0)
        race = torch.empty_like(likely).exponential_(generator=self._generator)
        return (likely / race).argmax()


def choose(samplers: Sequence[Sampler], logits: torch.Tensor) -> list[int]:
    """The next token of each answer from `logits` (answers, vocabulary); NO_NUMBER where they are not finite."""
    import torch

    logits = logits.float()
    chosen = logits.argmax(-1)
    for row, sampler in enumerate(samplers):
        if not sampler.plain:
            chosen[row] = sampler.pick(logits[row])
    # One transfer for all rows. A model may forbid a token by -inf; NaN and +inf are no answers.
    return list(torch.where(logits.amax(-1).isfinite(), chosen, NO_NUMBER).tolist())
