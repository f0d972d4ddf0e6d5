"""The run: a data set in, the same records with dialogues out, shard by shard. Killed, the same call pays nothing twice.

On disk beside the data set: teacher/answers.jsonl (all answers, raw), ratings.parquet, teacher/tally.json.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from llava_graph.dataset import DatasetWriter, is_dataset, read_dataset
from llava_graph.durable import read_json, write_json
from llava_graph.errors import InputError, LlavaGraphError
from llava_graph.explain import Answerer
from llava_graph.record import Dropped, Figure
from scicap_builder.dialogues.answers import FILE, Answers
from scicap_builder.dialogues.costs import FREE, PriceList, Purse, total_cost
from scicap_builder.dialogues.held_out import HeldOut
from scicap_builder.dialogues.kinds import Desk, Kind, kind_of
from scicap_builder.dialogues.settling import Settled, settle
from scicap_builder.dialogues.slides import Slides, read_table
from scicap_builder.dialogues.tally import Tally, tally_lines, write_ratings
from scicap_builder.dialogues.teacher import FAILED, REFUSES, Stopped, Teacher
from scicap_builder.dialogues.wording import check_folder, load_wording
from scicap_builder.progress import tell
from scicap_builder.sources.access import source_options

RECORDS_PER_SHARD = 256
"""Written at once; the answers of an unwritten shard are kept all the same."""
FOLDER = "teacher"
HELD_OUT = "held-out"


@dataclass(frozen=True, kw_only=True)
class DialogueOptions:
    """What is written, and how."""

    kind: str
    with_image: bool = False
    """The teacher sees the picture, too."""
    seed: int = 0
    min_rating: float | None = None
    """Dialogues are rated from 0 to 10, and those below are left out; None: nothing is rated."""
    prompts: Path | None = None
    """A folder whose NAME.toml are used in place of ours."""
    clues: Path | None = None
    """diagnosis_and_clues.parquet"""
    held_out: tuple[Path, ...] = ()
    """Further data sets whose validation and test figures no training record may show."""
    limit: int | None = None
    """Only the first so many records; a later run may have a larger one."""
    at_once: int = 8
    """Dialogues written at the same time."""
    budget: float | None = None
    prices: PriceList = field(default_factory=lambda: FREE)
    overwrite: bool = False

    def __post_init__(self) -> None:
        kind_of(self.kind)
        if self.min_rating is not None and not 0 <= self.min_rating <= 10:
            raise InputError(f"--min-rating is 0 to 10, got {self.min_rating:g}")
        if self.budget is not None and not any(price.tokens_in + price.tokens_out for price in self.prices.values()):
            raise InputError(
                "a budget needs prices", next_step="Give --price-in and --price-out, money a million tokens"
            )

    @property
    def plan(self) -> Kind:
        """The kind."""
        return kind_of(self.kind)


def prepared(folder: Path, options: DialogueOptions) -> Desk:
    """Prompts and clues for a data set. Raises InputError and DatasetError."""
    names = [*options.plan.wordings, *(["rating"] if options.min_rating is not None else [])]
    if options.prompts:
        check_folder(options.prompts, names)
    slides = Slides(read_table(options.clues) if options.clues else None)
    if options.plan.about_slides:
        slides.gather(_told(read_dataset(folder, images=False), "what was said over the slides"))
    return Desk(
        wordings={name: load_wording(name, options.prompts) for name in names},
        slides=slides,
        seed=options.seed,
        with_image=options.with_image,
    )


def write_dialogues(
    folder: Path,
    out: Path,
    models: Mapping[str, Answerer],
    options: DialogueOptions,
    desk: Desk,
    *,
    wait: Callable[[float], object] | None = None,
    stopping: threading.Event | None = None,
) -> Tally:
    """Write dialogues about the records of `folder` to the data set `out`. `models`: "teacher" and "rater".

    Raises DatasetError, BudgetSpent, KeyRefused and ServeError (the server is gone), with everything so far kept.
    """
    if out.resolve() == folder.resolve():
        raise InputError("--out is the data set itself", where=str(out), next_step="Give another --out")
    stopping = stopping or threading.Event()
    held_out = HeldOut([folder, *options.held_out])
    recorded = recorded_options(folder, {role: model.name for role, model in models.items()}, options, desk)
    with (
        DatasetWriter(out, options=recorded, overwrite=options.overwrite) as writer,
        Answers(out / FOLDER / FILE) as answers,
    ):
        purse = Purse(options.prices, options.budget, total_cost(answers.usage, options.prices))
        teacher = Teacher(models, answers, purse, stopping, wait=wait)

        def work(figure: Figure) -> Settled:
            if figure in held_out:
                told = "a validation or test record shows the same"
                return Settled(key=figure.id, result=Dropped(item=figure.id, reason=HELD_OUT, detail=told))
            return settle(figure, options.plan, desk, teacher.ask, options.min_rating)

        left = records_left(folder, writer.done, options.limit)
        shard, total = _Shard(), _count(folder, options.limit)
        try:
            with closing(_in_order(left, work, options.at_once, teacher)) as stream:
                for settled in stream:
                    shard.add(settled)
                    if len(shard.keys) >= RECORDS_PER_SHARD:
                        shard = shard.written(writer)
                    tell("dialogues", len(writer.done) + len(shard.keys), total)
        except Stopped:
            shard.settled(teacher.asked).written(writer)
            raise teacher.ended_by or KeyboardInterrupt from None
        except BaseException:
            shard.settled(teacher.asked).written(writer)
            raise
        if teacher.failure and not len(answers):  # no answer ever: no record's fault
            shard.settled(0).written(writer)
            raise teacher.failure
        shard.written(writer)
        return _finish(writer, answers, teacher, options)


def recorded_options(folder: Path, names: Mapping[str, str], options: DialogueOptions, desk: Desk) -> dict[str, Any]:
    """What build.json and the data card keep, and what must be the same when a run goes on. `names`: role -> model."""
    before = source_options(folder)
    kept: dict[str, Any] = {
        name: before[name] for name in ("source", "title", "home", "licence", "access", "split") if name in before
    }
    rated = options.min_rating is not None
    return {
        "builder": "dialogues",
        **kept,
        "from": folder.resolve().name,
        "kind": options.kind,
        "teacher": names["teacher"],
        "prompts": {name: wording.named for name, wording in desk.wordings.items()},
        "with_image": options.with_image,
        "seed": options.seed,
        "clues": options.clues.name if options.clues else "",
        "held_out": [path.name for path in options.held_out],
        "rater": names["rater"] if rated else "",
        "min_rating": options.min_rating,
    }


def begun_options(out: Path) -> dict[str, Any]:
    """With which the data set `out` was begun; empty where it was not."""
    return source_options(out) if is_dataset(out) else {}


def records_left(folder: Path, done: frozenset[str], limit: int | None, *, images: bool = True) -> Iterator[Figure]:
    """The records that are in no shard yet, in the data set's order."""
    wanted = islice(read_dataset(folder, images=images), limit)
    return (figure for figure in wanted if figure.id not in done)


