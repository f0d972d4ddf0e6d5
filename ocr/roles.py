"""What each line of a figure's text is: ticks, names of axes, title, legend, panel letters, words among the data.

In: lines with boxes. Out: the same lines with role, panel and value. Pure geometry; whether a colour sample stands beside a
line (a legend entry) is asked from `ocr.swatches` where the image is at hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from llava_graph.record import OcrLine
from ocr.frames import Frame, find_frames
from ocr.letters import Anchor, find_letters, panel_of
from ocr.numbers import parse_number
from ocr.scales import ALIGNED, PxBox, Scale, around, find_scales, height, in_line

Swatch = Callable[[OcrLine], bool]
"""Whether a colour sample (a short line, a marker, a patch) stands beside a line."""
SQUARE = (1000, 1000)

NAME_REACH = 4.0
"""Text heights between the ticks of an axis and its name."""
TITLE_REACH = 5.0
"""Text heights between the top of a plot and its title."""
CENTRED = 0.2
"""How far the middle of a name may be from the middle of its axis, in lengths of the axis."""
EVEN = 0.3
"""Share of their mean by which the distances between the names of categories may vary."""
SIDE_BAND = 0.2
"""Where no scale is known: a y-axis name is a turned line in the outer fifth of the width."""
HEADROOM = 0.35
"""Share of a plot's height, from first to last tick, that may lie above the last tick."""
ENTRIES = 1.0
"""Text heights by which the entries of a legend may be out of line: where a sample was read along, its cut is a guess."""
LEGEND_GAP = 1.6
"""Text heights between two entries of a legend, at most."""


def assign_roles(
    lines: Sequence[OcrLine], size: tuple[int, int] = SQUARE, *, swatch: Swatch | None = None
) -> tuple[OcrLine, ...]:
    """The same lines in the same order with `role`, `panel` and `value`. `size`: of the image in px."""
    figure = _Figure(lines, size)
    figure.mark_letters()
    figure.mark_ticks()
    figure.mark_categories()
    figure.mark_names()
    figure.mark_titles(swatch)
    figure.mark_legends(swatch)
    figure.mark_annotations()
    return figure.result()


