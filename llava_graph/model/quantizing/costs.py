"""What a model costs: static memory, the peak of every question above it, seconds and tokens a second. In: a choice. Out: values.

As TinyLLaVA-Med-F reports its quantized models (static: the weights; dynamic: the peak of a question; seconds, tokens), with a
figure in every question and one question at a time.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llava_graph.errors import InputError, LlavaGraphError
from llava_graph.model.quantizing.answering import (
    Answered,
    Question,
    answer_greedily,
    data_questions,
    example_questions,
    first_difference,
    read_prompt,
)
from llava_graph.model.quantizing.footprint import weight_bytes
from llava_graph.model.quantizing.meters import Meter, meter_of
from llava_graph.record import Dropped
from llava_graph.sources import reason_of, told

if TYPE_CHECKING:
    from llava_graph.model.load import LoadedModel

FORMAT = 1
LOW, HIGH = 0.1, 0.9
"""Percentiles given beside a median."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is measured, and on what. Every process that measures gets the same, but for the model."""

    model: str | None = None
    """None: the packaged one."""
    base: str | None = None
    bits: Literal[4, 8] | None = None
    """Packed while it is loaded; a quantized checkpoint needs none."""
    dtype: str | None = None
    device: str | None = None
    threads: int | None = None
    """Of torch on a CPU; None: as they are."""
    questions: int = 8
    max_new_tokens: int = 64
    data: Path | None = None
    """None: the figures in the package."""
    task: str | None = None
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class One:
    """One question."""

    id: str
    answer: Answered
    seconds: float
    """From the figure to the last token."""
    cpu_s: float
    """Of all threads: what a busy machine does not lengthen."""
    first_s: float
    peak: int
    """Bytes at most while it was answered."""
    above: int
    """Bytes of it above what was in use before."""


def measure(wanted: Measured) -> dict[str, Any]:
    """All of it as plain values (see docs/quantization.md). Best in a process that has opened no other model.

    Raises CheckpointError, InputError (no question can be asked, no such device), MissingExtra.
    """
    import torch

    from llava_graph.model.device import device_named
    from llava_graph.model.load import load

    device = device_named(wanted.device)
    if wanted.threads is not None:
        torch.set_num_threads(wanted.threads)
    questions = _questions(wanted)
    folder = _warm_imports(wanted)
    meter = meter_of(device)
    gc.collect()
    gc.freeze()  # what is there before the model is not gone through again at every look
    try:
        before = meter.now()
        meter.reset()
        begun = time.perf_counter()
        loaded = load(wanted.model, base=wanted.base, device=wanted.device, dtype=wanted.dtype, bits=wanted.bits)
        loading_s, loading_peak = time.perf_counter() - begun, meter.peak() - before
        static = meter.now() - before
        weights = weight_bytes(loaded.model)
        ones, dropped, rested = _ask(loaded, questions, wanted, meter)
    finally:
        gc.unfreeze()
        meter.close()
    if not ones:
        first = dropped[0]
        raise InputError(f"no question can be asked ({first.reason}: {first.detail})", where=first.item)
    return {
        "format": FORMAT,
        "name": loaded.name,
        "quantized": _packing(loaded),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "how": meter.how,
        "asked": {
            **asdict(wanted),
            "data": str(wanted.data.resolve().name) if wanted.data else "the examples in the package",
        },
        "static": {
            "files": sum(file.stat().st_size for file in folder.glob("*.safetensors")),
            "weights": sum(sum(kinds.values()) for kinds in weights.values()),
            "parts": weights,
            "get_memory_footprint": int(loaded.model.get_memory_footprint()),
            "in_use": static,
            "peak_while_loading": loading_peak,
            "in_use_after_an_answer": rested - before,
            "seconds_to_load": loading_s,
        },
        "dynamic": {
            "peak_above": spread([one.above for one in ones]),
            "peak": spread([one.peak - before for one in ones]),
            "mean_peak": fmean(one.peak - before for one in ones),
        },
        "time": {
            "seconds": spread([one.seconds for one in ones]),
            "cpu_s": spread([one.cpu_s for one in ones]),
            "first_token_s": spread([one.first_s for one in ones]),
            "tokens_per_s": spread([rate for one in ones if (rate := one.answer.tokens_per_s) is not None]),
            "prompt_tokens": spread([one.answer.prompt_tokens for one in ones]),
            "answer_tokens": spread([len(one.answer.tokens) for one in ones]),
        },
        "answers": [{"id": one.id, "text": one.answer.text, "tokens": list(one.answer.tokens)} for one in ones],
        "left_out": dict(Counter(drop.reason for drop in dropped)),
    }


