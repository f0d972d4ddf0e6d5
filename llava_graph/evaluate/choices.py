"""Answers to questions with lettered choices, and labels of images. In: texts. Out: which choice an answer takes."""

import re
from collections.abc import Sequence

LETTERS = "ABCD"
CHOICE = re.compile(r"^\s*([A-Z])\s*[:.)]\s*(.+?)\s*$", re.MULTILINE)
PUBLISHED_PATTERNS = tuple(
    map(re.compile, (r"([A-Z]).", r"option ([A-Z]).", r" ([A-Z]):", r"'([A-Z])'", r"is ([A-Z])."))
)
LEADING = re.compile(
    r"^\W*(?:the\s+)?(?:correct\s+)?(?:answer|option|choice)?\s*(?:is|:)?\s*\(?([A-Z])\)?(?:[:.)\s]|$)", re.IGNORECASE
)
NAMED = re.compile(r"\b(?:answer|option|choice)\s*(?:is|:)?\s*\(?([A-Z])\)?(?![\w'])")


def listed_choices(question: str) -> dict[str, str]:
    """Letter -> text of the choices that a question lists, a line each: "A: Focal uptake"."""
    return {match[1]: match[2] for match in CHOICE.finditer(question)}


def published_letter(answer: str, letters: str = LETTERS) -> str:
    """The letter that PMC-VQA's script in Quilt-LLaVA reads; empty where it fails.

    Any capital before any sign is taken for an answer if there is but one: "The lesion" says T.
    """
    if answer in letters and len(answer) == 1:
        return answer
    if len(answer) >= 3 and answer[0] in letters and answer[1] in ":.":
        return answer[0]
    found = (pattern.findall(answer) for pattern in PUBLISHED_PATTERNS)
    return next((matches[0] for matches in found if len(matches) == 1), "")


def published_letter_pa_llava(answer: str) -> str:
    """What PA-LLaVA's `pmcvqa.py` compares with the letter: all before the first ":", else the whole answer; case aside."""
    return answer.partition(":")[0].upper() if re.match(r"[^:]+:", answer) else answer.upper()


def said_letter(answer: str, choices: dict[str, str]) -> str:
    """The choice that an answer takes: a letter at its beginning or behind "option", else the one choice whose text it says.

    Empty where it takes none, or several.
    """
    leading = LEADING.match(answer.strip())
    if leading and leading[1].isupper() and leading[1] in choices and not _is_article(answer.strip(), leading[1]):
        return leading[1]
    named = {letter for letter in NAMED.findall(answer) if letter in choices}
    if len(named) == 1:
        return named.pop()
    said = said_label(answer, list(choices.values()))
    return next((letter for letter, text in choices.items() if text == said), "") if said else ""


def said_label(answer: str, labels: Sequence[str]) -> str:
    """The one label that an answer names (the longest where one is part of another); empty for none or several."""
    said = answer.lower()
    whole = [label for label in labels if _says(said, label)]
    # "benign" stands in "benign tumour" too: a label inside a longer one that is said does not count.
    longest = [one for one in whole if not any(one != other and _says(other.lower(), one) for other in whole)]
    return longest[0] if len(longest) == 1 else ""


def _is_article(answer: str, letter: str) -> bool:
    return letter == "A" and re.match(r"A\s+\w", answer) is not None


def _says(text: str, words: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words.lower().strip().rstrip('.'))}(?!\w)", text) is not None
