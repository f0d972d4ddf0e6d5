"""Figures of a paper into the order of their numbers. In: any items and their numbers as printed. Out: the items, ordered."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from scicap_builder.mentions import from_roman

Item = TypeVar("Item")
_NUMBER = re.compile(r"(?P<part>ED|[A-Z])?\.?(?P<first>\d+)(?:\.(?P<second>\d+))?(?:-S(?P<supplement>\d+))?")
"""3, 2.3, A.1, S1, ED2, and eLife's 2-S1 (figure supplement 1 of figure 2)."""
_ROMAN = re.compile(r"[IVX]+")
_COUNTED = re.compile(r"(?P<kind>Scheme|Chart|Graph) (?P<number>.+)")
_FIRST, _LAST = "ED", "S"
"""Of what stands behind the main text the Extended Data come first, then the appendices A, B, …, at last the supplement."""

Place = tuple[int, str, int, int, int]


def by_number(items: Sequence[Item], numbers: Sequence[str]) -> list[Item]:
    """The items in the order of their numbers, which are as `normal_number` spells them; those alike keep their order.

    The main text goes before its appendices and supplement. What is counted on its own (schemes) is ordered among its like, what
    has no number stays where it is. A supplement that counts from 1 again keeps behind what it follows.
    """
    kinds: dict[str, list[int]] = defaultdict(list)
    places: dict[int, Place] = {}
    for index, number in enumerate(numbers):
        counted = _COUNTED.fullmatch(number)
        place = _place(counted["number"] if counted else number)
        if place is not None:
            kinds[counted["kind"] if counted else ""].append(index)
            places[index] = place
    ordered = list(items)
    for slots in kinds.values():
        runs = _runs([places[index] for index in slots])
        ranked = sorted(range(len(slots)), key=lambda i, slots=slots, runs=runs: (runs[i], places[slots[i]]))  # type: ignore[misc]
        for slot, rank in zip(slots, ranked, strict=True):
            ordered[slot] = items[slots[rank]]
    return ordered


def _place(number: str) -> Place | None:
    if _ROMAN.fullmatch(number):
        return (0, "", from_roman(number), 0, 0)
    match = _NUMBER.fullmatch(number)
    if match is None:
        return None
    part = match["part"] or ""
    rank = {"": 0, _FIRST: 1, _LAST: 3}.get(part, 2)
    return (rank, part, int(match["first"]), int(match["second"] or 0), int(match["supplement"] or 0))


def _runs(places: Sequence[Place]) -> list[int]:
    """For each figure how often the count has begun again before it: a number comes back that others have gone beyond."""
    runs: list[int] = []
    seen: set[Place] = set()
    for place in places:
        again = place in seen and any(other > place and other[:2] == place[:2] for other in seen)
        if again:
            seen = set()
        seen.add(place)
        runs.append((runs[-1] if runs else 0) + again)
    return runs
