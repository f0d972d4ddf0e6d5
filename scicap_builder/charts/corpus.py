"""A corpus of charts: a seed and a count in, figure records or a data set folder out.

Chart `index` of a seed is the same on every run, however many are drawn and by however many processes.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from llava_graph.dataset import DatasetWriter
from llava_graph.prompt import EXPLAIN_REQUESTS
from llava_graph.record import Figure, OcrLine, Paper, Table, Turn, split_of
from ocr.layout import reading_order
from ocr.roles import assign_roles
from scicap_builder.charts.data import Chart, make_chart, pick
from scicap_builder.charts.draw import Drawing, draw_chart
from scicap_builder.charts.questions import ask
from scicap_builder.charts.text import write_caption, write_paragraph

SHARD = 500
"""Charts per shard: half a minute of drawing on one core is what a killed run repeats."""
ROLES_KNOWN_SHARE = 0.6
"""Share of charts whose text lines carry their true roles; the others carry those that can be seen from the layout."""
LOST_LINE_SHARE = 0.04
"""Share of lines left out, as an OCR engine misses some."""


def make_figure(seed: int, index: int) -> Figure:
    """Chart number `index` of the corpus `seed`, drawn and described."""
    rng = np.random.default_rng([seed, index])
    chart = make_chart(rng)
    drawing = draw_chart(chart, rng)
    key = f"charts:{seed}-{index:06d}"
    label = f"{pick(rng, ('Figure', 'Fig.'))} {rng.integers(1, 13)}" if rng.random() < 0.3 else ""
    caption = write_caption(chart, rng)
    told = chart.subject.lower() in f"{caption} {chart.title}".lower()
    paragraph = write_paragraph(chart, rng, label if caption and rng.random() < 0.7 else "", context=told)
    return Figure(
        id=key,
        image=drawing.image,
        width=drawing.width,
        height=drawing.height,
        kind="chart",
        label=label,
        caption=caption,
        ocr=seen_text(drawing, rng),
        mentions=(paragraph,),
        paper=Paper(id=key),
        table=data_table(chart),
        turns=dialogue(chart, paragraph, rng),
        source="charts",
        licence="CC0-1.0",
        split=split_of(key),
    )


def seen_text(drawing: Drawing, rng: np.random.Generator) -> tuple[OcrLine, ...]:
    """The true text as an engine might give it: some lines lost, and in a share of the charts the order and roles that
    our layout rules give to an engine's lines."""
    lines = [line for line in drawing.ocr if rng.random() >= LOST_LINE_SHARE]
    if rng.random() < ROLES_KNOWN_SHARE:
        return tuple(lines)
    return assign_roles(reading_order([replace(line, role="other") for line in lines]), (drawing.width, drawing.height))


def dialogue(chart: Chart, paragraph: str, rng: np.random.Generator) -> tuple[Turn, ...]:
    """Half of the charts: none (the first mention answers). The others: questions, with or without the explanation first."""
    style = float(rng.random())
    if style < 0.5:
        return ()
    pairs = ask(chart, rng, int(rng.integers(1, 4)))
    if style < 0.75:
        pairs = [(pick(rng, EXPLAIN_REQUESTS), paragraph), *pairs[:2]]
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


def write_charts(out: Path, *, count: int, seed: int, workers: int = 1) -> Iterator[int]:
    """Draw charts 0 to `count` - 1 into the data set `out`, yielding how many are done; a killed run goes on where it was."""
    with DatasetWriter(out, options={"builder": "charts", "seed": seed}) as writer:
        done = len(writer.done)
        yield done
        shards = [range(start, min(start + SHARD, count)) for start in range(0, count, SHARD)]
        missing = [shard for shard in shards if f"charts:{seed}-{shard[-1]:06d}" not in writer.done]
        # Spawned, not forked: the caller may run threads (torch, an OCR engine), which fork does not survive.
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for figures in pool.imap(_draw_shard, [(seed, shard) for shard in missing]):
                fresh = [figure for figure in figures if figure.id not in writer.done]
                writer.write_shard([figure.id for figure in fresh], fresh)
                done += len(fresh)
                yield done
        writer.finish()


def _draw_shard(task: tuple[int, Sequence[int]]) -> list[Figure]:
    seed, indexes = task
    return [make_figure(seed, index) for index in indexes]


def charts_command(
    out: Annotated[Path, typer.Option(help="Folder of the data set.")],
    count: Annotated[int, typer.Option(help="Number of charts.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same charts.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes that draw.", min=1)] = 1,
) -> None:
    """Draw scientific charts with known data as figure records.

    Example: scicap_builder charts --count 20000 --seed 1 --out charts
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("charts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("charts", total=count)
        for done in write_charts(out, count=count, seed=seed, workers=workers):
            progress.update(task, completed=done)
    typer.echo(f"{out}: {done} charts")
