"""`llava-graph memory`: what a model takes and how fast it answers, alone or beside another."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from llava_graph.command import stderr
from llava_graph.commands import asked
from llava_graph.commands.quantize import Checkpoint, read_bits, read_dtype
from llava_graph.commands.scores import table
from llava_graph.errors import CheckpointError, InputError

ASKED, BESIDE = "What is asked", "The other model"
WORTH_TELLING = 0.005
"""Share of a part's bytes below which a type is not printed (--json has all)."""


def memory_command(
    checkpoint: Checkpoint = None,
    model_base: asked.ModelBase = None,
    bits: Annotated[
        int | None, typer.Option(rich_help_panel=asked.MODEL, help="Pack the language model while loading: 8 or 4.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(rich_help_panel=asked.MODEL, help="float32, float16 or bfloat16. Default: as explain opens it."),
    ] = None,
    device: asked.Device = None,
    threads: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=asked.MODEL, help="Of a CPU. Default: torch's own choice.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT",
            rich_help_panel=BESIDE,
            help="Measure this one first, in a process of its own, and say what has changed (packaged: the packaged one).",
        ),
    ] = None,
    against_bits: Annotated[int | None, typer.Option(rich_help_panel=BESIDE, help="The same for it: 8 or 4.")] = None,
    questions: Annotated[int, typer.Option(min=1, rich_help_panel=ASKED, help="How many, one at a time.")] = 8,
    max_new_tokens: Annotated[int, typer.Option(min=2, rich_help_panel=ASKED, help="Longest answer, in tokens.")] = 64,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DATASET", rich_help_panel=ASKED, help="Figures to ask about. Default: the four in the package."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(rich_help_panel=ASKED, help="Ask an evaluation task's questions. Default: explain each figure."),
    ] = None,
    split: Annotated[str, typer.Option(rich_help_panel=ASKED, help="train, validation, test or all.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", rich_help_panel=asked.OUTPUT, help="All of it as JSON.")] = False,
) -> None:
    """Measure a model's memory and speed on questions with a figure, one at a time.

    Static: weights by part and type, and what is in use for them. Dynamic: the peak of every question above that. On a GPU
    as torch counts it, on a CPU the process's resident memory. With --against, both are asked the same questions.

    Examples:

        llava-graph memory llava-7b-4bit --against llava-hf/llava-1.5-7b-hf --questions 50 --data vqa_rad --task vqa-rad

        llava-graph memory --bits 4 --against packaged --device cpu --threads 1
    """
    from llava_graph.model.quantizing.costs import Measured, compare, measure

    if data is None and task is not None:
        raise InputError("--task is for --data", next_step="Give --data DATASET too")
    if against is None and against_bits is not None:
        raise InputError("--against-bits is for --against", next_step="Give --against CHECKPOINT too, or --bits")
    wanted = Measured(
        model=checkpoint,
        base=model_base,
        bits=None if bits is None else read_bits(bits),
        dtype=read_dtype(dtype),
        device=device,
        threads=threads,
        questions=questions,
        max_new_tokens=max_new_tokens,
        data=data,
        task=task,
        split=None if split == "all" else split,
    )
    before = None
    if against is not None:
        other = replace(
            wanted,
            model=None if against == "packaged" else against,
            base=None,
            bits=None if against_bits is None else read_bits(against_bits),
        )
        before = apart(measure, other, against)
    with stderr.status("measuring") if stderr.is_terminal else nullcontext():
        found = measure(wanted)
    compared = None if before is None else compare(before, found)
    if as_json:
        whole = found if before is None else {"before": before, "after": found, **(compared or {})}
        print(json.dumps(whole, indent=2, ensure_ascii=False))
        return
    print(printed([found] if before is None else [before, found], compared))