class _Figure:
    """The lines of one figure while their roles are found; a role once given stays."""

    def __init__(self, lines: Sequence[OcrLine], size: tuple[int, int]) -> None:
        width, height_px = size
        self.lines = lines
        self.boxes: list[PxBox] = [
            (line.box[0] * width, line.box[1] * height_px, line.box[2] * width, line.box[3] * height_px)
            for line in lines
        ]
        self.size = size
        self.values = [parse_number(line.text) for line in lines]
        self.roles = ["other"] * len(lines)
        self.letters: tuple[Anchor, ...] = ()
        self.frames: tuple[Frame, ...] = ()

    def free(self, *, turned: bool | None = None) -> list[int]:
        """Lines without a role yet; `turned`: only those that stand upright, or only the others."""
        return [
            index
            for index, role in enumerate(self.roles)
            if role == "other" and (turned is None or (self.lines[index].orientation in (90, 270)) == turned)
        ]

    def mark_letters(self) -> None:
        self.letters = find_letters([line.text for line in self.lines], self.boxes)
        for anchor in self.letters:
            if anchor.alone:
                self.roles[anchor.index] = "panel"

    def mark_ticks(self) -> None:
        values = [None if role == "panel" else value for role, value in zip(self.roles, self.values, strict=True)]
        scales = find_scales(self.boxes, values)
        self.frames = find_frames(scales, self.boxes)
        for scale in scales:
            for index in scale.members:
                self.roles[index] = f"{scale.axis}-tick"

    def mark_categories(self) -> None:
        """Words in the place of ticks: a row below a plot, or a column at its left, evenly apart."""
        words = {i for i in self.free() if self.values[i] is None}
        for number, frame in enumerate(self.frames):
            if frame.x is None and frame.y is not None:
                row = self._category_row(words, frame)
                if row:
                    self.frames = _with(
                        self.frames,
                        number,
                        replace(frame, x=self._scale("x", row)),
                    )
                    self._mark(row, "x-tick")
            elif frame.y is None and frame.x is not None:
                column = self._category_column(words, frame)
                if column:
                    self.frames = _with(
                        self.frames,
                        number,
                        replace(frame, y=self._scale("y", column)),
                    )
                    self._mark(column, "y-tick")

    def _scale(self, axis: str, members: Sequence[int]) -> Scale:
        return Scale(axis, tuple(members), around([self.boxes[i] for i in members]))

    def _category_row(self, words: set[int], frame: Frame) -> list[int]:
        left, bottom = frame.box[0], frame.box[3]
        below = {
            i for i in words if self.boxes[i][1] > bottom - 0.3 * height(self.boxes[i]) and self.boxes[i][2] > left
        }
        rows = [sorted(row, key=lambda i: self.boxes[i][0]) for row in in_line(self.boxes, below, lambda b: b[1])]
        rows = [row for row in rows if len(row) > 1 and self._evenly(row, 0)]
        first = min(rows, key=lambda row: self.boxes[row[0]][1], default=[])
        if not first or self.boxes[first[0]][1] - bottom > NAME_REACH * height(self.boxes[first[0]]):
            return []
        return first

    def _category_column(self, words: set[int], frame: Frame) -> list[int]:
        left, bottom = frame.box[0], frame.box[3]
        beside = {
            i
            for i in words
            if self.boxes[i][2] < left + 2 * height(self.boxes[i]) and self.boxes[i][3] < bottom + height(self.boxes[i])
        }
        columns = [sorted(c, key=lambda i: self.boxes[i][1]) for c in in_line(self.boxes, beside, lambda b: b[2])]
        columns = [column for column in columns if len(column) > 1 and self._evenly(column, 1)]
        return max(columns, key=lambda column: (len(column), self.boxes[column[0]][2]), default=[])

    def _evenly(self, row: Sequence[int], axis: int) -> bool:
        """By their middles; names that are set slantwise end at their ticks."""
        middles = [(self.boxes[i][axis] + self.boxes[i][axis + 2]) / 2 for i in row]
        for places in (middles, [self.boxes[i][axis + 2] for i in row]):
            gaps = [after - before for before, after in pairwise(places)]
            mean = sum(gaps) / len(gaps)
            if all(abs(gap - mean) <= EVEN * mean for gap in gaps):
                return True
        return False

    def _mark(self, indices: Sequence[int], role: str) -> None:
        for index in indices:
            self.roles[index] = role

    def mark_names(self) -> None:
        for frame in self.frames:
            if frame.x is not None:
                self._mark(self._x_name(frame.x), "x-axis")
            for scale in (frame.y, frame.right):
                if scale is not None:
                    self._mark(self._y_name(scale), "y-axis")
        if self.frames and "x-axis" not in self.roles:
            self._mark(self._shared_x_name(), "x-axis")
        if "y-axis" not in self.roles:
            sides = [i for i in self.free(turned=True) if self.boxes[i][0] < SIDE_BAND * self.size[0]]
            self._mark(sorted(sides, key=lambda i: self.boxes[i][0])[:1], "y-axis")

    def _x_name(self, scale: Scale) -> list[int]:
        x0, _, x1, bottom = scale.box
        options = []
        for i in self.free(turned=False):
            box = self.boxes[i]
            gap = box[1] - bottom
            middle = abs((box[0] + box[2]) - (x0 + x1)) / 2
            if -0.5 * height(box) < gap < NAME_REACH * height(box) and middle < CENTRED * (x1 - x0) + 2 * height(box):
                options.append((gap, i))
        return self._and_next(min(options)[1], 1) if options else []

    def _y_name(self, scale: Scale) -> list[int]:
        x0, y0, x1, y1 = scale.box
        options = []
        for i in self.free(turned=True):
            box = self.boxes[i]
            gap = max(x0 - box[2], box[0] - x1)
            middle = abs((box[1] + box[3]) - (y0 + y1)) / 2
            if -0.5 * height(box) < gap < NAME_REACH * height(box) and middle < 2 * CENTRED * (y1 - y0) + 2 * height(
                box
            ):
                options.append((gap, i))
        return self._and_next(min(options)[1], 0) if options else []

    def _and_next(self, index: int, axis: int) -> list[int]:
        """A name of two lines: what stands close beside the first and along it."""
        box, other = self.boxes[index], 1 - axis
        for i in self.free():
            near = self.boxes[i]
            gap = max(near[axis] - box[axis + 2], box[axis] - near[axis + 2])
            middle = abs(near[other] + near[other + 2] - box[other] - box[other + 2]) / 2
            alike = self.lines[i].orientation == self.lines[index].orientation
            if i != index and alike and -0.4 * height(box) < gap < 0.6 * height(box) and middle < height(box):
                return [index, i]
        return [index]

    def _shared_x_name(self) -> list[int]:
        """One name below all plots."""
        low = max(frame.x.box[3] if frame.x else frame.box[3] for frame in self.frames)
        whole = around([frame.box for frame in self.frames])
        below = [
            i
            for i in self.free(turned=False)
            if self.boxes[i][1] > low - 0.5 * height(self.boxes[i])
            and abs(self.boxes[i][0] + self.boxes[i][2] - whole[0] - whole[2]) / 2 < CENTRED * (whole[2] - whole[0])
        ]
        return sorted(below, key=lambda i: self.boxes[i][1])[:1]

    def mark_legends(self, swatch: Swatch | None) -> None:
        if not self.frames:
            return
        candidates = set(self.free(turned=False))
        sampled = {i for i in candidates if swatch is not None and swatch(self.lines[i])}
        for edge in (0, 2):  # gnuplot sets its entries flush right, before their samples
            columns = in_line(self.boxes, candidates, lambda b, edge=edge: b[edge], ENTRIES)  # type: ignore[misc]
            for run in (run for column in columns for run in self._close_runs(column, 1)):
                # Entries under each other are a legend by that alone; other words are one only beside a colour sample.
                if len(run) > 1:
                    self._mark(run, "legend")
                    candidates -= set(run)
        rows = in_line(self.boxes, candidates, lambda b: (b[1] + b[3]) / 2)
        for run in (run for row in rows for run in self._close_runs(row, 0)):
            if 2 * sum(i in sampled for i in run) > len(run):
                self._mark(run, "legend")

    def _close_runs(self, group: Sequence[int], axis: int) -> list[list[int]]:
        """Parts of a column (axis 1) or row (axis 0) whose members follow each other closely."""
        runs: list[list[int]] = []
        for i in sorted(group, key=lambda i: self.boxes[i][axis]):
            reach = (LEGEND_GAP if axis == 1 else 6 * LEGEND_GAP) * height(self.boxes[i])
            if runs and self.boxes[i][axis] - self.boxes[runs[-1][-1]][axis + 2] < reach:
                runs[-1].append(i)
            else:
                runs.append([i])
        return runs

    def mark_titles(self, swatch: Swatch | None) -> None:
        for frame in self.frames:
            x0, top, x1, _ = frame.box
            above = []
            for i in self.free(turned=False):
                box = self.boxes[i]
                gap = top - box[3]
                centred = abs(box[0] + box[2] - x0 - x1) / 2 < CENTRED * (x1 - x0) + height(box)
                at_left = abs(box[0] - x0) < 2 * height(box)
                near = gap < TITLE_REACH * height(box)
                if swatch is not None and swatch(self.lines[i]):
                    continue
                if gap > -0.8 * height(box) and (
                    (near and (centred or at_left)) or (centred and self._topmost(i, frame))
                ):
                    above.append((gap, i))
            self._mark([i for _, i in sorted(above)[:2]], "title")

    def _topmost(self, index: int, frame: Frame) -> bool:
        """Whether nothing stands above a line, and it is in the room that a plot may have above its last tick."""
        box = self.boxes[index]
        over = [b for b in self.boxes if b[3] <= box[1] + 1 and b[0] < frame.box[2] and b[2] > frame.box[0]]
        return not over and box[3] > self._head(frame)

    def _head(self, frame: Frame) -> float:
        """How far up the data of a plot may reach: a third of its height above the last tick, below the next plot."""
        x0, top, x1, bottom = frame.box
        others = [f.box[3] for f in self.frames if f.box[3] < top and f.box[0] < x1 and f.box[2] > x0]
        return max([top - HEADROOM * (bottom - top), *others])

    def mark_annotations(self) -> None:
        areas = [(frame.box[0], self._head(frame), frame.box[2], frame.box[3]) for frame in self.frames]
        for i in self.free():
            x, y = (self.boxes[i][0] + self.boxes[i][2]) / 2, (self.boxes[i][1] + self.boxes[i][3]) / 2
            reach = ALIGNED * height(self.boxes[i])
            if any(a[0] - reach < x < a[2] + reach and a[1] - reach < y < a[3] + reach for a in areas):
                self.roles[i] = "annotation"
            elif self.values[i] is not None and self.frames:
                self.roles[i] = "tick"

    def result(self) -> tuple[OcrLine, ...]:
        panels = panel_of(self.boxes, self.letters, self.frames)
        return tuple(
            replace(line, role=role, panel=panel, value=value)
            for line, role, panel, value in zip(self.lines, self.roles, panels, self.values, strict=True)
        )


def _with(frames: tuple[Frame, ...], number: int, frame: Frame) -> tuple[Frame, ...]:
    return (*frames[:number], frame, *frames[number + 1 :])
