"""Porter's stemmer (Porter 1980) with the extensions of NLTK, which rouge-score uses. In: a word in lower case. Out: its stem."""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

IRREGULAR = {
    "skies": "sky", "sky": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news", "innings": "inning",
    "inning": "inning", "outings": "outing", "outing": "outing", "cannings": "canning", "canning": "canning",
    "howe": "howe", "proceed": "proceed", "exceed": "exceed", "succeed": "succeed",
}  # fmt: skip
STEP_2 = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("bli", "ble"),
    ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"), ("ator", "ate"),
    ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"), ("iviti", "ive"),
    ("biliti", "ble"), ("fulli", "ful"),
)  # fmt: skip
STEP_3 = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", ""),
)  # fmt: skip
STEP_4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti", "ous",
    "ive", "ize",
)  # fmt: skip


@lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """The stem of a word; words of one or two letters stay."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) <= 2:
        return word
    for step in (_plural, _past, _final_y, _step_2, _step_3, _step_4, _final_e, _double_l):
        word = step(word)
    return word


def _consonant(word: str, place: int) -> bool:
    """y is one at the beginning and behind a vowel."""
    if word[place] == "y":
        return place == 0 or not _consonant(word, place - 1)
    return word[place] not in "aeiou"


def _measure(word: str) -> int:
    """How often a vowel is followed by a consonant."""
    kinds = [_consonant(word, place) for place in range(len(word))]
    return sum(not before and after for before, after in pairwise(kinds))


def _has_vowel(word: str) -> bool:
    return not all(_consonant(word, place) for place in range(len(word)))


def _ends_double(word: str) -> bool:
    return len(word) >= 2 and word[-1] == word[-2] and _consonant(word, len(word) - 1)


def _ends_short(word: str) -> bool:
    """Consonant, vowel, consonant that is no w, x or y; or a word of vowel and consonant."""
    if len(word) == 2:
        return not _consonant(word, 0) and _consonant(word, 1)
    if len(word) < 3 or word[-1] in "wxy":
        return False
    return [_consonant(word, place) for place in range(len(word) - 3, len(word))] == [True, False, True]


def _replaced(word: str, rules: tuple[tuple[str, str], ...], allowed: Callable[[str], bool]) -> str:
    """By the first rule whose ending the word has, if what stands before it is `allowed`."""
    for ending, other in rules:
        if word.endswith(ending):
            before = word.removesuffix(ending)
            return before + other if allowed(before) else word
    return word


def _plural(word: str) -> str:
    if word.endswith("ies") and len(word) == 4:
        return word[:-1]
    return _replaced(word, (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", "")), lambda _: True)


def _past(word: str) -> str:
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    before = next(
        (word.removesuffix(end) for end in ("ed", "ing") if word.endswith(end) and _has_vowel(word[: -len(end)])), ""
    )
    if not before:
        return word
    if before.endswith(("at", "bl", "iz")):
        return before + "e"
    if _ends_double(before):
        return before if before[-1] in "lsz" else before[:-1]
    return before + "e" if _measure(before) == 1 and _ends_short(before) else before


def _final_y(word: str) -> str:
    before = word[:-1]
    return before + "i" if word.endswith("y") and len(before) > 1 and _consonant(before, len(before) - 1) else word


def _step_2(word: str) -> str:
    if word.endswith("alli") and _measure(word[:-4]) > 0:
        return _step_2(word[:-2])
    if word.endswith("logi"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    return _replaced(word, STEP_2, lambda before: _measure(before) > 0)


def _step_3(word: str) -> str:
    return _replaced(word, STEP_3, lambda before: _measure(before) > 0)


def _step_4(word: str) -> str:
    for ending in STEP_4:
        if word.endswith(ending):
            before = word.removesuffix(ending)
            fits = _measure(before) > 1 and (ending != "ion" or before[-1] in "st")
            return before if fits else word
    return word


def _final_e(word: str) -> str:
    before = word[:-1]
    if not word.endswith("e"):
        return word
    return before if _measure(before) > 1 or (_measure(before) == 1 and not _ends_short(before)) else word


def _double_l(word: str) -> str:
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word
