"""The order in which a reader takes a figure's lines. Pure geometry."""

from collections.abc import Sequence

from llava_graph.record import OcrLine


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


def by_panel(lines: Sequence[OcrLine]) -> tuple[OcrLine, ...]:
    """The lines of each panel together, the panels in the order of their letters; what stands in none comes first."""
    return tuple(sorted(lines, key=lambda line: line.panel))
