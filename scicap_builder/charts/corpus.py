"""A corpus of charts: a seed and a count in, figure records or a data set folder out.

Chart `index` of a seed is the same on every run, however many are drawn and by however many processes.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from llava_graph.dataset import DatasetWriter
from llava_graph.errors import InputError, did_you_mean
from llava_graph.misreading import misread
from llava_graph.prompt import EXPLAIN_REQUESTS
from llava_graph.record import Figure, OcrLine, Panel, Paper, Table, Turn, split_of
from ocr.layout import reading_order
from ocr.roles import assign_roles
from scicap_builder.charts import plotting, pyplot
from scicap_builder.charts.captions import write_caption
from scicap_builder.charts.chart import Chart, Plate, pick
from scicap_builder.charts.data import make_plate
from scicap_builder.charts.drawing import Drawing
from scicap_builder.charts.looking import ask_looks
from scicap_builder.charts.others import make_other
from scicap_builder.charts.paragraphs import write_paragraph
from scicap_builder.charts.questions import ask, ask_readings
from scicap_builder.charts.text_questions import ask_texts
from scicap_builder.charts.tracing import Places
from scicap_builder.charts.vocabulary import VOCABULARIES

SHARD = 250
"""Charts per shard: some ten seconds of drawing on one core is what a killed run repeats."""
OTHER_SHARE = 0.06
"""Share of figures that are no charts."""
PYPLOT_SHARE = 0.35
"""Share of charts that matplotlib draws; our own renderer, which is faster, draws the others."""
ROLES_KNOWN_SHARE = 0.45
"""Share of charts whose text lines carry their true roles; the others carry those that can be seen from the layout."""
LOST_LINE_SHARE = 0.03
"""Share of lines left out, as an OCR engine misses some."""
MISREAD_FIGURES = 0.3
"""Share of figures whose text went through the model of misreading."""
MISREAD_LINES = (0.03, 0.25)
"""Of such a figure, this share of the lines is lost or misread, from and to."""
LIBRARIES = ("mixed", "own", "matplotlib", "vega")
"""mixed: own and matplotlib, for training. vega: Vega-Lite, which training never sees."""


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """What is drawn."""

    vocabulary: str = "known"
    library: str = "mixed"
    images: bool = True
    """Without: records of texts alone, twenty times as fast, for a text-only stage of training."""
    looking: bool = False
    """Only questions that the pixels alone answer (`looking`), for a stage of training without context."""
    engine_share: float = 0.0
    """Share of figures whose text the real OCR engine reads from the picture (a second each)."""

    def __post_init__(self) -> None:
        for value, known in ((self.vocabulary, tuple(VOCABULARIES)), (self.library, LIBRARIES)):
            if value not in known:
                raise InputError(f"unknown name {value!r}", next_step=did_you_mean(value, known))
        if self.looking and (self.library == "vega" or not self.images):
            raise InputError(
                "--looking needs images of a library that says where the values stand",
                next_step="Leave one of them out",
            )
        if not self.images and (self.library == "vega" or self.engine_share):
            raise InputError("without images only our own renderer lays out the text", next_step="Leave the option out")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A record and what is known about it: the plate is None where the figure is no chart."""

    figure: Figure
    plate: Plate | None


def make_figure(seed: int, index: int, options: CorpusOptions = CorpusOptions()) -> Figure:
    """Figure number `index` of the corpus `seed`, drawn and described."""
    return make_sheet(seed, index, options).figure


