"""Explanations in the loop. In: a few records of the evaluation set, the model in training. Out: answers, scored, in a file.

The records are the same at every evaluation. Answers are greedy: a run draws no random number that it would not draw without.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer

from llava_graph.chat import IGNORE_INDEX, count_images
from llava_graph.durable import write_text
from llava_graph.errors import InputError
from llava_graph.evaluate import number_fidelity, rouge_l
from train.batching.encoding import PER_TOKEN
from train.running.distributed import is_sharded

if TYPE_CHECKING:
    from torch import nn

    from llava_graph.prompt import Message
    from train.batching.batches import TrainingSet
    from train.flags.arguments import Command

log = logging.getLogger(__name__)

FOLDER = "samples"
MAX_ANSWER = 256
"""Tokens of an answer."""
SHOWN, SHOWN_LETTERS = 2, 300
"""Answers that are told at each evaluation, and how much of each."""


def check_watch(command: Command) -> None:
    """Before anything is loaded. Raises InputError where --eval_generate would do nothing."""
    data = command.data
    if not data.eval_generate:
        return
    if not (data.eval_split or data.eval_data_path):
        raise InputError("--eval_generate has no records to explain", next_step="Add --eval_split validation")
    if command.training.eval_strategy == "no":
        raise InputError("--eval_generate without evaluations", next_step="Add --eval_strategy steps or epoch")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A record up to its first answer."""

    name: str
    prompt: str
    """The text of all messages before the answer."""
    target: str
    input_ids: list[int]
    inputs: dict[str, torch.Tensor]
    """Of its images."""
    ends: frozenset[int]
    """Tokens that end an answer, as its template writes them."""


def choose(total: int, count: int, seed: int) -> list[int]:
    """`count` rows of `total`, in order; the same for the same seed."""
    return sorted(random.Random(seed).sample(range(total), min(count, total)))  # noqa: S311  (no secret)


def read_question(dataset: TrainingSet, row: int, special: frozenset[int]) -> Question:
    """The question of a row. `special`: tokens of the template's own. Raises SampleRefused, ImageError."""
    sample = dataset.look_up(row)
    place = next(index for index, message in enumerate(sample.messages) if message["role"] == "assistant")
    before = sample.messages[:place]
    first = replace(sample, messages=sample.messages[: place + 1], images=sample.images[: count_images(before)])
    encoded = dataset.encoder.encode(first)
    start = next(index for index, label in enumerate(encoded.labels) if label != IGNORE_INDEX)
    last = next(label for label in reversed(encoded.labels) if label != IGNORE_INDEX)
    inputs = dataset.encoder.vision(first)
    return Question(
        name=sample.name,
        prompt="\n".join(_text(message) for message in before).strip(),
        target=_text(sample.messages[place]).strip(),
        input_ids=encoded.input_ids[:start],
        inputs={name: value[:, :start] if name in PER_TOKEN else value for name, value in inputs.items()},
        ends=frozenset({last} & special),
    )


def _text(message: Message) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout, gradients and compilation (of every length anew); afterwards each module is as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for module in training:
            module.training = True


def answer(model: Any, tokenizer: Any, question: Question, limit: int) -> list[int]:
    """The greedy answer's tokens without the one that ends it, at most `limit`."""
    place = next(model.parameters()).device
    ids = torch.tensor([question.input_ids], device=place)
    own = model.generation_config.eos_token_id
    ends = {*question.ends, *(own if isinstance(own, list) else [own]), tokenizer.eos_token_id} - {None}
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        **{name: value.to(place) for name, value in question.inputs.items()},
        max_new_tokens=limit,
        use_cache=True,
        do_sample=False,
        num_beams=1,
        temperature=None,
        top_p=None,
        top_k=None,
        eos_token_id=sorted(ends) or None,
        pad_token_id=tokenizer.pad_token_id,
    )
    told = output[0, ids.shape[1] :].tolist()
    return told[: next((index for index, token in enumerate(told) if token in ends), len(told))]


