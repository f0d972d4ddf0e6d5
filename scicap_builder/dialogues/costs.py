"""Tokens and money: what a run will cost, what it may cost, what it did cost."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from llava_graph.errors import InputError
from llava_graph.prompt import Message, about_tokens

MESSAGE_TOKENS = 4
"""Role and separators of one chat message, in the usual templates."""
TILE_PX, SHORT_SIDE_PX, LONG_SIDE_PX = 512, 768, 2048
TILE_TOKENS, IMAGE_TOKENS = 170, 85
"""OpenAI's count for a picture (vision guide, GPT-4o, high detail): tiles of 512 px after fitting it. Other models differ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens of some answers."""

    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: int = 0
    """Answers whose server did not count."""

    def plus(self, prompt_tokens: int, completion_tokens: int, *, told: bool = True, answers: int = 1) -> Usage:
        """With one more answer."""
        return Usage(
            answers=self.answers + answers,
            prompt_tokens=self.prompt_tokens + prompt_tokens,
            completion_tokens=self.completion_tokens + completion_tokens,
            estimated=self.estimated + (not told),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """Money a million tokens, in any currency; 0 where nobody pays."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(price) and price >= 0 for price in (self.tokens_in, self.tokens_out)):
            raise InputError("prices are 0 or more")

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """Of so many tokens."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6

    def of(self, usage: Usage) -> float:
        """Of some answers."""
        return self.cost(usage.prompt_tokens, usage.completion_tokens)


PriceList = Mapping[str, Prices]
"""role -> prices"""
FREE: PriceList = MappingProxyType({"teacher": Prices(), "rater": Prices()})


def total_cost(usage: Mapping[str, Usage], prices: PriceList) -> float:
    """Of all roles together."""
    return sum(prices[role].of(used) for role, used in usage.items())


def money(amount: float) -> str:
    """As a person reads it; small sums with more digits."""
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"


class BudgetSpent(InputError):
    """The next request could cost more than is left."""


class Purse:
    """What may be spent. Threads reserve the most that a request can cost before they send it, and settle afterwards."""

    def __init__(self, prices: PriceList, budget: float | None, spent: float = 0.0) -> None:
        """`spent` counts against the budget: it is of all runs together."""
        self.prices, self.budget = prices, budget
        self._spent, self._reserved, self._empty = spent, 0.0, False
        self._settled = threading.Condition()

    @property
    def spent(self) -> float:
        """So far."""
        return self._spent

    def reserve(self, role: str, tokens_in: int, most_out: int) -> float:
        """Set money aside, when what others may still give back is needed after they have. Raises BudgetSpent."""
        cost = self.prices[role].cost(tokens_in, most_out)
        with self._settled:
            while self.budget is not None and self._spent + self._reserved + cost > self.budget:
                if self._empty or not self._reserved:
                    self._empty = True
                    raise BudgetSpent(
                        f"the budget of {self.budget:g} is used up: {self._spent:.4g} spent, the next may cost {cost:.2g}",
                        next_step="All answers are kept; the same command with a larger --budget goes on",
                    )
                self._settled.wait()
            self._reserved += cost
        return cost

    def settle(self, reserved: float, cost: float) -> None:
        """The request is over and has cost so much."""
        with self._settled:
            self._reserved = max(0.0, self._reserved - reserved)
            self._spent += cost
            self._settled.notify_all()


def tokens_of(messages: Sequence[Message], pictures: Sequence[tuple[int, int]] = ()) -> int:
    """About how many tokens a request has; pictures are (width, height) in px."""
    texts = [part["text"] for message in messages for part in message["content"] if part["type"] == "text"]
    words = sum(about_tokens(text) for text in texts) + MESSAGE_TOKENS * len(messages)
    return words + sum(picture_tokens(*size) for size in pictures)


def picture_tokens(width: int, height: int) -> int:
    """Of a picture of so many px, by OpenAI's rule."""
    longest, shortest = max(width, height, 1), max(min(width, height), 1)
    scale = min(1.0, LONG_SIDE_PX / longest, SHORT_SIDE_PX / shortest)
    tiles = math.ceil(longest * scale / TILE_PX) * math.ceil(shortest * scale / TILE_PX)
    return IMAGE_TOKENS + TILE_TOKENS * tiles


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the records that are left will cost, before anything is sent."""

    records: int = 0
    """That are left to do."""
    free: int = 0
    """Of them those that are left out without a question."""
    known: int = 0
    """Answers that are there already."""
    usage: Mapping[str, Usage] = field(default_factory=dict)
    """role -> requests and tokens, with answers of typical length."""
    most_in: Mapping[str, int] = field(default_factory=dict)
    """role -> tokens, if every answer that a later request quotes were as long as it may be."""
    most_out: Mapping[str, int] = field(default_factory=dict)
    """role -> tokens, if every answer were as long as it may be."""

    def cost(self, prices: PriceList) -> tuple[float, float]:
        """(likely, if every answer were as long as it may be)."""
        most = {
            role: replace(used, prompt_tokens=self.most_in[role], completion_tokens=self.most_out[role])
            for role, used in self.usage.items()
        }
        return total_cost(self.usage, prices), total_cost(most, prices)