def _count(folder: Path, limit: int | None) -> int:
    """How many records there are; 0 where the data set does not say."""
    count = (read_json(folder / "build.json").get("counts") or {}).get("figures", 0)
    return min(count, limit) if limit else count


def _told(figures: Iterable[Figure], what: str) -> Iterator[Figure]:
    for number, figure in enumerate(figures):
        if number % 256 == 0:
            tell(what, number)
        yield figure


@dataclass(kw_only=True)
class _Shard:
    keys: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    ratings: dict[str, float] = field(default_factory=dict)

    def add(self, settled: Settled) -> None:
        self.keys.append(settled.key)
        self.left_out.update(settled.left_out)
        if settled.rating is not None:
            self.ratings[settled.key] = settled.rating
        if isinstance(settled.result, Figure):
            self.figures.append(settled.result)
        else:
            self.dropped.append(settled.result)

    def settled(self, answered: int) -> _Shard:
        """Without the records on which the server failed: what ends the run may have been the reason, they are asked again.
        So are those that it refused, where it has `answered` nothing at all: it was asked in a way that it does not take.
        """
        again = {FAILED} if answered else {FAILED, REFUSES}
        failed = {item.item for item in self.dropped if item.reason in again}
        self.keys = [key for key in self.keys if key not in failed]
        self.dropped = [item for item in self.dropped if item.item not in failed]
        return self

    def written(self, writer: DatasetWriter) -> _Shard:
        """On disk. Returns an empty one."""
        if self.keys:
            notes = {"left_out": dict(self.left_out), "ratings": self.ratings}
            writer.write_shard(self.keys, self.figures, self.dropped, places={self.keys[0]: notes})
        return _Shard()


def _in_order(
    figures: Iterable[Figure], work: Callable[[Figure], Settled], at_once: int, teacher: Teacher
) -> Generator[Settled]:
    """Done side by side, given back in order; no more records lie in memory than twice those under way."""
    figures = iter(figures)
    under_way: deque[Future[Settled]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            while True:
                while len(under_way) < 2 * at_once and (figure := next(figures, None)) is not None:
                    under_way.append(pool.submit(work, figure))
                if not under_way:
                    return
                yield under_way[0].result()
                under_way.popleft()
        except BaseException as error:
            teacher.stop(cancel=not isinstance(error, LlavaGraphError | Stopped))
            for future in under_way:
                future.cancel()
            raise


def _finish(writer: DatasetWriter, answers: Answers, teacher: Teacher, options: DialogueOptions) -> Tally:
    """Ratings, tally and the data set's own end."""
    notes: Sequence[Mapping[str, Any]] = list(writer.places.values())
    left_out: Counter[str] = Counter()
    for note in notes:
        left_out.update(note["left_out"])
    if options.min_rating is not None:
        write_ratings(writer.out, (pair for note in notes for pair in note["ratings"].items()), options.min_rating)
    cost = total_cost(answers.usage, options.prices)
    told = tally_lines(answers.usage, cost, options.prices, left_out, image_alone=options.plan.image_alone)
    summary = writer.finish(notes=told)
    write_json(writer.out / FOLDER / "tally.json", told)
    return Tally(
        summary=summary,
        usage=dict(answers.usage),
        cost=cost,
        asked=teacher.asked,
        broken_off=teacher.broken_off,
        left_out=dict(left_out.most_common()),
        told=told,
    )