def score(question: Question, text: str, tokens: int) -> dict[str, Any]:
    """A line of samples/step-N.jsonl. Numbers may be borne out by the prompt (caption, figure text, table) or the target."""
    fidelity = number_fidelity(text, [question.prompt, question.target])
    return {
        "id": question.name,
        "prompt": question.prompt,
        "answer": text,
        "target": question.target,
        "rouge_l": round(rouge_l(text, question.target).f1, 4),
        "numbers": len(fidelity.numbers),
        "unsupported_numbers": [number.text for number in fidelity.unsupported],
        "tokens": tokens,
    }


def summarize(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Means over records; of all numbers in all answers the share that is borne out, 0 where no answer has a number."""
    if not lines:
        return {}
    numbers = sum(line["numbers"] for line in lines)
    unsupported = sum(len(line["unsupported_numbers"]) for line in lines)
    return {
        "eval_rouge_l": sum(line["rouge_l"] for line in lines) / len(lines),
        "eval_number_fidelity": 1 - unsupported / numbers if numbers else 0.0,
        "eval_answer_numbers": numbers / len(lines),
        "eval_answer_tokens": sum(line["tokens"] for line in lines) / len(lines),
    }


class Watch:
    """Explains `count` records of `dataset` at every evaluation; `say` tells a person."""

    def __init__(
        self, dataset: TrainingSet, tokenizer: Any, *, count: int, seed: int, say: Callable[[str], None]
    ) -> None:
        self._dataset, self._tokenizer, self._say = dataset, tokenizer, say
        self.rows = choose(len(dataset), count, seed)
        self._special = frozenset(tokenizer.all_special_ids)

    def explain(self, trainer: Trainer) -> dict[str, float]:
        """Metrics of all answers; they are written to samples/step-N.jsonl. All processes call it.

        Where each process holds the whole model, the records are shared out; where the weights are cut up, all processes
        explain the same record together: they must run the same modules in the same order.
        """
        from accelerate.utils import gather_object

        begun = time.perf_counter()
        together = is_sharded(trainer.args)
        mine = self.rows if together else self.rows[trainer.args.process_index :: trainer.args.world_size]
        with evaluating(trainer.model):
            lines = [line for row in mine if (line := self._line(trainer.model, row)) is not None]
        if not together:
            lines = gather_object(lines)
        lines.sort(key=lambda line: line["id"])
        if trainer.args.should_save:
            self._keep(lines, Path(trainer.args.output_dir) / FOLDER / f"step-{trainer.state.global_step}.jsonl")
        return {**summarize(lines), "eval_generate_seconds": round(time.perf_counter() - begun, 3)}

    def _line(self, model: Any, row: int) -> dict[str, Any] | None:
        try:
            question = read_question(self._dataset, row, self._special)
        except InputError as error:
            log.warning("%s is not explained: %s", self._dataset.name(row), error)
            return None
        limit = max(min(MAX_ANSWER, self._dataset.max_length - len(question.input_ids)), 1)
        tokens = answer(model, self._tokenizer, question, limit)
        return score(question, self._tokenizer.decode(tokens, skip_special_tokens=True).strip(), len(tokens))

    def _keep(self, lines: Sequence[dict[str, Any]], file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        for line in lines[:SHOWN]:
            self._say(f"{line['id']}  ROUGE-L {line['rouge_l']:.2f}\n    {_short(line['answer'])}")


def build_watch(
    command: Command, dataset: TrainingSet | None, tokenizer: Any, say: Callable[[str], None]
) -> Watch | None:
    """What evaluations explain beside the loss; None: nothing."""
    count = command.data.eval_generate
    if dataset is None or not count:
        return None
    return Watch(dataset, tokenizer, count=count, seed=command.training.seed, say=say)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN_LETTERS else f"{flat[:SHOWN_LETTERS]} …"


class WatchedTrainer(Trainer):
    """A Trainer whose evaluations also explain records (`watch`; None: they do not)."""

    def __init__(self, *, watch: Watch | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._watch = watch
        self._scores: dict[str, float] = {}

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As ever, after the explanations, whose time is not that of the evaluation."""
        self._scores = {} if self._watch is None else self._watch.explain(self)
        return super().evaluate(*args, **kwargs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """As ever; the scores of the explanations join the other metrics before anything looks at them."""
        output = super().evaluation_loop(*args, **kwargs)
        output.metrics.update(self._scores)
        return output
