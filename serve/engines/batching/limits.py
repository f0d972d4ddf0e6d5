"""How much is computed at once, and who joins next: pure, all times and sizes are arguments."""

from collections.abc import Sequence
from dataclasses import dataclass, field

READ_AT_ONCE_S = 0.25
"""So long rows may stand still while prompts are read; one prompt is always read whole."""
WRITE_SHARE = 0.5
"""For each second in which prompts were read beside rows, rows are written for so long before the next prompt is read."""
PADDED = 1.5
"""Prompts that are read together are padded to the longest: at most this much work for the work of each alone."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a scheduler takes on."""

    max_batch_size: int = 16
    """Answers written at once."""
    max_batch_tokens: int = 0
    """Cells of the cache: answers times the longest of them, prompt and answer. 0: as many as there is memory for."""
    max_waiting: int = 64
    """Requests behind them; the next one hears "busy" at once."""
    max_queue_s: float = 90.0
    """Then a request that waits is told so. Below the 100 s after which FastChat's clients give a worker up."""
    max_prefill_tokens: int = 2048
    """Of prompts read together."""
    prepared: int = 8
    """Prompts whose images are opened while they wait: it bounds their memory."""
    threads: int = 2
    """Requests whose images are being opened and whose text is being counted at this moment."""


@dataclass(frozen=True, slots=True)
class Need:
    """The size of a request, in tokens."""

    prompt: int
    final: int
    """With the longest answer it may get."""


def joining(ready: Sequence[Need], running: Sequence[Need], limits: Limits, most: int) -> int:
    """How many of `ready`, which stand in line, are read together now; `most`: tokens that are read at once.

    Nobody overtakes: a large request at the head waits until it fits, and the ones behind it wait too.
    """
    finals = [need.final for need in running]
    lengths: list[int] = []
    for need in ready:
        finals.append(need.final)
        lengths.append(need.prompt)
        longest = max(lengths) * len(lengths)
        too_many = len(finals) > limits.max_batch_size or 0 < limits.max_batch_tokens < len(finals) * max(finals)
        too_long = len(lengths) > 1 and (longest > most or longest > PADDED * sum(lengths))
        if too_many or too_long:
            return len(lengths) - 1
    return len(lengths)


@dataclass
class Pace:
    """How reading prompts and writing answers take turns."""

    limits: Limits
    _rate: float = field(default=0.0, init=False)
    """tokens of prompts per second"""
    _owed: float = field(default=0.0, init=False)
    """seconds for which rows are to be written before the next prompt is read"""

    @property
    def may_read(self) -> bool:
        """Whether the rows have had their share."""
        return self._owed <= 0

    @property
    def most(self) -> int:
        """Tokens of prompts that are read at once."""
        if not self._rate:
            return self.limits.max_prefill_tokens
        return min(self.limits.max_prefill_tokens, int(self._rate * READ_AT_ONCE_S))

    def read(self, tokens: int, seconds: float, *, beside_rows: bool) -> None:
        """Prompts were read."""
        rate = tokens / max(seconds, 1e-6)
        self._rate = rate if not self._rate else 0.7 * self._rate + 0.3 * rate
        self._owed = seconds * WRITE_SHARE if beside_rows else 0.0

    def written(self, seconds: float, *, rows_left: bool) -> None:
        """All rows got a token."""
        self._owed = self._owed - seconds if rows_left else 0.0
