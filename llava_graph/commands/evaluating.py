"""How an evaluation is carried out: answers by a model, a baseline or files, then scores on disk and on the screen."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.progress import track

from llava_graph.command import complain, note, shown, stderr
from llava_graph.commands import asked
from llava_graph.commands.instruments import InstrumentChoice, open_instruments
from llava_graph.commands.scores import printed_comparison, printed_scores
from llava_graph.dataset import read_dataset
from llava_graph.durable import write_json
from llava_graph.errors import InputError
from llava_graph.evaluate import baselines, run
from llava_graph.evaluate.answered import Item, Reply
from llava_graph.evaluate.answers import AnswerFile, Joined, join, read_answers
from llava_graph.evaluate.tasks import items_of
from llava_graph.record import Dropped
from llava_graph.sampling import GenerationOptions

ALL_WELL, INCOMPLETE, STOPPED = 0, 1, 130
"""Exit statuses; 2 is what cannot be done at all."""


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
    instruments: InstrumentChoice = field(default_factory=InstrumentChoice)

    @property
    def file(self) -> Path:
        """Where this process writes."""
        name = "answers.jsonl" if self.num_chunks == 1 else f"answers-{self.chunk_idx}-of-{self.num_chunks}.jsonl"
        return self.out / name


def answered_by_files(order: Order, files: Sequence[Path]) -> Joined:
    """Answers that others have written; those that fit are kept in the folder like a model's, to be compared and judged."""
    joined = join(order.chosen.items, *read_answers(files))
    run.begin(order.out, run.asked_of(order.chosen, None, answers=[str(file) for file in files]))
    keep_anew(order, "not known", {pair.item.id: pair.text for pair in joined.pairs})
    return joined


def keep_anew(order: Order, model: str, texts: Mapping[str, str]) -> None:
    """Answers that take no time: written over those of before."""
    order.file.unlink(missing_ok=True)
    with AnswerFile(order.file, model) as file:
        for item in order.chosen.items:
            if item.id in texts:
                file.add(Reply(id=item.id, text=texts[item.id], mark=item.mark))


def answered_by_baseline(order: Order, name: str, train: Path | None) -> Joined:
    """A baseline's answers, on disk like a model's."""
    chosen, training = order.chosen, list[Item]()
    if name in baselines.LEARNING:
        training = training_items(chosen, train)
    answer = baselines.make_baseline(name, training)
    run.begin(order.out, run.asked_of(chosen, None, baseline=name, learned_from=len(training)))
    keep_anew(order, f"baseline {name}", {item.id: answer(item) for item in chosen.items})
    return run.read_run(order.out, chosen.items)


def training_items(chosen: run.Chosen, train: Path | None) -> list[Item]:
    """Items that a baseline may learn from, none of them of a paper or figure that is asked about."""
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
    told = track(outcomes, "answering", total=len(left), console=stderr, transient=True, disable=not stderr.is_terminal)
    try:
        with closing(outcomes):
            for outcome in told:
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
    from llava_graph.sources import with_text_read

    for item in run.with_pixels(items, order.chosen.data):
        yield replace(item, figure=with_text_read(item.figure)) if order.ocr == "engine" else item


def conclude(order: Order, joined: Joined, context: str) -> int:
    """Score, write, print; the exit status."""
    for reason, count in joined.counts.items():
        note(f"{reason}: {count}")
    try:
        run.check_complete(joined, partial=order.partial)
    except InputError as error:
        mine = {item.id for item in run.chunk(order.chosen.items, order.chunk_idx, order.num_chunks)}
        if order.num_chunks == 1 or mine.intersection(joined.missing):
            complain(str(error))
            return INCOMPLETE
        note(
            f"chunk {order.chunk_idx} of {order.num_chunks} is done; {len(joined.missing)} items of other chunks have no answer "
            "yet; the last process scores"
        )
        return ALL_WELL
    instruments, failed = open_instruments(order.instruments, order.chosen.task)
    found = run.metrics(
        order.chosen, joined, context, resamples=order.resamples, instruments=instruments, not_computed=failed
    )
    for name, why in found["not_computed"].items():
        note(f"not computed: {name} ({why})")
    if order.against:
        other = run.read_run(order.against, order.chosen.items)
        compared = run.compare_runs(
            other, joined, order.chosen.groups, resamples=order.resamples, instruments=instruments
        )
        found["against"] = {"run": str(order.against), "scores": compared}
    write_json(order.out / "metrics.json", found)
    if order.as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return ALL_WELL
    print(printed_scores(found))
    if order.against:
        print("\n" + printed_comparison(found["against"]["scores"], str(order.against), str(order.out)))
    return ALL_WELL


def check_other_run(chosen: run.Chosen, against: Path) -> None:
    """Before anything is asked. Raises InputError: the other run has no answer to any of these items."""
    if not run.read_run(against, chosen.items).pairs:
        raise InputError(
            "has no answer to any of these items",
            where=str(against),
            next_step="--against takes a run of the same task and data set",
        )


def tell_lost(dropped: Sequence[Dropped]) -> None:
    """One line a reason, with the first of its kind."""
    for reason, count in Counter(drop.reason for drop in dropped).items():
        first = next(drop for drop in dropped if drop.reason == reason)
        stderr.print(f"[yellow]left out:[/] {shown(f'{reason} {count} (first: {first.item} {first.detail})')}")
