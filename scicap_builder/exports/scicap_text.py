"""Captions as SciCap normalises them (Hsu et al. 2021, section 3.3): lower case, tokens parted by blanks, and numbers,
brackets and equations each replaced by one token.

SciCap's own code is not published; this follows its paper, its README and its example, which is under test.
"""

import re
from collections.abc import Sequence
from typing import Any

NUMBER, BRACKET, EQUATION = "NUM-TK", "BRACKET-TK", "EQUAT-TK"

_DIGITS = r"[-−+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+−]?\d+)?%?"
"""0, -0.2, 3.44%, 1,000,000"""
_TOKEN = re.compile(
    rf"{_DIGITS}(?!\w|[-−–.,]\d|[-−–]\w)"
    r"|(?:[A-Za-z]\.){2,}"  # e.g., i.i.d.
    r"|\w+(?:[-'’./]\w+)*"  # attack-induced, don't, v1.5
    r"|\S"
)
_NUMBER = re.compile(_DIGITS)
_BRACKETS = re.compile(r"\( [^()\[\]{}]*\)|\[ [^()\[\]{}]*\]|\{ [^()\[\]{}]*\}")

_OPERAND = rf"(?:(?:{NUMBER}|{EQUATION}|[^\W_]\S*)(?: {BRACKET})?|{BRACKET}|[∞∅∂∇])"
_OPERATOR = r"[-−+*/×·÷±∓∪∩^|]"
_RELATION = r"(?:[=<>≤≥≈∼≡≠≃≅∝∈∉⊂⊆⊃⊇→≪≫]|[:=!<>] =)"
_TERM = rf"{_OPERAND}(?: {_OPERATOR} {_OPERAND})*"
_EQUATION = re.compile(rf"(?<!\S){_TERM}(?: {_RELATION}(?: {_OPERATOR})? {_TERM})+(?!\S)")

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9]|[(\[][a-z]{1,3}[)\]])")
_NO_END = re.compile(
    r"(?:\b(?:[A-Z]|[Ff]igs?|[Ee]qs?|[Rr]efs?|[Ss]ecs?|[Tt]abs?|[Nn]o|vs|cf|al|[Dd]r|[Pp]rof|approx|resp|e\.g|i\.e|etc|ca))\.$"
)
"""A full stop after these does not end a sentence: "Fig. 3", "A. Smith", "et al. [5]"."""


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph or caption, without the blanks between them."""
    text = " ".join(text.split())
    found: list[str] = []
    start = 0
    for gap in _SENTENCE_END.finditer(text):
        if not _NO_END.search(text[: gap.start()]):
            found.append(text[start : gap.end()].strip())
            start = gap.end()
    return [*found, text[start:]] if text[start:] else found


def tokens(text: str) -> list[str]:
    """Words, numbers and signs: "Error (a) of 3.44%." -> Error ( a ) of 3.44% ."""
    return _TOKEN.findall(text)


def normalised(caption: str) -> dict[str, Any]:
    """The fields "1-…" and "2-normalized" of a SciCap JSON, from a caption without its label."""
    plain = [" ".join(tokens(sentence)).lower() for sentence in sentences(caption)]
    numbers = [with_numbers(sentence) for sentence in plain]
    advanced = [with_equations(with_brackets(sentence)) for sentence in numbers]
    return {
        "1-lowercase-and-token-and-remove-figure-index": _level(plain, "token"),
        "2-normalized": {
            "2-1-basic-num": _level(numbers, "token"),
            # "euqation", and "tokens" here and nowhere else, are SciCap's own spelling, which its readers know.
            "2-2-advanced-euqation-bracket": _level(advanced, "tokens"),
        },
    }


def with_numbers(sentence: str) -> str:
    """Each number token -> NUM-TK."""
    return " ".join(NUMBER if _NUMBER.fullmatch(token) else token for token in sentence.split(" "))


def with_brackets(sentence: str) -> str:
    """Each span in brackets of any kind, nested ones with it -> BRACKET-TK."""
    while (shorter := _BRACKETS.sub(BRACKET, sentence)) != sentence:
        sentence = shorter
    return sentence


def with_equations(sentence: str) -> str:
    """Each chain of operands with a relation between them ("x = NUM-TK + y") -> EQUAT-TK."""
    return _EQUATION.sub(EQUATION, sentence)


def _level(parts: Sequence[str], name_of_tokens: str) -> dict[str, Any]:
    caption = " ".join(parts)
    return {"caption": caption, "sentence": list(parts), name_of_tokens: caption.split()}
