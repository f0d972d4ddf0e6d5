"""Data of bar charts, box plots, heat maps, histograms and scatter plots. In: a random generator and a field. Out: charts."""

import numpy as np

from scicap_builder.charts.chart import Chart, Series, pick
from scicap_builder.charts.curves import INTERVALS, axis_part, scaled
from scicap_builder.charts.invent import invent_or_pick
from scicap_builder.charts.vocabulary import NOTHING, Field, Quantity

CATEGORY_AXES = ("Category", "Group", "Method", "Dataset", "Condition", "Sample", "Class", "Type", "Setting", "Case")
"""What an axis of categories is called, where it is called at all."""
COUNT_NAMES = ("Count", "Frequency", "Number of samples", "Counts", "Occurrences")
SHARE_NAMES = ("Fraction", "Relative frequency", "Proportion", "Probability")


def make_bar(rng: np.random.Generator, field: Field) -> Chart:
    """Bars over categories: single, grouped or stacked, upright or lying, with or without error bars and printed values."""
    y = pick(rng, _plain(field))
    categories = invent_or_pick(rng, field, field.categories, int(rng.integers(2, 8)))
    names = invent_or_pick(rng, field, field.series, int(rng.choice([1, 2, 3, 4], p=[0.45, 0.28, 0.18, 0.09])))
    if len(names) == 1 or set(names) & set(categories):
        names = ("",)
    stacked = len(names) > 1 and rng.random() < 0.4
    bottom, top = axis_part(rng, y)
    base = rng.random(len(categories)) * 0.7
    interval = "bars" if not stacked and rng.random() < 0.22 else ""
    series = []
    for name in names:
        heights = np.clip(base + 0.3 * rng.random(len(categories)), 0.03, 1) / (len(names) if stacked else 1)
        if stacked:
            heights *= rng.uniform(0.3, 1.3)
        half = rng.uniform(0.02, 0.08, len(categories)) * (top - max(bottom, 0)) if interval else np.array([])
        series.append(
            Series(
                name=name,
                x=_numbers(len(categories)),
                y=scaled(heights, 0 if stacked else max(bottom, 0), top),
                spread=tuple(map(float, half)),
            )
        )
    return Chart(
        kind="bar", field=field.name, x=_category_axis(rng), y=y, series=tuple(series), categories=categories,
        stacked=stacked, sideways=bool(rng.random() < 0.25), interval=interval,
        interval_of=pick(rng, INTERVALS) if interval else "",
        printed=bool(not interval and rng.random() < 0.25),
    )  # fmt: skip


def make_box(rng: np.random.Generator, field: Field) -> Chart:
    """Boxes with whiskers over categories, in one or two groups."""
    y = pick(rng, _plain(field))
    categories = invent_or_pick(rng, field, field.categories, int(rng.integers(2, 7)))
    names = invent_or_pick(rng, field, field.series, 2) if rng.random() < 0.25 else ("",)
    if set(names) & set(categories) or len(names) != 2:
        names = ("",)
    bottom, top = axis_part(rng, y)
    series = []
    for name in names:
        boxes = []
        for _ in categories:
            middle, width = rng.uniform(0.3, 0.7), rng.uniform(0.05, 0.14)
            steps = np.array([-width * rng.uniform(1.4, 2.2), -width * rng.uniform(0.5, 1), 0.0])
            upper = np.array([width * rng.uniform(0.5, 1), width * rng.uniform(1.4, 2.2)])
            numbers = scaled(np.clip(middle + np.concatenate([steps, upper]), 0, 1), bottom, top)
            boxes.append((numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]))
        medians = tuple(box[2] for box in boxes)
        series.append(Series(name=name, x=_numbers(len(categories)), y=medians, boxes=tuple(boxes)))
    return Chart(
        kind="box", field=field.name, x=_category_axis(rng), y=y, series=tuple(series), categories=categories,
        sideways=bool(rng.random() < 0.15),
    )  # fmt: skip


