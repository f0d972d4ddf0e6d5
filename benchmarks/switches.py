"""A rule of the extraction and the switch that puts a neutral stand-in in its place. `benchmarks/rules.py` lists the rules."""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import CodeType
from typing import Any
from unittest.mock import patch


@dataclass(frozen=True, slots=True)
class Made:
    """A stand-in that is made from what it stands for: a pattern with a part taken out, a table with fewer entries."""

    make: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule and what stands in for it when it is switched off."""

    name: str
    places: str
    """Where it is looked up when it is used, "module:attribute module:Class.attribute …" below scicap_builder."""
    off: Any

    @property
    def route(self) -> str:
        """What is read to see its worth: the PDF alone, the source alone, or both joined."""
        head = self.name.partition(":")[0]
        return {"source": "latex", "join": "auto"}.get(head, "pdf")

    @property
    def is_function(self) -> bool:
        """Whether the stand-in is called, so that its calls can be counted."""
        return inspect.isfunction(self.off) or isinstance(self.off, staticmethod)

    @property
    def modules(self) -> frozenset[str]:
        """The modules whose values it changes."""
        return frozenset(place.partition(":")[0] for place in self.places.split())


@contextmanager
def switched_off(rule: Rule | None) -> Iterator[list[int]]:
    """The stand-in in place of the rule; gives a list that grows with every call of a stand-in that is a function.

    Exits if there is no such rule any more.
    """
    calls: list[int] = []
    with ExitStack() as stack:
        for place in rule.places.split() if rule else ():
            owner, name = place_of(rule, place)  # type: ignore[arg-type]
            before = getattr(owner, name)
            try:
                off = rule.off.make(before) if isinstance(rule.off, Made) else rule.off  # type: ignore[union-attr]
            except LookupError as error:
                sys.exit(f"{place}: {error}: mend RULES in benchmarks/rules.py")
            stack.enter_context(patch.object(owner, name, _counted(off, calls)))
        yield calls


def place_of(rule: Rule, place: str) -> tuple[Any, str]:
    """(module or class, name in it). Exits if there is no such place any more."""
    module, _, path = place.partition(":")
    *classes, name = path.split(".")
    try:
        owner: Any = importlib.import_module(f"scicap_builder.{module}")
        for part in classes:
            owner = getattr(owner, part)
        getattr(owner, name)
    except (ImportError, AttributeError):
        sys.exit(f"no such rule any more: {place} ({rule.name}): mend RULES in benchmarks/rules.py")
    return owner, name


def _counted(off: Any, calls: list[int]) -> Any:
    if isinstance(off, staticmethod):
        return staticmethod(_counted(off.__func__, calls))
    if not inspect.isfunction(off):
        return off

    @functools.wraps(off)
    def stand_in(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return off(*args, **options)

    return stand_in


def is_looked_up(place: str) -> bool:
    """Whether code of the module looks the name up when it runs: a constant that is copied when the module is loaded cannot be
    switched off. Attributes of classes are always looked up."""
    module, _, path = place.partition(":")
    if "." in path:
        return True
    loaded = importlib.import_module(f"scicap_builder.{module}")
    source = inspect.getsource(loaded)
    inner = [code for code in compile(source, module, "exec").co_consts if isinstance(code, CodeType)]
    while inner:
        code = inner.pop()
        if path in code.co_names:
            return True
        inner += [const for const in code.co_consts if isinstance(const, CodeType)]
    return False
