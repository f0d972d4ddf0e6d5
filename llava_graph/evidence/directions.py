"""Words that tell a direction (rises, lower, more …) with what stands beside them, and where a text tells the opposite."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from llava_graph.evidence.words import OPPOSITE_OF, TOKEN, TREND_KEYS, key_of

DEGREES = {"more": "HIGH", "most": "HIGH", "less": "LOW", "fewer": "LOW"}
"""Words without content of their own that give the next one a direction."""


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction and its neighbours."""

    key: str
    """One of OPPOSITE_OF."""
    text: str
    start: int
    end: int
    before: str
    """The content word before it; empty for none."""
    after: str

    def contexts(self) -> Iterator[tuple[str, str]]:
        """Where it stands: behind a word, before a word."""
        if self.before:
            yield "behind", self.before
        if self.after:
            yield "before", self.after


@lru_cache(maxsize=2048)
def directions_of(text: str) -> tuple[Direction, ...]:
    """The directions that a sentence tells, in its order."""
    tokens = [(match, DEGREES.get(match[0].casefold()) or key_of(match[0])) for match in TOKEN.finditer(text)]
    tokens = [(match, key) for match, key in tokens if key]
    found = []
    for place, (match, key) in enumerate(tokens):
        if key in OPPOSITE_OF:
            before, after = (_content(tokens[at][1]) if 0 <= at < len(tokens) else "" for at in (place - 1, place + 1))
            found.append(Direction(key, match[0], match.start(), match.end(), before, after))
    return tuple(found)


def _content(key: str) -> str:
    return "" if key in TREND_KEYS else key


def opposed(said: Direction, told: tuple[Direction, ...]) -> Direction | None:
    """The direction of a text that is the opposite of `said`, beside the same word; None where it also tells the same."""
    mine = set(said.contexts())
    beside = [one for one in told if mine & set(one.contexts())]
    if any(one.key == said.key for one in beside):
        return None
    return next((one for one in beside if one.key == OPPOSITE_OF[said.key]), None)
