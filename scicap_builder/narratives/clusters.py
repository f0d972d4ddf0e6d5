"""Where the cursor was while something was said: a trace and utterances in, words with boxes out (Quilt-LLaVA, 2023).

Steps and constants are those of the published `cluster_singlerow`; its time weighting is one of WEIGHTINGS, K-means is seeded.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llava_graph.errors import InputError, did_you_mean
from llava_graph.record import Box
from scicap_builder.narratives.speech import Utterance
from scicap_builder.narratives.text import Narrated

WEIGHTINGS = ("scaled", "chunk", "published")
"""Which time t a point's weight exp(-decay t) takes: 0..1 over the chunk, which the published script computes and leaves unused;
s from the chunk's first point; s of the video, as published: from about half an hour on all weights are 0."""
BOXES = ("clusters", "own-time")
"""How a trace is parted: clustered, as published; or by when an utterance is said (`own_time`)."""
MATCHES = ("end", "middle")
"""The time of an utterance that is held against the mean time of a cluster: its end, as published, or its middle."""
WORDS_FOR_CLUSTERS = ((10, 1), (40, 2), (60, 3))
"""A caption of at most so many words has so many clusters."""
MOST_CLUSTERS = 4
FEW_WORDS = 3
"""A cluster with no more words joins a neighbour."""
IQR = 1.5
LEAST_SIDE = 0.01
"""Of the image: corners are written with two decimals."""

Trace = np.ndarray
"""(n, 3) float64: x and y in 0..1 of the image, origin top left; t in s of the video."""
Boxes = dict[int, Box]


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """How a trace is parted; the numbers are the published ones."""

    boxes: str = BOXES[0]
    weighting: str = WEIGHTINGS[0]
    """The better one where it was measured (docs/narratives.md), as is the next."""
    match: str = MATCHES[1]
    decay: float = 0.2
    """Of a point's weight, per unit of the weighting's time."""
    words_uttered: bool = False
    """The words said until a point's time as a third feature; an option of the published script, off there too."""
    outliers: bool = True
    """Points beyond 1.5 interquartile ranges are left out of a box."""
    min_area: float = 0.02
    """Of the image; a smaller box says that the cursor rested, not that it showed something."""
    max_area: float = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        for value, known in ((self.boxes, BOXES), (self.weighting, WEIGHTINGS), (self.match, MATCHES)):
            if value not in known:
                raise InputError(f"unknown choice {value!r}", next_step=did_you_mean(value, known))
        if self.decay < 0 or not 0 <= self.min_area <= self.max_area <= 1:
            raise InputError("decay must be 0 or more, and areas in 0..1 with the smaller one first")


DEFAULT_CLUSTERS = ClusterOptions()


def clustered(
    trace: Trace,
    utterances: Sequence[Utterance],
    options: ClusterOptions = DEFAULT_CLUSTERS,
    *,
    caption: str = "",
    size: tuple[int, int] | None = None,
) -> tuple[Narrated, ...]:
    """The utterances, joined where the cursor stayed in one cluster, each with the box of that cluster.

    `caption` is the text whose words decide how many clusters there are, and what is returned without a box where none is
    left; empty: the utterances joined. With `size` (width, height in px) points are taken by whole pixels, as published.
    """
    caption = caption or " ".join(one.text for one in utterances)
    plain = (Narrated(caption),)
    if not len(trace) or not utterances:
        return plain
    labels = cluster(trace, utterances, options, count=cluster_count(caption))
    boxes = {
        label: box
        for label, (box, area) in measure(trace, labels, options, size).items()
        if options.min_area <= area <= options.max_area
    }
    if not boxes:
        return plain
    times = {label: float(trace[labels == label, 2].mean()) for label in boxes}
    chosen = merge_short([nearest(one, times, options.match) for one in utterances], utterances)
    return tuple(
        Narrated(
            " ".join(one.text for one, label in zip(utterances, chosen, strict=True) if label == place), boxes[place]
        )
        for place in dict.fromkeys(chosen)
    )


def cluster_count(caption: str) -> int:
    """How many clusters a caption has, by its words."""
    words = len(caption.split())
    return next((count for most, count in WORDS_FOR_CLUSTERS if words <= most), MOST_CLUSTERS)


