"""One JSON field of a request -> a checked Python value. Raises ServeError 40001 (wrong type) or 40302 (out of range)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from llava_graph.errors import ServeError
from serve.protocol.codes import ErrorCode

MAX_STOPS = 16
MAX_EXACT = 2**53
"""Below it every whole number is a float of its own."""


def invalid(what: str) -> ServeError:
    """A request of the wrong shape."""
    return ServeError(what, code=ErrorCode.VALIDATION_TYPE_ERROR)


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """`value` if it is a JSON object."""
    if not isinstance(value, Mapping):
        raise invalid(f"{name} must be a JSON object, got {type(value).__name__}")
    return value


def text(data: Mapping[str, Any], name: str) -> str:
    """A string; empty when it is missing."""
    return whole_text(data.get(name, ""), name)


def whole_text(value: Any, name: str) -> str:
    """`value` if it is text of whole characters: no tokenizer takes half of one (a lone surrogate)."""
    if not isinstance(value, str):
        raise invalid(f"{name} must be text, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise invalid(f"{name} holds half a character") from error
    return value


def number(data: Mapping[str, Any], name: str, default: float) -> float:
    """A finite number; text such as "0.2" counts, as FastChat's `float(...)` reads it."""
    value = data.get(name, default)
    try:
        if isinstance(value, bool):
            raise TypeError
        parsed = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(f"{name} must be a number, got {str(value)[:40]!r}") from error
    if not math.isfinite(parsed):
        raise invalid(f"{name} must be finite, got {parsed}")
    return parsed


def whole(data: Mapping[str, Any], name: str, default: int) -> int:
    """A whole number; digits beyond a float's (a seed) are kept."""
    parsed = number(data, name, default)
    value = data.get(name, default)
    return value if isinstance(value, int) else int(parsed)


def ranged(value: float, name: str, low: float, high: float) -> float:
    """`value` if low <= value <= high. Raises ServeError 40302."""
    if not low <= value <= high:
        limits = f"{written(low)} .. {written(high)}"
        raise ServeError(f"{name} must be in {limits}, got {written(value)}", code=ErrorCode.PARAM_OUT_OF_RANGE)
    return value


def written(value: float) -> str:
    """A number for a message: whole ones with all their digits, up to 40 of them."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < MAX_EXACT):
        return str(int(value))[:40]
    return f"{value:g}"


def strings(data: Mapping[str, Any], name: str, most: int) -> tuple[str, ...]:
    """A list of at most `most` strings."""
    value = data.get(name, [])
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(item, str) for item in value):
        raise invalid(f"{name} must be a list of text")
    if len(value) > most:
        raise ServeError(f"{name} has {len(value)} entries, at most {most}", code=ErrorCode.PARAM_OUT_OF_RANGE)
    return tuple(whole_text(item, name) for item in value)


def stops(data: Mapping[str, Any]) -> tuple[str, ...]:
    """`stop` as a string or a list; empty strings stop nothing."""
    value = data.get("stop", [])
    listed = [value] if isinstance(value, str) else value
    return tuple(stop for stop in strings({"stop": listed}, "stop", MAX_STOPS) if stop)


def integers(data: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """A list of whole numbers."""
    value = data.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
        raise invalid(f"{name} must be a list of whole numbers")
    return tuple(value)
