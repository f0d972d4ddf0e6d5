"""How often a key may call: token buckets, pure, with the clock as an argument."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from serve.api.errors import ApiError
from serve.protocol.fields import written

LIMIT_HEADERS = tuple(
    f"x-ratelimit-{what}-{name}" for name in ("requests", "tokens") for what in ("limit", "remaining")
)
"""OpenAI's names for what a caller may do and what is left of it."""


@dataclass(frozen=True)
class Bucket:
    """`per_minute` at most at once, and so many a minute. `left` may fall below 0: a debt that time pays."""

    per_minute: float
    left: float
    at: float
    """s, when `left` was true."""

    @classmethod
    def full(cls, per_minute: float, now: float) -> "Bucket":
        """Of a caller that has not called yet."""
        return cls(per_minute, per_minute, now)

    def refilled(self, now: float) -> "Bucket":
        """What has come in since; never more than a minute's worth."""
        gained = max(0.0, now - self.at) * self.per_minute / 60
        return replace(self, left=min(self.per_minute, self.left + gained), at=now)

    def without(self, amount: float) -> "Bucket":
        """After `amount` was used."""
        return replace(self, left=self.left - amount)

    def wait(self, amount: float) -> float:
        """Seconds until `amount` is there; 0 if it is."""
        return max(0.0, (amount - self.left) * 60 / self.per_minute)


@dataclass(frozen=True)
class Allowance:
    """What one caller has left."""

    requests: Bucket | None
    tokens: Bucket | None


class KeyLimits:
    """The allowances of all callers. Used from one event loop."""

    def __init__(
        self,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = (requests_per_minute, tokens_per_minute)
        self._clock = clock
        self._callers: dict[str, Allowance] = {}

    def admit(self, caller: str) -> Allowance:
        """Count one request. Raises ApiError 429 with the seconds to wait.

        How many tokens an answer takes is known at its end: they are taken off then (`charge`), and a caller in debt waits.
        """
        allowance = self._now(caller)
        for bucket, amount, kind in ((allowance.requests, 1, "requests"), (allowance.tokens, 0.001, "tokens")):
            if bucket and (seconds := bucket.wait(amount)):
                raise ApiError(
                    f"this key has used its {written(bucket.per_minute)} {kind} a minute",
                    status=429,
                    kind=kind,
                    name="rate_limit_exceeded",
                    retry_after=math.ceil(seconds),
                    headers=limit_headers(allowance),
                    next_step=f"Try again in {math.ceil(seconds)} s",
                )
        requests = allowance.requests.without(1) if allowance.requests else None
        self._callers[caller] = replace(allowance, requests=requests)
        return self._callers[caller]

    def charge(self, caller: str, tokens: int) -> None:
        """Take the tokens of an answer off."""
        allowance = self._now(caller)
        if allowance.tokens:
            self._callers[caller] = replace(allowance, tokens=allowance.tokens.without(tokens))

    def _now(self, caller: str) -> Allowance:
        now = self._clock()
        full = (Bucket.full(limit, now) if limit else None for limit in self._limits)
        known = self._callers.get(caller) or Allowance(*full)
        return Allowance(*(bucket.refilled(now) if bucket else None for bucket in (known.requests, known.tokens)))


def limit_headers(allowance: Allowance) -> dict[str, str]:
    """OpenAI's x-ratelimit-… headers."""
    headers: dict[str, str] = {}
    for name, bucket in (("requests", allowance.requests), ("tokens", allowance.tokens)):
        if bucket:
            headers[f"x-ratelimit-limit-{name}"] = written(bucket.per_minute)
            headers[f"x-ratelimit-remaining-{name}"] = str(max(0, math.floor(bucket.left)))
    return headers
