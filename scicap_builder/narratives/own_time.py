"""Boxes without clusters: where the cursor was while an utterance was said. Ours; neighbours in the same place are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llava_graph.record import Box
from scicap_builder.narratives.clusters import FEW_WORDS, ClusterOptions, Trace, measure
from scicap_builder.narratives.speech import Utterance
from scicap_builder.narratives.text import Narrated

SAME_PLACE = 0.5
"""Intersection over union from which two boxes are of one place."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Utterances in a row and the box of the points meanwhile; None: the cursor rested, was away, or went everywhere."""

    said: tuple[Utterance, ...]
    box: Box | None

    @property
    def text(self) -> str:
        return " ".join(one.text for one in self.said)


def own_time(
    trace: Trace, utterances: Sequence[Utterance], options: ClusterOptions, size: tuple[int, int] | None
) -> tuple[Narrated, ...]:
    """The utterances with the box of the points between their start and end; without any box one part, without a box.

    What has no box, or hardly a word, joins the stretch before it (at the beginning, the one after it).
    """
    stretches: list[_Stretch] = []
    for one in utterances:
        fresh = _Stretch((one,), _box(trace, (one,), options, size))
        before = stretches[-1] if stretches else None
        if before and (_weak(fresh) or _weak(before) or overlap(before.box, fresh.box) >= SAME_PLACE):
            stretches[-1] = _joined(before, fresh, trace, options, size)
        else:
            stretches.append(fresh)
    return tuple(Narrated(stretch.text, stretch.box) for stretch in stretches)


def _weak(stretch: _Stretch) -> bool:
    return stretch.box is None or len(stretch.text.split()) <= FEW_WORDS


def _joined(
    before: _Stretch, after: _Stretch, trace: Trace, options: ClusterOptions, size: tuple[int, int] | None
) -> _Stretch:
    """One stretch of two: its box is that of the one that has words and a box, of both where both have."""
    said = (*before.said, *after.said)
    if _weak(before) != _weak(after):
        return _Stretch(said, (before if _weak(after) else after).box)
    return _Stretch(said, _box(trace, said, options, size) or before.box or after.box)


def _box(trace: Trace, said: Sequence[Utterance], options: ClusterOptions, size: tuple[int, int] | None) -> Box | None:
    """The box of the points while this is said, without outliers; None where its area says nothing."""
    times = trace[:, 2]
    points = trace[np.logical_or.reduce([(times >= one.start) & (times <= one.end) for one in said])]
    if not len(points):
        return None
    box, area = measure(points, np.zeros(len(points), dtype=np.int64), options, size)[0]
    return box if options.min_area <= area <= options.max_area else None


def overlap(one: Box | None, other: Box | None) -> float:
    """Intersection over union; 0 where there is no box."""
    if one is None or other is None:
        return 0.0
    wide = max(min(one[2], other[2]) - max(one[0], other[0]), 0.0)
    high = max(min(one[3], other[3]) - max(one[1], other[1]), 0.0)
    total = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - wide * high
    return wide * high / total if total > 0 else 0.0
