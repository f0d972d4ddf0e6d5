"""How many letters to insert, delete or replace: two lists of texts in, a matrix of Levenshtein distances out. Pure."""

from collections.abc import Sequence

import numpy as np

WORD = 64
"""Letters of a text that one machine word holds."""


def edit_distances(ones: Sequence[str], others: Sequence[str]) -> np.ndarray:
    """(n, m) distances, each `others` at once: Myers 1999 bit-parallel, as Hyyrö 2003 simplified it."""
    letters = {letter: number for number, letter in enumerate(sorted({*"".join(ones), *"".join(others)}), 1)}
    lengths = np.array([len(other) for other in others], dtype=np.int64)
    codes = np.zeros((len(others), int(lengths.max(initial=0))), dtype=np.int64)
    for place, other in enumerate(others):
        codes[place, : len(other)] = [letters[letter] for letter in other]
    found = np.zeros((len(ones), len(others)), dtype=np.int64)
    for place, one in enumerate(ones):
        short = len(one) <= WORD
        found[place] = _in_words(one, letters, codes, lengths) if short else [_plain(one, other) for other in others]
    return found


def _in_words(one: str, letters: dict[str, int], codes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Distances (m,) of a text of at most 64 letters."""
    if not one:
        return lengths
    masks = np.zeros(len(letters) + 1, dtype=np.uint64)
    for place, letter in enumerate(one):
        masks[letters[letter]] |= np.uint64(1 << place)
    last, bit = np.uint64(1 << (len(one) - 1)), np.uint64(1)
    plus = np.full(len(lengths), np.iinfo(np.uint64).max, dtype=np.uint64)
    minus = np.zeros(len(lengths), dtype=np.uint64)
    score = np.full(len(lengths), len(one), dtype=np.int64)
    for column in range(codes.shape[1]):
        same = masks[codes[:, column]]
        vertical = same | minus
        across = (((same & plus) + plus) ^ plus) | same
        up, down = minus | ~(across | plus), plus & across
        within = column < lengths
        score += within & ((up & last) != 0)
        score -= within & ((down & last) != 0)
        up, down = (up << bit) | bit, down << bit
        plus, minus = down | ~(vertical | up), up & vertical
    return score


def _plain(one: str, other: str) -> int:
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        now = [row]
        for column, theirs in enumerate(other, 1):
            now.append(min(now[-1] + 1, before[column] + 1, before[column - 1] + (letter != theirs)))
        before = now
    return before[-1]
