"""Figures drawn with Vega-Lite (vl-convert), a library that training never sees: for testing alone.

In: a plate and a random generator. Out: a drawing whose true text is read off the SVG that the same picture is made from.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from llava_graph.errors import MissingExtra
from scicap_builder.charts.chart import Chart, Plate, pick
from scicap_builder.charts.drawing import PALETTES, Drawing, encode
from scicap_builder.charts.facts import cell_text
from scicap_builder.charts.vega_text import read_texts

FONT = "Liberation Sans"
"""The font that vl-convert brings; training charts have others."""


def draw_plate(plate: Plate, rng: np.random.Generator) -> Drawing:
    """Draw `plate` in a style chosen by `rng`. Raises MissingExtra without vl-convert-python."""
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtra("vl-convert-python", "charts-test", needed_for="drawing charts with Vega-Lite") from error
    from PIL import Image

    spec = vega_spec(plate, rng)
    svg = vl_convert.vegalite_to_svg(spec)
    scale = float(rng.uniform(0.9, 1.5))
    picture = Image.open(io.BytesIO(vl_convert.svg_to_png(svg, scale=scale))).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    image = white.convert("RGB")
    return Drawing(
        image=encode(image, rng), width=image.width, height=image.height,
        ocr=tuple(read_texts(svg, plate, image.size)), library="vega",
    )  # fmt: skip


def vega_spec(plate: Plate, rng: np.random.Generator) -> dict[str, Any]:
    """The Vega-Lite specification; panels get their letters as titles in front."""
    size = float(rng.uniform(0.55, 0.7)) if len(plate.panels) > 1 else 1.0
    look = {
        "palette": list(pick(rng, PALETTES)),
        "width": int(rng.integers(220, 360) * size), "height": int(rng.integers(170, 270) * size),
        "points": bool(rng.random() < 0.5), "dash": bool(rng.random() < 0.3), "bottom": bool(rng.random() < 0.25),
    }  # fmt: skip
    charts = [
        chart_spec(chart, look, rng) | {"title": _title(chart, letter)}
        for chart, letter in zip(plate.panels, plate.letters, strict=True)
    ]
    config: dict[str, Any] = {
        "font": FONT,
        "axis": {
            "grid": bool(rng.random() < 0.6),
            "labelFontSize": int(rng.integers(9, 13)),
            "titleFontSize": int(rng.integers(10, 14)),
        },
        "view": {"stroke": pick(rng, ("transparent", "#ddd", "#000"))},
        "legend": {
            "orient": "bottom" if look["bottom"] else pick(rng, ("right", "top", "top-right")),
            "fillColor": "white",
            "padding": 4,
        },
        "title": {"anchor": "start" if plate.letters[0] else pick(rng, ("middle", "start"))},
        "range": {"category": look["palette"]},
    }
    body: dict[str, Any] = charts[0]
    if len(charts) > 1:
        independent = {"scale": {"color": "independent"}, "legend": {"color": "independent"}}
        body = {"concat": charts, "columns": plate.columns, "resolve": independent}
    return {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "config": config, "padding": 8} | body


def _title(chart: Chart, letter: str) -> str:
    return f"({letter}) {chart.title}".strip() if letter else chart.title


def chart_spec(chart: Chart, look: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """One chart: data, mark and encoding."""
    base = {"width": look["width"], "height": look["height"]}
    named = len(chart.series) > 1 or (bool(chart.series[0].name) and not chart.categories and rng.random() < 0.5)
    colour = {"color": {"field": "series", "type": "nominal", "title": None, "sort": None}} if named else {}
    if chart.kind in ("line", "roc", "pr", "scatter"):
        return base | _over_numbers(chart, look, colour)
    if chart.kind == "histogram":
        return base | _histogram(chart, colour)
    if chart.kind == "heatmap":
        return base | _cells(chart)
    return base | (_boxes(chart, colour) if chart.kind == "box" else _bars(chart, colour))


def _rows(chart: Chart) -> list[dict[str, Any]]:
    rows = []
    for series in chart.series:
        name = series.name
        if series.area is not None and chart.printed:
            name = f"{name} ({'AUC' if chart.kind == 'roc' else 'AP'} {series.area:.2f})"
        for index, (x, y) in enumerate(zip(series.x, series.y, strict=False)):
            row = {"x": chart.categories[int(x)] if chart.categories else x, "y": y, "series": name}
            if series.spread:
                row |= {"low": y - series.spread[index], "high": y + series.spread[index]}
            rows.append(row)
    return rows


def _over_numbers(chart: Chart, look: dict[str, Any], colour: dict[str, Any]) -> dict[str, Any]:
    x = {"field": "x", "type": "quantitative", "title": chart.x.label, "scale": {"zero": False, "nice": False}}
    y = {"field": "y", "type": "quantitative", "title": chart.y.label, "scale": {"zero": False}}
    if chart.log_x:
        x["scale"] = {"type": "log", "nice": False}
    if chart.log_y:
        y["scale"] = {"type": "log"}
    if chart.x.name in ("Year", "Publication decade"):
        x["axis"] = {"format": "d"}
    encoding: dict[str, Any] = {"x": x, "y": y} | colour
    if chart.kind == "scatter":
        return {"data": {"values": _rows(chart)}, "mark": {"type": "point", "filled": True}, "encoding": encoding}
    line: dict[str, Any] = {
        "mark": {"type": "line", "point": look["points"] and chart.kind == "line"},
        "encoding": dict(encoding),
    }
    if look["dash"] and colour:
        line["encoding"]["strokeDash"] = {
            "field": "series",
            "type": "nominal",
            "title": None,
            "sort": None,
            "legend": None,
        }
    layers = [line]
    if chart.interval:
        mark = {"type": "rule"} if chart.interval == "bars" else {"type": "area", "opacity": 0.25}
        edges = {"y": y | {"field": "low"}, "y2": {"field": "high"}}
        layers.append({"mark": mark, "encoding": encoding | edges})
    if chart.kind == "roc":
        ends = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]
        chance = {"mark": {"type": "line", "strokeDash": [4, 4], "color": "#999"}, "encoding": {"x": x, "y": y}}
        layers.append({"data": {"values": ends}} | chance)
    return {"data": {"values": _rows(chart)}, "layer": layers}


def _bars(chart: Chart, colour: dict[str, Any]) -> dict[str, Any]:
    across: dict[str, Any] = {"field": "x", "type": "nominal", "title": chart.x.label or None, "sort": None}
    if not chart.sideways:
        across["axis"] = {"labelAngle": -35 if sum(map(len, chart.categories)) > 28 else 0}
    value: dict[str, Any] = {
        "field": "y",
        "type": "quantitative",
        "title": chart.y.label,
        "stack": "zero" if chart.stacked else None,
    }
    if colour and not chart.stacked:
        colour = colour | {("yOffset" if chart.sideways else "xOffset"): {"field": "series", "sort": None}}
    encoding = ({"y": across, "x": value} if chart.sideways else {"x": across, "y": value}) | colour
    layers: list[dict[str, Any]] = [{"mark": "bar", "encoding": encoding}]
    side = "x" if chart.sideways else "y"
    if chart.interval:
        edges = {side: value | {"field": "low"}, f"{side}2": {"field": "high"}}
        plain = {name: part for name, part in encoding.items() if name != "color"}
        layers.append({"mark": {"type": "rule"}, "encoding": plain | edges})
    rows = _rows(chart)
    if chart.printed and not chart.stacked:
        rows = [row | {"shown": cell_text(chart, row["y"])} for row in rows]
        place = {"align": "left", "dx": 3} if chart.sideways else {"baseline": "bottom", "dy": -2}
        plain = {name: part for name, part in encoding.items() if name != "color"}
        layers.append(
            {"mark": {"type": "text", "fontSize": 9} | place, "encoding": plain | {"text": {"field": "shown"}}}
        )
    return {"data": {"values": rows}, "layer": layers}


def _boxes(chart: Chart, colour: dict[str, Any]) -> dict[str, Any]:
    """Five numbers a box; Vega-Lite's whiskers span them when their reach is the extremes."""
    rows = [
        {"x": chart.categories[place], "y": value, "series": series.name}
        for series in chart.series
        for place, box in enumerate(series.boxes)
        for value in box
    ]
    across = {"field": "x", "type": "nominal", "title": chart.x.label or None, "sort": None, "axis": {"labelAngle": 0}}
    value = {"field": "y", "type": "quantitative", "title": chart.y.label, "scale": {"zero": False}}
    if colour:
        colour = colour | {("yOffset" if chart.sideways else "xOffset"): {"field": "series", "sort": None}}
    encoding = ({"y": across, "x": value} if chart.sideways else {"x": across, "y": value}) | colour
    return {"data": {"values": rows}, "mark": {"type": "boxplot", "extent": "min-max"}, "encoding": encoding}


