"""Answers of a model to many questions about many figures, in batches, under several contexts.

In: a checkpoint and a folder of `packaged_items`. Out: answers.json, {condition: {figure id: [answer, …]}}. Runs on a GPU where
there is one; stops at a time limit with whole conditions.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from llava_graph.chat import encode_prompt
from llava_graph.dataset import read_dataset
from llava_graph.images import open_image
from llava_graph.misreading import misread
from llava_graph.model import LoadedModel, load
from llava_graph.prompt import PromptOptions, build_messages
from llava_graph.record import Figure

BUDGET = 448
"""Tokens of context, as in training."""
LONG, SHORT = 220, 72
"""Tokens of an explanation and of an answer at most."""
ERRORS = 0.25
"""Share of the lines that are lost or misread under "errors"."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What the model is shown."""

    image: bool = True
    caption: bool = True
    ocr: bool = True
    boxes: bool = True
    errors: float = 0.0

    @property
    def options(self) -> PromptOptions:
        """Of the prompt."""
        style = "boxes" if self.boxes else "words"
        return PromptOptions(
            caption=self.caption, ocr=self.ocr, ocr_style=style, table=False, max_context_tokens=BUDGET
        )

    def shown(self, figure: Figure) -> Figure:
        """The figure as the model gets it."""
        ocr = misread(figure.ocr, self.errors, random.Random(figure.id)) if self.errors else figure.ocr
        return replace(figure, image=figure.image if self.image else None, ocr=ocr)


CONDITIONS = {
    "image + caption + OCR": Condition(),
    "image + OCR": Condition(caption=False),
    "image + caption": Condition(ocr=False),
    "image alone": Condition(caption=False, ocr=False),
    "caption + OCR, no image": Condition(image=False),
    "OCR without boxes": Condition(boxes=False),
    "OCR with errors": Condition(errors=ERRORS),
}
"""The first is how the product asks; the others leave something out."""


def main() -> None:
    """Answer and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--conditions", nargs="*", default=list(CONDITIONS), choices=list(CONDITIONS))
    parser.add_argument("--fewer", type=int, default=1, help="Under all conditions but the first, every n-th figure.")
    parser.add_argument("--seconds", type=float, default=1e9, help="No condition is begun after so long.")
    parser.add_argument("--batch", type=int, default=384 if torch.cuda.is_available() else 8)
    options = parser.parse_args()
    begun = time.monotonic()
    figures = list(read_dataset(options.items))
    asked = json.loads((options.items / "questions.json").read_text(encoding="utf-8"))
    answerer = Answerer(options.model, options.batch)
    answers: dict[str, dict[str, list[str]]] = {}
    for number, name in enumerate(options.conditions):
        if time.monotonic() - begun > options.seconds:
            break
        chosen = figures if not number else figures[:: options.fewer]
        answers[name] = answerer.answer(chosen, asked, CONDITIONS[name])
        print(f"{name}: {len(chosen)} figures, {time.monotonic() - begun:.0f} s", flush=True)
        options.out.write_text(json.dumps(answers, ensure_ascii=False, indent=0), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Prompt:
    figure: str
    number: int
    """Of the question."""
    ids: list[int]
    long: bool


class Answerer:
    """A model that answers greedily, many prompts at a time."""

    def __init__(self, path: Path | None, batch: int) -> None:
        gpu = torch.cuda.is_available()
        self.loaded: LoadedModel = load(path, device="cuda" if gpu else "cpu", dtype="bfloat16" if gpu else "float32")
        self.batch = batch
        self._pixels: dict[str, torch.Tensor] = {}

    def answer(
        self, figures: Sequence[Figure], asked: dict[str, list[str | None]], condition: Condition
    ) -> dict[str, list[str]]:
        """figure id -> an answer a question."""
        prompts = [prompt for figure in figures for prompt in self._prompts(figure, asked[figure.id], condition)]
        prompts.sort(key=lambda prompt: (prompt.long, len(prompt.ids)))
        answers = {figure.id: [""] * len(asked[figure.id]) for figure in figures}
        for group in _batches(prompts, self.batch):
            for prompt, text in zip(group, self._generate(group, condition), strict=True):
                answers[prompt.figure][prompt.number] = text
        return answers

    def _prompts(self, figure: Figure, questions: Sequence[str | None], condition: Condition) -> Iterator[_Prompt]:
        shown, loaded = condition.shown(figure), self.loaded
        images = [open_image(shown.image)] if shown.image is not None else []
        if images and figure.id not in self._pixels:
            pixels = loaded.prepare(images)["pixel_values"]
            self._pixels[figure.id] = pixels.to(loaded.model.device, loaded.model.dtype)
        tokens = [loaded.tokens_of(image.size) for image in images]
        for number, question in enumerate(questions):
            messages = build_messages(shown, question, condition.options, count_tokens=self._count)
            ids = encode_prompt(messages, loaded.tokenizer, loaded.template, tokens)
            yield _Prompt(figure.id, number, ids, question is None)

    def _count(self, text: str) -> int:
        return len(self.loaded.tokenizer(text, add_special_tokens=False)["input_ids"])

    @torch.inference_mode()
    def _generate(self, group: Sequence[_Prompt], condition: Condition) -> list[str]:
        """Padded on the left, so that all answers begin at the same place."""
        loaded = self.loaded
        longest = max(len(prompt.ids) for prompt in group)
        pad = loaded.tokenizer.pad_token_id
        ids = torch.tensor(
            [[pad] * (longest - len(prompt.ids)) + prompt.ids for prompt in group], device=loaded.model.device
        )
        inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": (ids != pad).long()}
        if condition.image:
            inputs["pixel_values"] = torch.cat([self._pixels[prompt.figure] for prompt in group])
        limit = LONG if group[0].long else SHORT
        made = loaded.model.generate(**inputs, do_sample=False, max_new_tokens=limit)[:, longest:]
        return [text.strip() for text in loaded.tokenizer.batch_decode(made, skip_special_tokens=True)]


def _batches(prompts: Sequence[_Prompt], size: int) -> Iterator[Sequence[_Prompt]]:
    """Of the same kind and of about the same length."""
    for long in (False, True):
        kind = [prompt for prompt in prompts if prompt.long == long]
        yield from (kind[start : start + size] for start in range(0, len(kind), size))


if __name__ == "__main__":
    main()
