"""Texts of others (papers, models, file names) made safe to print and to encode: nothing in them commands a terminal."""

import json
import re
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What could move the cursor, colour the terminal or turn the direction of writing, and halves of surrogate pairs, which no
encoding takes."""


def printable(text: str) -> str:
    """The text without signs that command a terminal. Newlines and tabs stay."""
    return _CONTROL.sub("", text)


def printable_json(value: Any, *, indent: int | None = None) -> str:
    """JSON in which such signs stand as \\uXXXX: nothing is lost, and a terminal may show it."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _CONTROL.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)


def readable_name(name: str) -> str:
    """A file's name as text that can be encoded: bytes that are no UTF-8 are written as \\xff."""
    return re.sub("[\udc80-\udcff]", lambda sign: f"\\x{ord(sign[0]) - 0xDC00:02x}", name)


def is_utf8(text: str) -> bool:
    """Whether a text from the command line or a pipe was UTF-8: Python keeps other bytes as halves of surrogate pairs."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)
