"""`llava-graph evaluate`: questions of a data set answered by a model (or a baseline, or a file) and scored."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import track

from llava_graph.command import complain, stderr
from llava_graph.commands import asked
from llava_graph.commands.scores import printed_comparison, printed_scores
from llava_graph.durable import write_json
from llava_graph.errors import InputError, did_you_mean
from llava_graph.evaluate import baselines, run
from llava_graph.evaluate.answered import Item, Reply
from llava_graph.evaluate.answers import AnswerFile, Joined, join, read_answers
from llava_graph.evaluate.tasks import TASKS, find_task, items_of
from llava_graph.model.quantize import bits_of
from llava_graph.prompt import PromptOptions
from llava_graph.record import Dropped
from llava_graph.sampling import GenerationOptions

DATA, SCORES = "The data", "The scores"
ALL_WELL, INCOMPLETE, STOPPED = 0, 1, 130
"""Exit statuses; 2 is what cannot be done at all."""

Task = Annotated[str, typer.Option(help=f"{', '.join(TASKS)}.", show_default=False)]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a person has ordered."""

    chosen: run.Chosen
    out: Path
    ocr: str = "records"
    table: bool = True
    at_once: int = 8
    chunk_idx: int = 0
    num_chunks: int = 1
    generation: GenerationOptions = GenerationOptions()
    partial: bool = False
    resamples: int = 1000
    as_json: bool = False
    against: Path | None = None

    @property
    def file(self) -> Path:
        """Where this process writes."""
        name = "answers.jsonl" if self.num_chunks == 1 else f"answers-{self.chunk_idx}-of-{self.num_chunks}.jsonl"
        return self.out / name