def cluster(trace: Trace, utterances: Sequence[Utterance], options: ClusterOptions, *, count: int) -> np.ndarray:
    """(n,) the cluster of every point, numbered by mean time; no more clusters than different points."""
    from sklearn.cluster import KMeans

    points = features(trace, utterances, options)
    count = min(count, len(np.unique(points, axis=0)))
    if count == 1:
        return np.zeros(len(trace), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights near the smallest number there is: published, t late
        labels = KMeans(n_clusters=count, n_init=count, random_state=options.seed).fit(points).labels_
    present = sorted(set(labels.tolist()), key=lambda label: float(trace[labels == label, 2].mean()))
    return np.array([present.index(label) for label in labels.tolist()])


def features(trace: Trace, utterances: Sequence[Utterance], options: ClusterOptions) -> np.ndarray:
    """(n, 2 or 3) what is clustered: x and y by the weight of their time, and the words uttered until then, in 0..1."""
    times = trace[:, 2]
    weights = np.exp(-options.decay * weighted_time(times, options.weighting))
    columns = [trace[:, 0] * weights, trace[:, 1] * weights]
    if options.words_uttered:
        ends = np.array([one.end for one in utterances])
        words = np.array([len(one.text.split()) for one in utterances])
        columns.append(scaled(((ends[None, :] <= times[:, None]) * words).sum(axis=1)))
    return np.stack(columns, axis=1)


def weighted_time(times: np.ndarray, weighting: str) -> np.ndarray:
    """(n,) the times under a weighting."""
    if weighting == "published":
        return times
    return times - times.min() if weighting == "chunk" else scaled(times)


def scaled(values: np.ndarray) -> np.ndarray:
    """To 0..1; all 0 where they are the same."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros(len(values))


def measure(
    trace: Trace, labels: np.ndarray, options: ClusterOptions, size: tuple[int, int] | None
) -> dict[int, tuple[Box, float]]:
    """cluster -> its box without outliers, clipped to the image, and the share of the image that it takes unclipped.

    The share is 0 where the cursor was outside, and nothing is left to clip.
    """
    width, height = size or (1, 1)
    found: dict[int, tuple[Box, float]] = {}
    for label in range(int(labels.max()) + 1):
        points = trace[labels == label, :2]
        places = np.trunc(points * (width, height)) if size else points
        for axis in (0, 1) if options.outliers else ():
            inside = within_iqr(places[:, axis])
            points, places = points[inside], places[inside]
        left, top = np.clip(points.min(axis=0), 0, 1).tolist()
        right, bottom = np.clip(points.max(axis=0), 0, 1).tolist()
        sides = (places.max(axis=0) - places.min(axis=0)) / (width, height)
        seen = right - left > LEAST_SIDE and bottom - top > LEAST_SIDE
        found[label] = ((left, top, right, bottom), float(sides[0] * sides[1]) if seen else 0.0)
    return found


def within_iqr(values: np.ndarray) -> np.ndarray:
    """(n,) whether a value lies within 1.5 interquartile ranges of the middle half."""
    low, high = np.quantile(values, (0.25, 0.75))
    reach = IQR * (high - low)
    return (values >= low - reach) & (values <= high + reach)


def nearest(utterance: Utterance, times: dict[int, float], match: str) -> int:
    """The cluster whose mean time (s) is nearest to the utterance; of two as near, the earlier."""
    when = utterance.end if match == "end" else utterance.middle
    return min(times, key=lambda label: (abs(times[label] - when), label))


def merge_short(labels: Sequence[int], utterances: Sequence[Utterance]) -> list[int]:
    """(n,) the clusters of the utterances, those of few words joined to a neighbour in the order of appearance.

    The first joins the next, the last the one before, others the neighbour with more words (of two with as many, the next).
    Words that are the whole text stay alone; the published script fails there.
    """
    order = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    back = {number: label for label, number in order.items()}
    chosen = [order[label] for label in labels]
    while True:
        words: dict[int, int] = {}
        for one, place in zip(utterances, chosen, strict=True):
            words[place] = words.get(place, 0) + len(one.text.split())
        places = sorted(words)
        short = min(places, key=lambda place: (words[place], place))
        if len(places) == 1 or words[short] > FEW_WORDS:
            return [back[place] for place in chosen]
        target = _neighbour(places, words, short)
        chosen = [target if place == short else place for place in chosen]


def _neighbour(places: list[int], words: dict[int, int], place: int) -> int:
    at = places.index(place)
    if at == 0:
        return places[1]
    if at == len(places) - 1:
        return places[-2]
    before, after = places[at - 1], places[at + 1]
    return before if words[before] > words[after] else after
