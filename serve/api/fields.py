"""Fields of an API request: `serve.protocol.fields`, with the name of the field in the error as OpenAI's clients expect."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from llava_graph.errors import InputError, ServeError, did_you_mean
from serve.api.errors import ApiError
from serve.protocol.fields import number, ranged, whole

T = TypeVar("T")


def wrong(what: str, param: str, *, next_step: str = "", name: str = "invalid_value") -> ApiError:
    """A value that cannot be used."""
    return ApiError(what, param=param, name=name, next_step=next_step)


def not_supported(param: str, what: str = "") -> ApiError:
    """Something that we cannot honour, and so do not take silently."""
    return wrong(
        f"{what or param} is not supported here", param, name="unsupported_parameter", next_step="Leave it out"
    )


def named(param: str, read: Callable[[], T]) -> T:
    """`read()`, whose errors carry the name of the field."""
    try:
        return read()
    except ApiError:
        raise
    except (ServeError, InputError) as error:
        raise wrong(error.what, param, next_step=error.next_step) from error


def mapping_of(value: Any, param: str) -> Mapping[str, Any]:
    """A JSON object; its null values are left out. Raises ApiError."""
    if not isinstance(value, Mapping):
        raise wrong(f"{param} must be an object, got {kind_of(value)}", param, name="invalid_type")
    return {name: entry for name, entry in value.items() if entry is not None}


def known_only(data: Mapping[str, Any], known: set[str] | frozenset[str], prefix: str = "") -> None:
    """Raises ApiError for a field that we do not know, with the nearest one that we do."""
    for name in data:
        if name not in known:
            near = did_you_mean(str(name), known)
            raise wrong(
                f"unknown parameter {prefix + str(name)[:80]!r}",
                prefix + str(name)[:80],
                next_step=near.partition(" Known:")[0] if near.startswith("Did") else "Leave it out",
                name="unknown_parameter",
            )


def text_of(value: Any, param: str, most: int, *, too_long: str = "invalid_value") -> str:
    """Text, cleaned (`clean`), of at most `most` characters. Raises ApiError; `too_long` is the code of more characters."""
    if not isinstance(value, str):
        raise wrong(f"{param} must be text, got {kind_of(value)}", param, name="invalid_type")
    if len(value) > most:
        what = f"{param} has {len(value)} characters, at most {most} are read"
        raise wrong(what, param, next_step="Shorten it", name=too_long)
    return clean(value, param)


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def clean(value: str, param: str) -> str:
    """Without control characters (PDF text is full of them; no model knows them); line ends become one newline.

    Raises ApiError for half characters, which no encoding can say.
    """
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise wrong(f"{param} holds half a character (a lone surrogate)", param) from error
    return _CONTROL.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))


def switch(data: Mapping[str, Any], name: str, default: bool = False) -> bool:
    """true or false. Raises ApiError."""
    value = data.get(name, default)
    if not isinstance(value, bool):
        raise wrong(f"{name} must be true or false, got {kind_of(value)}", name, name="invalid_type")
    return value


def number_in(data: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    """A number in `low` .. `high`. Raises ApiError."""
    _no_text(data, name)
    return named(name, lambda: ranged(number(data, name, default), name, low, high))


def whole_in(data: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    """A whole number in `low` .. `high`. Raises ApiError."""
    _no_text(data, name)
    value = data.get(name, default)
    if isinstance(value, float) and not value.is_integer():
        raise wrong(f"{name} must be a whole number, got {value:g}", name, name="invalid_type")
    return named(name, lambda: int(ranged(whole(data, name, default), name, low, high)))


def list_of(value: Any, param: str, most: int) -> list[Any]:
    """A list of at most `most` entries. Raises ApiError."""
    if not isinstance(value, list):
        raise wrong(f"{param} must be a list, got {kind_of(value)}", param, name="invalid_type")
    if len(value) > most:
        raise wrong(f"{param} has {len(value)} entries, at most {most}", param)
    return value


def _no_text(data: Mapping[str, Any], name: str) -> None:
    if isinstance(data.get(name), str):
        raise wrong(f"{name} must be a number, got text", name, name="invalid_type")


_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def kind_of(value: Any) -> str:
    """What a JSON value is, for a message."""
    return _KINDS.get(type(value), "null")
