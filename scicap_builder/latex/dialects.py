"""How document classes number: the formats and resets that \\documentclass and \\appendix bring along, as data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

FLOATS = ("figure", "table", "equation")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """What one class, or a family of classes, says about counters. Formats are bodies of \\thename, as \\ref prints them."""

    formats: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)
    """Counter -> the counter whose step sets it back."""
    appendix: Mapping[str, str] = field(default_factory=dict)
    """Formats from \\appendix on."""
    appendix_resets: tuple[str, ...] = ()
    """Counters that \\appendix sets back."""
    appendix_within: tuple[str, ...] = ()
    """Counters that every section of the appendix sets back."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What captions are called where it is not "Figure" and "Table"."""
    theorems: tuple[str, ...] = ()
    """Environments that the class brings along, each with a counter of its own."""


def _within_appendix(between: str, counters: tuple[str, ...] = FLOATS) -> Dialect:
    """Floats are A1, A2, B1 (or A.1 … with a dot between) in the appendix."""
    return Dialect(
        appendix={name: rf"\thesection{between}\arabic{{{name}}}" for name in counters},
        appendix_resets=counters,
        appendix_within=counters,
    )


_CHAPTERS = Dialect(
    formats={name: rf"\thechapter.\arabic{{{name}}}" for name in (*FLOATS, "section")},
    parents=dict.fromkeys((*FLOATS, "section"), "chapter"),
)
_IEEE = Dialect(
    formats={
        "section": r"\Roman{section}",
        "subsection": r"\thesection-\Alph{subsection}",
        "subsubsection": r"\thesubsection\arabic{subsubsection}",
        "table": r"\Roman{table}",
    },
    names={"figure": "Fig."},
)
_REVTEX = Dialect(
    formats={
        "section": r"\Roman{section}",
        "subsection": r"\thesection~\Alph{subsection}",
        "subsubsection": r"\thesubsection~\arabic{subsubsection}",
        "table": r"\Roman{table}",
    },
    appendix={"subsection": r"\thesection~\arabic{subsection}", "equation": r"\thesection\arabic{equation}"},
    appendix_resets=("equation",),
    appendix_within=("equation",),
    names={"figure": "FIG."},
)
_ELSEVIER = Dialect(
    appendix={
        "section": r"Appendix~\Alph{section}",
        "figure": r"\Alph{section}.\arabic{figure}",
        "table": r"\Alph{section}.\arabic{table}",
        "equation": r"\Alph{section}.\arabic{equation}",
    },
    appendix_resets=("equation",),
    appendix_within=("equation",),
)
_AASTEX = Dialect(appendix={"equation": r"\Alph{section}\arabic{equation}"}, appendix_resets=("equation",))
_MNRAS = Dialect(
    appendix={**_within_appendix("").appendix, "subsection": r"\thesection\arabic{subsection}"},
    appendix_resets=FLOATS,
    appendix_within=FLOATS,
)
_JMLR = Dialect(formats={"subfigure": r"(\alph{subfigure})"})
_LLNCS = Dialect(
    names={"figure": "Fig."},
    theorems=("theorem", "lemma", "definition", "corollary", "proposition", "remark", "example", "property", "problem"),
)

DIALECTS: tuple[tuple[str, Dialect], ...] = (
    (r"IEEEtran.*", _IEEE),
    (r"revtex4.*", _REVTEX),
    (r"elsarticle.*|elsart.*|cas-[sd]c.*", _ELSEVIER),
    (r"aastex.*", _AASTEX),
    (r"emulateapj.*", _within_appendix("", ("equation",))),
    (r"mnras.*|mn2e.*", _MNRAS),
    (r"llncs.*", _LLNCS),
    (r"jmlr.*", _JMLR),
    (r"aa(?:\d.*)?", _within_appendix(".")),
    (r"sn-jnl.*", _within_appendix("")),
    (r".*(?:book|report|memoir|scrreprt|thesis|Thesis|svmono).*", _CHAPTERS),
)
"""Name of the class (a pattern for all of it) -> its dialect; the first that fits counts, the rest number as article does.
Read off the classes: IEEEtran 1.8b, REVTeX 4.2, elsarticle 3.3, AASTeX 6.3.1, emulateapj 2009, mnras 3.0, A&A 9, sn-jnl 2023."""
_CLASS = re.compile(r"\\(?:documentclass|documentstyle|LoadClass)\s*(?:\[[^\]]*\])?\s*\{([^}]*)\}")


def dialect_of(preamble: str) -> Dialect:
    """The dialect of the first \\documentclass (or \\LoadClass of a local class) that is known."""
    for names in _CLASS.findall(preamble):
        name = names.strip().rsplit("/", 1)[-1]
        found = next((dialect for pattern, dialect in DIALECTS if re.fullmatch(pattern, name)), None)
        if found is not None:
            return found
    return Dialect()


def is_chaptered(preamble: str) -> bool:
    """Whether the class has chapters, by which it numbers figures."""
    return dialect_of(preamble) is _CHAPTERS