def apart(measure: Callable[[Any], dict[str, Any]], wanted: Any, name: str) -> dict[str, Any]:
    """`measure(wanted)` in a fresh process, whose memory holds no other model.

    Raises what `measure` raises, and CheckpointError when the process that measures `name` dies.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure, wanted).result()
        except BrokenProcessPool as error:
            raise CheckpointError(
                "the process that measured it has died",
                where=name,
                next_step="Is there enough memory for it?",
            ) from error


def printed(columns: Sequence[Mapping[str, Any]], compared: Mapping[str, Any] | None) -> str:
    """Results of `measure` side by side, and how much the last differs from the first."""
    changes = compared["change"] if compared else {}
    head = ["", *(found["name"] for found in columns), *(["change"] if compared else [])]
    rows: list[list[str]] = [head]

    def add(label: str, cell: Callable[[Mapping[str, Any]], str], change: str = "") -> None:
        ratio = changes.get(change)
        rows.append([label, *map(cell, columns), *([_percent(ratio)] if compared else [])])

    add("weights are", lambda found: found["quantized"] or found["dtype"])
    add(
        "computes",
        lambda found: f"{found['device']}, {found['dtype']}, {found['threads']} thread{'s' * (found['threads'] > 1)}",
    )
    rows.append(["STATIC MEMORY"] + [""] * (len(head) - 1))
    for part in dict.fromkeys(part for found in columns for part in found["static"]["parts"]):
        add(f"  {part}", lambda found, part=part: _kinds(found["static"]["parts"].get(part, {})))  # type: ignore[misc]
    add("  all weights", lambda found: size(found["static"]["weights"]), "weights")
    add("  get_memory_footprint()", lambda found: size(found["static"]["get_memory_footprint"]))
    add("  files", lambda found: size(found["static"]["files"]), "files")
    add("  in use, loaded", lambda found: size(found["static"]["in_use"]))
    add("  in use after an answer", lambda found: size(found["static"]["in_use_after_an_answer"]), "static, in use")
    add("  peak while loading", lambda found: size(found["static"]["peak_while_loading"]), "peak while loading")
    rows.append(["DYNAMIC MEMORY, a question"] + [""] * (len(head) - 1))
    add("  peak above static", lambda found: _spread(found["dynamic"]["peak_above"], size), "dynamic, above static")
    add("  peak with static, mean", lambda found: size(found["dynamic"]["mean_peak"]), "dynamic, whole")
    rows.append(["TIME"] + [""] * (len(head) - 1))
    add("  seconds a question", lambda found: _spread(found["time"]["seconds"], _seconds), "seconds a question")
    add("  CPU seconds a question", lambda found: _spread(found["time"]["cpu_s"], _seconds), "CPU seconds a question")
    add(
        "  seconds to the first token",
        lambda found: _spread(found["time"]["first_token_s"], _seconds),
        "seconds to the first token",
    )
    add("  tokens a second", lambda found: _spread(found["time"]["tokens_per_s"], "{:.1f}".format), "tokens a second")
    add("  tokens of an answer", lambda found: _spread(found["time"]["answer_tokens"], "{:.0f}".format))
    last = columns[-1]
    lines = [table(rows), ""]
    if compared and compared["answers"]:
        alike = compared["answers"]
        place = alike["first_difference"]
        lines.append(
            f"answers: {alike['exact']:.0%} of {alike['questions']} the same, ROUGE-L {alike['rouge_l']:.3f}"
            + ("" if place is None else f", first other token {place:g} (median of those that differ)")
        )
    asked_of = last["asked"]
    lines.append(
        f"{len(last['answers'])} questions of {asked_of['data']}, greedy, {asked_of['max_new_tokens']} tokens at most, one at a "
        "time after one that does not count; median (10th to 90th percentile)."
    )
    lines.append(f"Memory: {last['how']}, without what was there before the model.")
    lines += [
        f"left out by {found['name']}: {', '.join(f'{reason} {count}' for reason, count in found['left_out'].items())}"
        for found in columns
        if found["left_out"]
    ]
    return "\n".join(lines)


def size(count: float) -> str:
    """Bytes as people read them; MB are 10^6."""
    return f"{count / 1e9:.2f} GB" if abs(count) >= 1e9 else f"{count / 1e6:.1f} MB"


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _kinds(kinds: Mapping[str, int]) -> str:
    told = [f"{size(count)} {kind}" for kind, count in kinds.items() if count > WORTH_TELLING * sum(kinds.values())]
    return ", ".join(told) or "none"


def _spread(found: Mapping[str, float] | None, told: Callable[[float], str]) -> str:
    return "none" if found is None else f"{told(found['median'])} ({told(found['low'])} to {told(found['high'])})"


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:+.1%}".replace("-", "−")
