"""Where a line stands tells what it is: reading order and roles (title, axis labels, ticks, legend). Pure geometry."""

import re
from collections.abc import Sequence
from dataclasses import replace

from llava_graph.record import OcrLine

NUMBER = re.compile(r"^[\s$€£~≈<>≤≥±+\-−–]*\d[\d.,:/×x*^eE+\-−–·\s]*(%|[kKMGTµμnm]?|°|ms|s)?$|^10[−-]?\d+$")
"""What axis ticks look like: a number, perhaps with sign, exponent, unit letter or per cent."""
SIDE_BAND = 0.2
"""A y-axis label stands in the outer fifth of the figure's width."""
EDGE_BAND = 0.2
"""A title stands in the top fifth, an x-axis label in the bottom fifth of the figure's height."""
CENTRED = 0.2
"""How far, in figure widths, the middle of a title or x-axis label may be from the middle of the lines' extent."""


def reading_order(lines: Sequence[OcrLine]) -> list[OcrLine]:
    """Top to bottom, and left to right among lines whose middles lie within half a line's height of each other."""
    rows: list[list[OcrLine]] = []
    for line in sorted(lines, key=lambda item: (item.box[1] + item.box[3]) / 2):
        middle, height = (line.box[1] + line.box[3]) / 2, line.box[3] - line.box[1]
        if rows and line.orientation == 0:
            last = rows[-1][0]
            reach = 0.5 * min(height, last.box[3] - last.box[1])
            if last.orientation == 0 and middle - (last.box[1] + last.box[3]) / 2 <= reach:
                rows[-1].append(line)
                continue
        rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda item: item.box[0])]


def assign_roles(lines: Sequence[OcrLine]) -> tuple[OcrLine, ...]:
    """The same lines with roles, for a single chart; what fits no rule keeps "other". Multi-panel figures get few roles."""
    if not lines:
        return ()
    left, right = min(line.box[0] for line in lines), max(line.box[2] for line in lines)
    middle = (left + right) / 2
    ticks = {index for index, line in enumerate(lines) if NUMBER.match(line.text)}
    roles = ["tick" if index in ticks else "other" for index in range(len(lines))]
    words = [index for index in range(len(lines)) if index not in ticks]
    sides = [i for i in words if lines[i].orientation in (90, 270) and lines[i].box[0] < SIDE_BAND]
    if len(ticks) < 2 and not sides:
        return tuple(lines)  # neither a scale nor a turned label: no chart, so no axis names
    if sides:
        roles[min(sides, key=lambda i: lines[i].box[0])] = "y-axis"
    flat = [i for i in words if lines[i].orientation == 0 and abs(_middle(lines[i]) - middle) < CENTRED]
    below = [
        i for i in flat if lines[i].box[3] > 1 - EDGE_BAND and all(lines[i].box[1] >= lines[t].box[1] for t in ticks)
    ]
    if below:
        roles[max(below, key=lambda i: lines[i].box[3])] = "x-axis"
    above = [i for i in flat if lines[i].box[1] < EDGE_BAND and all(lines[i].box[3] <= lines[t].box[3] for t in ticks)]
    above = [i for i in above if roles[i] == "other"]
    if above:
        roles[min(above, key=lambda i: lines[i].box[1])] = "title"
    return tuple(replace(line, role=role) for line, role in zip(lines, roles, strict=True))


def _middle(line: OcrLine) -> float:
    return (line.box[0] + line.box[2]) / 2