def _histogram(chart: Chart, colour: dict[str, Any]) -> dict[str, Any]:
    rows = [
        {"x": low, "x2": high, "y": y, "series": series.name}
        for series in chart.series
        for low, high, y in zip(series.x[:-1], series.x[1:], series.y, strict=True)
    ]
    encoding = {
        "x": {"field": "x", "type": "quantitative", "title": chart.x.label, "scale": {"zero": False, "nice": False}},
        "x2": {"field": "x2"},
        "y": {"field": "y", "type": "quantitative", "title": chart.y.label, "stack": None, "scale": {"zero": True}},
        "y2": {"datum": 0},
    }
    mark = {"type": "bar", "opacity": 0.7 if len(chart.series) > 1 else 1.0, "stroke": "white"}
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding | colour}


def _cells(chart: Chart) -> dict[str, Any]:
    low, high = chart.y_range
    rows = [
        row | {"shown": cell_text(chart, row["y"]), "dark": (row["y"] - low) / ((high - low) or 1)}
        for row in _rows(chart)
    ]
    place = {
        "x": {"field": "x", "type": "nominal", "title": chart.x.label or None, "sort": None, "axis": {"labelAngle": 0}},
        "y": {"field": "series", "type": "nominal", "title": chart.side.label or None, "sort": None},
    }
    fill = {"field": "y", "type": "quantitative", "title": chart.y.label, "legend": {"orient": "right"}}
    layers: list[dict[str, Any]] = [{"mark": "rect", "encoding": place | {"color": fill}}]
    if chart.printed:
        ink = {"condition": {"test": "datum.dark > 0.55", "value": "white"}, "value": "black"}
        layers.append(
            {"mark": {"type": "text", "fontSize": 9}, "encoding": place | {"text": {"field": "shown"}, "color": ink}}
        )
    return {"data": {"values": rows}, "layer": layers}