def evaluate_command(
    task: Task,
    data: Annotated[Path, typer.Option(rich_help_panel=DATA, help="A data set of figure records.", show_default=False)],
    out: Annotated[Path, typer.Option(rich_help_panel=asked.OUTPUT, help="Folder of this run.", show_default=False)],
    split: Annotated[str, typer.Option(rich_help_panel=DATA, help="train, validation, test or all.")] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=DATA, help="Only the first so many items.")
    ] = None,
    model: asked.Model = None,
    api: asked.Api = None,
    model_base: asked.ModelBase = None,
    load_8bit: asked.Load8bit = False,
    load_4bit: asked.Load4bit = False,
    device: asked.Device = None,
    at_once: Annotated[
        int, typer.Option(min=1, max=256, rich_help_panel=asked.MODEL, help="Answers written at the same time.")
    ] = 8,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=asked.MODEL, help="Longest answer. Default: the task's.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, rich_help_panel=asked.MODEL, help="0 is greedy.")] = 0.0,
    baseline: Annotated[
        str | None,
        typer.Option(rich_help_panel=asked.MODEL, help=f"Instead of a model: {', '.join(baselines.ABOUT)}."),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=DATA, help="With --baseline: learn from the train split of this data set instead."
        ),
    ] = None,
    answers: Annotated[
        list[Path] | None,
        typer.Option(
            rich_help_panel=asked.MODEL, help="Instead of a model: score answers in LLaVA's JSONL (question_id, text)."
        ),
    ] = None,
    ocr: Annotated[
        str,
        typer.Option(
            rich_help_panel=asked.GIVEN,
            help="The text in the figures: as the records have it, read anew by the engine, none.",
        ),
    ] = "records",
    table: Annotated[
        bool, typer.Option("--table/--no-table", rich_help_panel=asked.GIVEN, help="Its data table.")
    ] = True,
    num_chunks: Annotated[int, typer.Option(min=1, rich_help_panel=DATA, help="Processes that share the work.")] = 1,
    chunk_idx: Annotated[int, typer.Option(min=0, rich_help_panel=DATA, help="Which of them this is, from 0.")] = 0,
    partial: Annotated[
        bool, typer.Option("--partial", rich_help_panel=SCORES, help="Score what there is, marked so.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(metavar="OUT", rich_help_panel=SCORES, help="Compare with this other run of the task."),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=100, rich_help_panel=SCORES, help="Of bootstrap and paired test.")
    ] = 1000,
    as_json: Annotated[
        bool, typer.Option("--json", rich_help_panel=asked.OUTPUT, help="metrics.json on stdout.")
    ] = False,
) -> None:
    """Answer the questions of a data set with a model, and score the answers.

    Answers are kept as they come: the same command goes on where it was stopped. Every score stands with its 95 % interval and
    with what the model was given of the text in the figures. Exit status 1: some items have no answer, and nothing is scored.

    Examples:

        llava-graph evaluate --task vqa-rad --data vqa_rad --model llava-hf/llava-1.5-7b-hf --out runs/rad

        llava-graph evaluate --task scicap --data scicap --api http://localhost:8000/v1 --at-once 32 --ocr none --out runs/no_ocr

        llava-graph evaluate --task scicap --data scicap --baseline caption-echo --out runs/echo --against runs/no_ocr

        llava-graph evaluate --task path-vqa --data path_vqa --answers answers.jsonl --out runs/theirs
    """
    if ocr not in run.OCR_CHOICES:
        raise InputError(f"unknown choice --ocr {ocr!r}", next_step=did_you_mean(ocr, run.OCR_CHOICES))
    if sum(given is not None for given in (baseline, answers or None, model or api)) > 1:
        raise InputError("--model or --api, --baseline and --answers exclude each other")
    wanted = find_task(task)
    chosen = run.choose_items(wanted, run.DataChoice(folder=data, split=None if split == "all" else split, limit=limit))
    tell_lost(chosen.dropped)
    order = Order(
        chosen=chosen,
        out=out,
        ocr=ocr,
        table=table,
        at_once=at_once,
        num_chunks=num_chunks,
        chunk_idx=chunk_idx,
        generation=GenerationOptions(max_new_tokens=max_new_tokens or wanted.max_new_tokens, temperature=temperature),
        partial=partial,
        resamples=resamples,
        as_json=as_json,
        against=against,
    )
    if answers:
        joined, context = join(chosen.items, *read_answers(answers)), "not known"
        out.mkdir(parents=True, exist_ok=True)
    elif baseline:
        joined = answered_by_baseline(order, baseline, train)
        context = run.ocr_context(chosen.items, PromptOptions(ocr=baseline in baselines.READING), "records")
    else:
        bits = bits_of(load_8bit=load_8bit, load_4bit=load_4bit)
        choice = asked.ModelChoice(model=model, api=api, base=model_base, device=device, bits=bits)
        joined, context = answered_by_model(order, choice)
    sys.exit(conclude(order, joined, context))


def answered_by_baseline(order: Order, name: str, train: Path | None) -> Joined:
    """A baseline's answers, on disk like a model's."""
    chosen, training = order.chosen, list[Item]()
    if name in baselines.LEARNING:
        training = training_items(chosen, train)
    answer = baselines.make_baseline(name, training)
    run.begin(order.out, run.asked_of(chosen, None, baseline=name, learned_from=len(training)))
    order.file.unlink(missing_ok=True)  # computed anew in a moment: nothing is worth keeping
    with AnswerFile(order.file, f"baseline {name}") as file:
        for item in chosen.items:
            file.add(Reply(id=item.id, text=answer(item), mark=item.mark))
    return run.read_run(order.out, chosen.items)


def training_items(chosen: run.Chosen, train: Path | None) -> list[Item]:
    """Items that a baseline may learn from, none of them of a paper or figure that is asked about."""
    from llava_graph.dataset import read_dataset

    try:
        items, _ = items_of(chosen.task, read_dataset(train or chosen.data.folder, "train", images=False))
    except InputError:
        return []
    figures = {item.figure.id for item in chosen.items}
    papers = {item.figure.paper.id for item in chosen.items} - {""}
    return [item for item in items if item.figure.id not in figures and item.figure.paper.id not in papers]


