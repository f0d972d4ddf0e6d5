"""PA-LLaVA's cleaning of a data set of ours: is it a pathology image, is it human, has it words enough? A model says yes or no.

In: a data set and any model behind a chat endpoint. Out: a data set of what passed; what did not is in its dropped.parquet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from llava_graph.dataset import BuildSummary, DatasetWriter, read_dataset
from llava_graph.durable import read_json
from llava_graph.errors import ImageError, InputError, did_you_mean
from llava_graph.explain import Answerer
from llava_graph.images import open_image
from llava_graph.prompt import Message, text_message
from llava_graph.record import Dropped, Figure
from llava_graph.sampling import GenerationOptions
from scicap_builder.progress import tell
from scicap_builder.sources.pa_llava import MIN_WORDS

STEPS = ("words", "pathology", "human")
"""The published order asks about images first; counting words costs nothing and comes first here. What passes is the same."""
QUESTIONS = {
    "pathology": "Is this a pathology image, tissue or cells seen through a microscope? Answer yes or no.",
    "human": (
        "This is the caption of a pathology image:\n\n{text}\n\nIs it about human tissue? If it names an animal (mouse, rat, "
        "rabbit, pig, dog, …), answer no. If it names no species, answer yes. Answer yes or no."
    ),
}
REASONS = {"words": "short-caption", "pathology": "no-pathology", "human": "not-human"}
UNCLEAR = "unclear-verdict"
VERDICT = GenerationOptions(max_new_tokens=64, temperature=0)
MAX_TEXT_CHARS = 4000
"""Of a caption in a question; the species stands in its beginning or nowhere."""
RECORDS_PER_SHARD = 256
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """Which steps, in which order."""

    steps: tuple[str, ...] = STEPS
    min_words: int = MIN_WORDS
    workers: int = 4
    """Questions asked at once."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        for step in self.steps:
            if step not in STEPS:
                raise InputError(f"unknown step {step!r}", next_step=did_you_mean(step, STEPS))
        if not self.steps or self.workers < 1:
            raise InputError("a cleaning needs a step and a worker")

    @property
    def asks(self) -> bool:
        """Whether a model is needed."""
        return any(step in QUESTIONS for step in self.steps)


def clean(folder: Path, out: Path, model: Answerer | None, options: CleanOptions = CleanOptions()) -> BuildSummary:
    """Write the records of `folder` that pass every step to the data set `out`. Killed, the same call goes on.

    Raises InputError (a step needs a model), DatasetError, and ServeError of the model's server, with all verdicts so far kept.
    """
    if options.asks and model is None:
        raise InputError("the steps pathology and human ask a model", next_step="Give --api, or --steps words")
    if out.resolve() == folder.resolve():
        raise InputError("--out is the data set itself", where=str(out), next_step="Give another --out")
    judge = partial(verdict, model=model, options=options)
    with DatasetWriter(out, options=_recorded(folder, model, options), overwrite=options.overwrite) as writer:
        left = (figure for figure in read_dataset(folder) if figure.id not in writer.done)
        with ThreadPoolExecutor(options.workers) as pool:
            while batch := list(islice(left, RECORDS_PER_SHARD)):
                _shard(writer, batch, pool.map(judge, batch))
                tell("records", len(writer.done))
        return writer.finish()


@dataclass(kw_only=True)
class _Shard:
    keys: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


def _shard(writer: DatasetWriter, batch: list[Figure], verdicts: Iterator[Dropped | None]) -> None:
    """Write what was judged, also where a question in its midst could not be asked."""
    shard = _Shard()
    try:
        for figure, said in zip(batch, verdicts, strict=True):
            shard.keys.append(figure.id)
            if said is None:
                shard.figures.append(figure)
            else:
                shard.dropped.append(said)
    finally:
        if shard.keys:
            writer.write_shard(shard.keys, shard.figures, shard.dropped)


def _recorded(folder: Path, model: Answerer | None, options: CleanOptions) -> dict[str, Any]:
    begun = read_json(folder / "build.json") if (folder / "build.json").exists() else {}
    before = begun.get("options", {})
    kept = {name: before[name] for name in ("source", "licence", "access", "split") if name in before}
    asked = model.name if model and options.asks else ""
    return {"builder": "clean", **kept, "steps": list(options.steps), "min_words": options.min_words, "model": asked}


def verdict(figure: Figure, *, model: Answerer | None, options: CleanOptions) -> Dropped | None:
    """Why a record does not pass; None if it does. Raises ServeError."""
    text = described(figure)
    for step in options.steps:
        if step == "words":
            passed: bool | None = len(text.split()) >= options.min_words
            said = f"{len(text.split())} words"
        elif step == "pathology" and figure.image is None:
            return Dropped(item=figure.id, reason="no-image", detail="nothing to look at")
        else:
            try:
                said = _answer(model, figure, step)
            except ImageError as error:
                return Dropped(item=figure.id, reason="image-broken", detail=str(error))
            passed = yes_or_no(said)
        if not passed:
            reason = UNCLEAR if passed is None else REASONS[step]
            return Dropped(item=figure.id, reason=reason, detail=f"{step}: {said[:200]}")
    return None


def described(figure: Figure) -> str:
    """What is said of the figure: its caption, or the answers of its dialogue."""
    return figure.caption or " ".join(turn.text for turn in figure.turns if turn.role == "assistant")


def spoken(figure: Figure) -> str:
    """The same with the questions: they name the animal too, and PMC-VQA's answer is but a letter and a choice."""
    return figure.caption or "\n".join(turn.text for turn in figure.turns)


def yes_or_no(answer: str) -> bool | None:
    """The last yes or no of an answer, since models think first; None where it has neither."""
    found = _YES_NO.findall(answer)
    return found[-1].lower() == "yes" if found else None


def _answer(model: Answerer | None, figure: Figure, step: str) -> str:
    if model is None:
        raise InputError("no model to ask")
    message, images = text_message("user", QUESTIONS[step].format(text=spoken(figure)[:MAX_TEXT_CHARS])), []
    if step == "pathology" and figure.image is not None:
        message["content"].insert(0, {"type": "image"})
        images = [open_image(figure.image, where=figure.id)]
    prompt: list[Message] = [message]
    return "".join(chunk.text for chunk in model.generate_stream(prompt, images, VERDICT)).strip()