def make_heatmap(rng: np.random.Generator, field: Field) -> Chart:
    """A grid of values: a confusion matrix, a correlation table or a measured quantity over two sets of categories."""
    columns = invent_or_pick(rng, field, field.categories, int(rng.integers(3, 7)))
    style = rng.random()
    if style < 0.3:  # a confusion matrix
        rows, x, side = columns, Quantity("Predicted", "", 0, 1), Quantity("True", "", 0, 1)
        y = Quantity(pick(rng, SHARE_NAMES), "", 0, 1)
        values = rng.random((len(rows), len(columns))) * 0.3 + np.eye(len(rows)) * rng.uniform(0.5, 2)
        values /= values.sum(axis=1, keepdims=True)
    else:
        rows = invent_or_pick(rng, field, field.series, int(rng.integers(2, 6)))
        x, side = _category_axis(rng), _category_axis(rng)
        y = pick(rng, _plain(field))
        values = rng.random((len(rows), len(columns)))
    bottom, top = (0.0, 1.0) if style < 0.3 else axis_part(rng, y)
    series = tuple(
        Series(name=name, x=_numbers(len(columns)), y=scaled(row, bottom, top))
        for name, row in zip(rows, values, strict=True)
    )
    return Chart(
        kind="heatmap", field=field.name, x=x, y=y, side=side, series=series, categories=columns,
        printed=bool(rng.random() < 0.55),
    )  # fmt: skip


def make_scatter(rng: np.random.Generator, field: Field) -> Chart:
    """Clouds of points with a positive, a negative or no relation."""
    x, y = pick(rng, field.across), pick(rng, [quantity for quantity in field.measured if not quantity.log])
    names = invent_or_pick(rng, field, field.series, int(rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15])))
    low, high = axis_part(rng, x)
    bottom, top = axis_part(rng, y)
    log_x = x.log and low > 0
    series = []
    for name in names:
        count = int(rng.integers(12, 80))
        place = rng.random(count)
        shape = str(rng.choice(["positive", "negative", "none"], p=[0.42, 0.36, 0.22]))
        slope = {"positive": place, "negative": 1 - place, "none": np.full(count, 0.5)}[shape]
        spread = 0.22 if shape == "none" else 0.03 + 0.12 * rng.random()
        values = np.clip(0.1 + 0.75 * slope + spread * rng.standard_normal(count), 0.01, 0.99)
        grid = low * (high / low) ** place if log_x else low + (high - low) * place
        series.append(Series(name=name, x=tuple(map(float, grid)), y=scaled(values, bottom, top), shape=shape))
    return Chart(kind="scatter", field=field.name, x=x, y=y, series=tuple(series), log_x=log_x)


def make_histogram(rng: np.random.Generator, field: Field) -> Chart:
    """How often values of one quantity occur, for one or two samples."""
    x = pick(rng, [quantity for quantity in (*field.measured, *field.across) if not quantity.log])
    names = invent_or_pick(rng, field, field.series, 2) if rng.random() < 0.25 else ("",)
    low, high = axis_part(rng, x)
    edges = np.linspace(low, high, int(rng.integers(8, 30)) + 1)
    share = rng.random() < 0.3
    series = []
    for name in names:
        shape = str(rng.choice(["symmetric", "skewed"], p=[0.6, 0.4]))
        heights, _ = np.histogram(low + (high - low) * _draws(rng, shape), bins=edges)
        values = heights / max(heights.sum(), 1) if share else heights
        bars = tuple(float(round(value, 4)) for value in values)
        series.append(Series(name=name, x=tuple(map(float, edges)), y=bars, shape=shape))
    y = Quantity(pick(rng, SHARE_NAMES if share else COUNT_NAMES), "", 0, 1)
    return Chart(kind="histogram", field=field.name, x=x, y=y, series=tuple(series))


def _draws(rng: np.random.Generator, shape: str) -> np.ndarray:
    """(count,) numbers, mostly in 0..1."""
    count = int(rng.integers(200, 3000))
    if shape == "skewed":
        return rng.gamma(2.0, 0.12, count)
    return rng.normal(0.3 + 0.4 * rng.random(), 0.08 + 0.1 * rng.random(), count)


def _plain(field: Field) -> list[Quantity]:
    """What bars can stand for: from zero on and not over orders of magnitude."""
    return [quantity for quantity in field.measured if quantity.low >= 0 and not quantity.log]


def _category_axis(rng: np.random.Generator) -> Quantity:
    return Quantity(pick(rng, CATEGORY_AXES), "", 0, 1) if rng.random() < 0.4 else NOTHING


def _numbers(count: int) -> tuple[float, ...]:
    return tuple(float(index) for index in range(count))