def make_sheet(seed: int, index: int, options: CorpusOptions = CorpusOptions()) -> Sheet:
    """The same with the data behind it."""
    rng = np.random.default_rng([seed, index])
    key = f"charts:{seed}-{index:06d}"
    if rng.random() < OTHER_SHARE:
        return Sheet(_other_figure(key, rng, options), None)
    plate = make_plate(rng, options.vocabulary)
    drawing = _draw(plate, rng, options)
    label = f"{pick(rng, ('Figure', 'Fig.'))} {rng.integers(1, 13)}" if rng.random() < 0.3 else ""
    caption = write_caption(plate, rng)
    titles = " ".join(chart.title for chart in plate.panels)
    told = plate.subject.lower() in f"{caption} {titles}".lower()
    paragraph = write_paragraph(plate, rng, label if caption and rng.random() < 0.7 else "", context=told)
    ocr = seen_text(drawing, rng, options)
    figure = Figure(
        id=key,
        image=drawing.image,
        width=drawing.width,
        height=drawing.height,
        kind="chart",
        label=label,
        caption=caption,
        ocr=ocr,
        mentions=(paragraph,),
        panels=tuple(Panel(letter=letter) for letter in plate.letters if letter),
        paper=Paper(id=key),
        table=data_table(plate.panels[0]) if len(plate.panels) == 1 else None,
        turns=looks(plate, rng, drawing.places)
        if options.looking
        else dialogue(plate, paragraph, rng, ocr, drawing.places if options.images else None),
        source=f"charts/{drawing.library}",
        licence="CC0-1.0",
        split=split_of(key),
    )
    return Sheet(figure, plate)


def _draw(plate: Plate, rng: np.random.Generator, options: CorpusOptions) -> Drawing:
    if options.library == "vega":
        from scicap_builder.charts import vega

        return vega.draw_plate(plate, rng)
    by_pyplot = rng.random() < PYPLOT_SHARE if options.library == "mixed" else options.library == "matplotlib"
    if by_pyplot and options.images:
        return pyplot.draw_plate(plate, rng)
    return plotting.draw_plate(plate, rng, raster=options.images)


def _other_figure(key: str, rng: np.random.Generator, options: CorpusOptions) -> Figure:
    other = make_other(rng, options.vocabulary, raster=options.images)
    return Figure(
        id=key,
        image=other.drawing.image,
        width=other.drawing.width,
        height=other.drawing.height,
        kind=other.kind if other.kind != "blank" else "other",
        caption=other.caption,
        ocr=seen_text(other.drawing, rng, options),
        mentions=(other.paragraph,),
        paper=Paper(id=key),
        source="charts/own",
        licence="CC0-1.0",
        split=split_of(key),
    )


def seen_text(drawing: Drawing, rng: np.random.Generator, options: CorpusOptions) -> tuple[OcrLine, ...]:
    """The text as an engine gives or might give it: a real reading for a share; else the true lines with some lost, in a
    share of the figures misread, and in another with the order and roles that our layout rules give."""
    if rng.random() < options.engine_share and drawing.image is not None:
        from ocr import read_text

        return read_text(drawing.image)
    lines = tuple(line for line in drawing.ocr if rng.random() >= LOST_LINE_SHARE)
    roles_known = rng.random() < ROLES_KNOWN_SHARE
    if rng.random() < MISREAD_FIGURES:
        lines = misread(lines, float(rng.uniform(*MISREAD_LINES)), random.Random(int(rng.integers(2**31))))  # noqa: S311
    if roles_known:
        return lines
    bare = [replace(line, role="other", panel="", value=None) for line in lines]
    return assign_roles(reading_order(bare), (drawing.width, drawing.height))


def dialogue(
    plate: Plate,
    paragraph: str,
    rng: np.random.Generator,
    ocr: Sequence[OcrLine] = (),
    places: Sequence[Places] | None = None,
) -> tuple[Turn, ...]:
    """One figure of ten: none (the first mention answers). The others: questions, in half of them after the explanation.

    Many questions a figure: reading the figure is what costs, an answer more is nearly free. `places`: where the values
    stand in the image, if there is one; then series are traced, too, and their values listed. Without an image the text is read.
    """
    style = float(rng.random())
    if style < 0.1:
        return ()
    pairs = [(question.text, question.answer) for question in ask(plate, rng, int(rng.integers(4, 13)))]
    if style < 0.55:
        pairs = [(pick(rng, EXPLAIN_REQUESTS), paragraph), *pairs[:8]]
    found = ask_texts(ocr, rng, int(rng.integers(0, 3) if places is not None else rng.integers(1, 7)))
    if places is not None:
        found = [*found, *ask_readings(plate, rng, places)]
    readings = [(question.text, question.answer) for question in found]
    pairs = [*readings, *pairs] if rng.random() < 0.5 else [*pairs, *readings]
    return turns_of(pairs)


def looks(plate: Plate, rng: np.random.Generator, places: Sequence[Places]) -> tuple[Turn, ...]:
    """Questions for the eyes alone."""
    return turns_of([(question.text, question.answer) for question in ask_looks(plate, places, rng)])