def _questions(wanted: Measured) -> Iterable[Question]:
    if wanted.data is None:
        return example_questions(wanted.questions)
    return data_questions(wanted.data, wanted.questions, task=wanted.task, split=wanted.split)


def _warm_imports(wanted: Measured) -> Path:
    """Load all code that loading the model needs, which is no memory of the model's; its folder."""
    from llava_graph.model.adapters import base_under
    from llava_graph.model.connectors import register
    from llava_graph.model.hub import checkpoint_folder
    from llava_graph.model.load import PACKAGED, check_folder, shapes_alone
    from llava_graph.model.quantize import check_stored

    register()
    folder = PACKAGED if wanted.model is None else checkpoint_folder(wanted.model)
    base = base_under(folder, wanted.base)
    if check_stored(check_folder(base), base, asked=wanted.bits is not None) or wanted.bits:
        import bitsandbytes  # noqa: F401
    shapes_alone(base)
    return base


def _ask(
    loaded: LoadedModel, questions: Iterable[Question], wanted: Measured, meter: Meter
) -> tuple[list[One], list[Dropped], int]:
    """Every question once, after one that does not count; and what is in use after that one."""
    ones: list[One] = []
    dropped: list[Dropped] = []
    rested: int | None = None
    for question in questions:
        try:
            if rested is None:  # kernels are chosen, caches filled, packed weights rearranged
                _one(loaded, question, wanted, meter)
                rested = meter.now()
            ones.append(_one(loaded, question, wanted, meter))
        except (LlavaGraphError, OSError) as error:
            dropped.append(Dropped(item=question.id, reason=reason_of(error), detail=told(error, question.id)))
    return ones, dropped, rested or 0


def _one(loaded: LoadedModel, question: Question, wanted: Measured, meter: Meter) -> One:
    before = meter.now()
    meter.reset()
    begun, cpu = time.perf_counter(), time.process_time()
    prompt = read_prompt(loaded, question, task=wanted.task)
    read_s = time.perf_counter() - begun
    answer = answer_greedily(loaded, prompt, wanted.max_new_tokens)
    cpu_s = time.process_time() - cpu
    peak = meter.peak()
    return One(
        id=question.id,
        answer=answer,
        seconds=read_s + answer.seconds,
        cpu_s=cpu_s,
        first_s=read_s + answer.first_s,
        peak=peak,
        above=peak - before,
    )


def _packing(loaded: LoadedModel) -> str:
    """How the weights in memory are packed; empty: they are not."""
    from llava_graph.model.quantize import stored_quantization

    return stored_quantization(loaded.model.config.to_dict())


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Median, 10th and 90th percentile; None of nothing."""
    if not values:
        return None
    low, high = (float(value) for value in np.quantile(values, (LOW, HIGH)))
    return {"median": float(median(values)), "low": low, "high": high}


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Two results of `measure` of the same questions: the change of each figure as a share (-0.75: a quarter is left), and how
    the answers agree."""
    changes = {name: _change(value(before), value(after)) for name, value in FIGURES.items()}
    pairs = _pairs(before, after)
    return {"change": changes, "answers": _alike(pairs) if pairs else None}


def _change(before: float | None, after: float | None) -> float | None:
    return after / before - 1 if before and after is not None else None


def _median(section: str, name: str) -> Any:
    return lambda found: (found[section][name] or {}).get("median")


FIGURES = {
    "files": lambda found: found["static"]["files"],
    "weights": lambda found: found["static"]["weights"],
    "static, in use": lambda found: found["static"]["in_use_after_an_answer"],
    "peak while loading": lambda found: found["static"]["peak_while_loading"],
    "dynamic, above static": _median("dynamic", "peak_above"),
    "dynamic, whole": lambda found: found["dynamic"]["mean_peak"],
    "seconds a question": _median("time", "seconds"),
    "CPU seconds a question": _median("time", "cpu_s"),
    "seconds to the first token": _median("time", "first_token_s"),
    "tokens a second": _median("time", "tokens_per_s"),
}
"""What is compared."""


def _pairs(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    others = {one["id"]: one for one in after["answers"]}
    return [(one, others[one["id"]]) for one in before["answers"] if one["id"] in others]


def _alike(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    from llava_graph.evaluate.rouge import rouge_l

    places = [place for one, other in pairs if (place := first_difference(one["tokens"], other["tokens"]))]
    scores = [1.0 if one["text"] == other["text"] else rouge_l(other["text"], one["text"]).f1 for one, other in pairs]
    return {
        "questions": len(pairs),
        "exact": fmean(one["text"] == other["text"] for one, other in pairs),
        "first_difference": median(places) if places else None,
        "rouge_l": fmean(scores),
    }