def answered_by_model(order: Order, choice: asked.ModelChoice) -> tuple[Joined, str]:
    """A model's answers, those of earlier runs included, and what it was given of the text in the figures."""
    from llava_graph.evaluate.answering import Asking

    chosen = order.chosen
    answerer = asked.open_answerer(choice)
    options = chosen.task.options(answerer.prompt, ocr=order.ocr != "none", table=order.table)
    context = run.ocr_context(chosen.items, options, order.ocr)
    told = {
        "model": answerer.name,
        "checkpoint": choice.model,
        "api": choice.api,
        "bits": choice.bits,
        "ocr": order.ocr,
    }
    generation = asdict(order.generation)
    run.begin(order.out, run.asked_of(chosen, options, generation=generation, ocr_context=context, **told))
    mine = run.chunk(chosen.items, order.chunk_idx, order.num_chunks)
    with AnswerFile(order.file, answerer.name) as file:
        done = {pair.item.id for pair in run.read_run(order.out, chosen.items).pairs}
        left = [item for item in mine if item.id not in done]
        asking = Asking(options=options, generation=order.generation, at_once=order.at_once)
        failed = ask_all(order, file, answerer, left, asking)
    tell_lost(failed)
    return run.read_run(order.out, chosen.items), context


def ask_all(order: Order, file: AnswerFile, answerer: Any, left: Sequence[Item], asking: Any) -> list[Dropped]:
    """Ask for what is left and keep the answers; what failed."""
    from llava_graph.evaluate.answering import answer

    failed: list[Dropped] = []
    outcomes = answer(answerer, _given(left, order), asking)
    shown = track(
        outcomes, "answering", total=len(left), console=stderr, transient=True, disable=not stderr.is_terminal
    )
    try:
        with closing(outcomes):
            for outcome in shown:
                if isinstance(outcome, Dropped):
                    failed.append(outcome)
                elif outcome.finish_reason != "cancelled":
                    file.add(outcome)
    except KeyboardInterrupt:
        complain("stopped: the same command goes on")
        sys.exit(STOPPED)
    return failed


def _given(items: Sequence[Item], order: Order) -> Iterator[Item]:
    """With pixels, and with the text read anew where that is asked for."""
    from dataclasses import replace

    from llava_graph.sources import with_text_read

    for item in run.with_pixels(items, order.chosen.data):
        yield replace(item, figure=with_text_read(item.figure)) if order.ocr == "engine" else item


def conclude(order: Order, joined: Joined, context: str) -> int:
    """Score, write, print; the exit status."""
    for reason, count in joined.counts.items():
        stderr.print(f"[yellow]note:[/] {escape(reason)}: {count}")
    try:
        run.check_complete(joined, partial=order.partial)
    except InputError as error:
        if order.num_chunks > 1 and joined.pairs:
            stderr.print(f"chunk {order.chunk_idx} of {order.num_chunks} is done; the last process scores")
            return ALL_WELL
        complain(str(error))
        return INCOMPLETE
    found = run.metrics(order.chosen, joined, context, resamples=order.resamples)
    write_json(order.out / "metrics.json", found)
    print(json.dumps(found, indent=2, ensure_ascii=False) if order.as_json else printed_scores(found))
    if order.against:
        other = run.read_run(order.against, order.chosen.items)
        compared = run.compare_runs(other, joined, order.chosen.groups, resamples=order.resamples)
        print("\n" + printed_comparison(compared, str(order.against), str(order.out)))
    return ALL_WELL


def tell_lost(dropped: Sequence[Dropped]) -> None:
    """One line a reason, with the first of its kind."""
    for reason, count in Counter(drop.reason for drop in dropped).items():
        first = next(drop for drop in dropped if drop.reason == reason)
        stderr.print(f"[yellow]left out:[/] {escape(f'{reason} {count} (first: {first.item} {first.detail})')}")