def turns_of(pairs: Sequence[tuple[str, str]]) -> tuple[Turn, ...]:
    """Questions and answers as a dialogue."""
    return tuple(
        turn
        for question, answer in pairs
        for turn in (Turn(role="user", text=question), Turn(role="assistant", text=answer))
    )


def data_table(chart: Chart) -> Table:
    """The numbers that were drawn: a row per x, category or bin (its lower edge); per point in a scatter plot."""
    if chart.kind == "scatter":
        points = [(series.name, x, y) for series in chart.series for x, y in zip(series.x, series.y, strict=True)]
        return Table(
            header=("Series", chart.x.label, chart.y.label),
            rows=tuple((name, f"{x:.4g}", f"{y:.4g}") for name, x, y in points),
        )
    first = chart.series[0]
    places = chart.categories or tuple(f"{x:.4g}" for x in first.x[: len(first.y)])
    return Table(
        header=(chart.x.label or "Category", *(series.name or chart.y.label for series in chart.series)),
        rows=tuple((place, *(f"{series.y[row]:.4g}" for series in chart.series)) for row, place in enumerate(places)),
    )


def write_charts(
    out: Path, *, count: int, seed: int, workers: int = 1, options: CorpusOptions = CorpusOptions()
) -> Iterator[int]:
    """Draw charts 0 to `count` - 1 into the data set `out`, yielding how many are done; a killed run goes on where it was."""
    described: dict[str, Any] = {"builder": "charts", "seed": seed} | {
        name: value for name, value in vars(options).items() if value != getattr(CorpusOptions, name)
    }
    with DatasetWriter(out, options=described) as writer:
        done = len(writer.done)
        yield done
        shards = [range(start, min(start + SHARD, count)) for start in range(0, count, SHARD)]
        missing = [shard for shard in shards if f"charts:{seed}-{shard[-1]:06d}" not in writer.done]
        for figures in _drawn([(seed, shard, options) for shard in missing], workers):
            fresh = [figure for figure in figures if figure.id not in writer.done]
            writer.write_shard([figure.id for figure in fresh], fresh)
            done += len(fresh)
            yield done
        writer.finish()


_Task = tuple[int, Sequence[int], CorpusOptions]


def _drawn(tasks: Sequence[_Task], workers: int) -> Iterator[list[Figure]]:
    """The shards as they get ready."""
    if workers == 1:
        yield from map(_draw_shard, tasks)
        return
    # Spawned, not forked: the caller may run threads (torch, an OCR engine), which fork does not survive.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_draw_shard, tasks)


def _draw_shard(task: _Task) -> list[Figure]:
    seed, indexes, options = task
    return [make_figure(seed, index, options) for index in indexes]


def charts_command(  # noqa: PLR0917  (typer reads the options from the signature)
    out: Annotated[Path, typer.Option(help="Folder of the data set.")],
    count: Annotated[int, typer.Option(help="Number of figures.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same figures.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes that draw.", min=1)] = 1,
    images: Annotated[
        bool, typer.Option(help="Without images: texts alone, for a text-only stage of training.")
    ] = True,
    vocabulary: Annotated[str, typer.Option(help=f"Words: {', '.join(VOCABULARIES)} (for testing).")] = "known",
    library: Annotated[str, typer.Option(help=f"What draws: {', '.join(LIBRARIES)} (for testing).")] = "mixed",
    looking: Annotated[
        bool, typer.Option(help="Only questions that the pixels alone answer, for a stage of training without context.")
    ] = False,
    engine_share: Annotated[
        float, typer.Option(help="Share of figures whose text the OCR engine reads (a second each).", min=0, max=1)
    ] = 0.0,
) -> None:
    """Draw scientific charts with known data as figure records.

    Example: scicap_builder charts --count 20000 --seed 1 --out charts
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    options = CorpusOptions(
        images=images, vocabulary=vocabulary, library=library, looking=looking, engine_share=engine_share
    )
    columns = (TextColumn("charts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("charts", total=count)
        for done in write_charts(out, count=count, seed=seed, workers=workers, options=options):
            progress.update(task, completed=done)
    typer.echo(f"{out}: {done} charts")
