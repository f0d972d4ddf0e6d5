"""The text of a chest X-ray report: sections by their headers, and the cleaning that MGCA (Wang et al. 2022) trains on."""

from __future__ import annotations

import re

MIN_TOKENS = 3
"""A report of fewer words after cleaning is left out (MGCA)."""
_HEADER = re.compile(r"(?:^|\n)\s*([A-Z][A-Z ()/,\-]+):\s")
_NAMES = {
    "impression": ("impression", "impressions", "conclusion", "conclusions", "summary", "opinion"),
    "findings": ("findings", "finding", "report"),
}
"""Headers as radiologists write them -> the section."""
_NUMBERED = re.compile(r"[0-9]+\.")
_WORD = re.compile(r"\w+")


def sections(report: str) -> dict[str, str]:
    """ "impression", "findings" and "last_paragraph" of a report; of several sections with one name the last counts.

    The last paragraph is given where there is neither of the others, as in MIMIC-CXR's own section file.
    """
    found: dict[str, str] = {}
    heads = list(_HEADER.finditer(report))
    ends = [head.start() for head in heads[1:]] + [len(report)]
    for head, end in zip(heads, ends, strict=False):
        words = report[head.end() : end]
        header = " ".join(head[1].lower().split())
        for name, spellings in _NAMES.items():
            # "FINDINGS AND IMPRESSION" is read as an impression, which stands first in a report's text.
            if any(part in spellings for part in re.split(r" and |/|,", header)):
                found[name] = " ".join(words.split())
                break
    if not found.get("impression") and not found.get("findings"):
        paragraphs = [part for part in re.split(r"\n\s*\n", report) if part.strip()]
        found["last_paragraph"] = " ".join(paragraphs[-1].split()) if paragraphs else ""
    return found


def mgca_sentences(impression: str, findings: str) -> list[str]:
    """MGCA's steps: impression, a blank, findings; numbers of lists ("2.") and dots part sentences; words in lower case without
    other signs; what is not ASCII is left out, and so are sentences of one word. Empty for fewer than MIN_TOKENS words in all."""
    caption = f"{impression} {findings}".replace("\n", " ")
    parts = [part for chunk in _NUMBERED.split(caption) for part in chunk.split(".")]
    kept = []
    for part in parts:
        words = [word for raw in _WORD.findall(part.lower()) if (word := raw.encode("ascii", "ignore").decode())]
        if len(words) > 1:
            kept.append(" ".join(words))
    return kept if sum(len(sentence.split()) for sentence in kept) >= MIN_TOKENS else []


def told(sentences: list[str]) -> str:
    """The sentences as the X-ray system's converter writes a report: capitalised, each with a dot."""
    return " ".join(f"{sentence.capitalize()}." for sentence in sentences)
