"""What a licence's text or address allows: any of its spellings in, its usual short name and "may be passed on" out.

The rule for a published data set is strict: what is not named is not known, and of two licences in one text the narrower counts.
"""

import re
from functools import lru_cache

ARXIV = "arXiv-nonexclusive"
"""arXiv's own licence lets arXiv distribute the paper, and nobody else (info.arxiv.org/help/license)."""
RESERVED = "all-rights-reserved"
GATED = "restricted-access"
"""Data that are given out one by one, to who asks or has been trained, whatever licence they are under then."""
NOT_REDISTRIBUTABLE = frozenset({ARXIV, RESERVED, GATED})

_ELEMENTS = {
    "nc": re.compile(r" (?:nc|non ?commercial)\b"),
    "nd": re.compile(r" (?:nd|no ?deriv(?:ative)?s?)\b"),
    "sa": re.compile(r" (?:sa|share ?alike)\b"),
}
_CC = re.compile(
    r"\b(?:cc|creative ?commons(?:\.org licenses)?(?: cc)?) (?:attribution|by)\b"
    r"((?: (?:nc|non ?commercial|nd|no ?deriv(?:ative)?s?|sa|share ?alike)\b)*)"
    r"(?: (?:international|unported|generic|licen[cs]e|public|cc|by|nc|nd|sa|version|v))*"
    r"(?: v?(\d\.\d)\b)?"
)
"""A Creative Commons licence after `_plain`: "creativecommons.org licenses by nc 4.0", "creative commons attribution"."""
_NAMED = (
    (ARXIV, re.compile(r"\bnon ?exclusive\b|\barxiv(?:\.org)? (?:perpetual|licen[cs]e)|\bassumed 1991\b")),
    (RESERVED, re.compile(r"\ball rights reserved\b")),
    (GATED, re.compile(r"\baccess on request\b|\bcredentialed\b")),
    ("CC0-1.0", re.compile(r"\bcc ?(?:0|zero)\b|\bpublicdomain zero\b")),
    ("public-domain", re.compile(r"\bpublic ?domain(?! zero)\b|\bpdm\b")),
    ("Apache-2.0", re.compile(r"\bapache(?: licen[cs]e)?(?: version)? 2(?:\.0)?\b")),
    ("BSD", re.compile(r"^(?:0 clause )?bsd\b|\bbsd (?:[0-4] clause|licen[cs]e)\b")),
    ("MIT", re.compile(r"^mit$|^mit (?:licen[cs]e|repo)\b|\bmit licen[cs]e\b|opensource\.org licenses? mit\b")),
    ("ISC", re.compile(r"^isc$|\bisc licen[cs]e\b")),
    ("Unlicense", re.compile(r"\bunlicense\b")),
)
"""Software's permissive licences stand here because papers of software journals carry them."""


def is_redistributable(licence: str) -> bool:
    """Whether a figure under `licence` may be passed on unchanged, by name of its authors and not for money.

    Creative Commons in every form, also with NC and ND: a figure is a part of the work, and setting it in another file format is
    no adaptation (CC BY-NC-ND 4.0, sections 2(a)(1) and 2(a)(4)). Not: arXiv's licence, "all rights reserved", what is given
    out on request or to the credentialed, and what we do not know.
    """
    names = licence_names(licence)
    return bool(names) and not NOT_REDISTRIBUTABLE.intersection(names)


@lru_cache(maxsize=1024)
def licence_names(licence: str) -> tuple[str, ...]:
    """All licences that a text or an address names, short as SPDX has them ("CC-BY-NC-4.0", "CC-BY", "MIT"); sorted."""
    text = _plain(licence)
    names = {name for name, pattern in _NAMED if pattern.search(text)}
    for found in _CC.finditer(text):
        parts = [name.upper() for name, pattern in _ELEMENTS.items() if pattern.search(found[0])]
        parts.sort(key=["NC", "ND", "SA"].index)
        names.add("-".join(["CC", "BY", *parts, *([found[2]] if found[2] else [])]))
    return tuple(sorted(names))


def licence_name(licence: str) -> str:
    """A licence as a page names it: its short names, or its own text where it names none that we know."""
    return ", ".join(licence_names(licence)) or " ".join(licence.split())[:40] or "unknown"


def _plain(licence: str) -> str:
    """Lower case, every run of other signs than letters, digits and inner dots one blank: "CC-BY_4.0." -> "cc by 4.0"."""
    return re.sub(r"\.(?![a-z\d])|[^a-z\d.]+", " ", licence.lower()).strip().replace("  ", " ")
