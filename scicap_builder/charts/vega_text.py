"""The texts of an SVG that Vega wrote, with their boxes. In: SVG and the plate it shows. Out: true lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

import numpy as np
from defusedxml.ElementTree import fromstring

from llava_graph.record import OcrLine
from scicap_builder.charts.canvas import load_font
from scicap_builder.charts.chart import Plate
from scicap_builder.charts.drawing import true_line

NAMESPACE = "{http://www.w3.org/2000/svg}"
FONT_WIDTH = 0.96
"""Liberation Sans is a little narrower than DejaVu Sans."""
_TRANSFORM = re.compile(r"(translate|rotate|scale)\(([^)]*)\)")


def read_texts(svg: str, plate: Plate, size: tuple[int, int]) -> Iterator[OcrLine]:
    """Every text of the drawing. `size`: (width, height) of the picture in px."""
    root = fromstring(svg)
    scale = size[0] / float(root.get("width", "1"))
    for node, matrix, groups in _texts(root, np.eye(3), ""):
        text = "".join(node.itertext()).replace("−", "-").strip()
        if text:
            corners = _corners(node, text, matrix) * scale
            (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
            role, letter = _role(text, groups, plate)
            box = (float(x0), float(y0), float(x1), float(y1))
            yield true_line(text, box, size, role=role, panel=letter, turned=abs(matrix[0, 1]) > 0.9)


def _texts(node: Element, matrix: np.ndarray, groups: str) -> Iterator[tuple[Element, np.ndarray, str]]:
    """(text element, its transform, the classes of the groups around it) for every text that is drawn."""
    matrix = matrix @ _matrix(node.get("transform", ""))
    groups = f"{groups} {node.get('class', '')} {node.get('aria-label', '')}"
    if node.tag == f"{NAMESPACE}text" and node.get("opacity") != "0":
        yield node, matrix, groups
    for child in node:
        yield from _texts(child, matrix, groups)


def _corners(node: Element, text: str, matrix: np.ndarray) -> np.ndarray:
    """(2, 2) two opposite corners of a text; its width is estimated with another font."""
    size = float(re.sub(r"[^\d.]", "", node.get("font-size", "11px")) or 11)
    width = load_font("DejaVuSans", 20).getlength(text) * size / 20 * FONT_WIDTH
    shift = {"middle": -0.5, "end": -1.0}.get(node.get("text-anchor", "start"), 0.0) * width
    start = np.array([float(node.get("x", "0")), float(node.get("y", "0")), 0.0])
    corners = start + np.array([(shift, -0.78 * size, 1), (shift + width, 0.2 * size, 1)])
    return (matrix @ corners.T).T[:, :2]


def _role(text: str, path: str, plate: Plate) -> tuple[str, str]:
    """(role, panel) by the groups that the text stands in."""
    found = re.search(r"concat_(\d+)_group", path)
    letter = plate.letters[int(found[1])] if found and plate.letters[0] else ""
    role = "annotation"
    if "role-legend-title" in path:
        role = "other"
    elif "role-legend" in path:
        role = "tick" if re.fullmatch(r"[-\d.,e]+", text) else "legend"
    elif "role-axis" in path:
        side = "y" if "Y-axis" in path else "x"
        role = f"{side}-axis" if "role-axis-title" in path else f"{side}-tick"
    elif "role-title" in path:
        role = "title"
    return role, letter


def _matrix(transform: str) -> np.ndarray:
    """The 3 x 3 matrix of an SVG transform of translations, rotations and scalings."""
    total = np.eye(3)
    for name, arguments in _TRANSFORM.findall(transform):
        numbers = [float(part) for part in re.split(r"[ ,]+", arguments.strip())]
        step = np.eye(3)
        if name == "translate":
            step[:2, 2] = (*numbers, 0.0)[:2]
        elif name == "scale":
            step[0, 0], step[1, 1] = numbers[0], numbers[-1]
        else:
            angle = np.deg2rad(numbers[0])
            step[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        total = total @ step
    return total
