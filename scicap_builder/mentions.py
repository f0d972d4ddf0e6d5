"""Figure labels and citations of figures in plain text.

In: a string as a reader sees it ("Figs. 2–5", "Fig. 3a,b", "Figure-1: A map."). Out: the numbers it cites, or the label at
its start. Numbers are normalised so that a citation and a label join: "S1", "A.2", "2.3", "IV".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_RANGE = 60
"""A range "Figs. 2–90" longer than this is taken as its two ends: no paper cites 60 figures at once, but OCR misreads do."""

_DASH = r"[-‐‑‒–—−]"
_SPACED_S = r"(?:S|\sS(?!\s?[.\-‐‑–]?\s?\d))?"
_FIGURE = (
    rf"(?:F\s?I\s?G\s?U\s?R\s?E{_SPACED_S}|F\s?I\s?G{_SPACED_S}|Figuras?|Figur|Abbildung(?:en)?|Abb)\b|"
    r"(?:Figure|Fig)s?(?=[\dS])"
)
_OTHER_KINDS = r"(?-i:S(?:cheme|CHEME)(?:s|S)?|C(?:hart|HART)(?:s|S)?|G(?:raph|RAPH)(?:s|S)?)\b"
"""Floats that journals set, number and tag as figures, each kind counted on its own; lower case they are prose."""
WORD = rf"{_FIGURE}|{_OTHER_KINDS}"
"""The word of a figure label or citation, letter-spaced small caps included; also glued to its number ("Fig3")."""

_ROMAN = r"(?:X{0,3}(?:IX|IV|V?I{1,3}|V|X(?![IVX])))(?![A-Za-z])"
NUMBER = rf"(?:(?:ED|S|[A-Z]\.?|[A-Z]{_DASH}(?=\d))?\d{{1,3}}(?:\.\d{{1,3}}(?!\d|\s*%|\.\d))?(?!\d)|{_ROMAN})"
"""3, S1, A1, A.1, A-1, 2.3, IV."""

_PANEL = rf"(?:\s?\(?[A-Za-z](?:\s?{_DASH}\s?[A-Za-z])?(?:[′'])?\)?(?![A-Za-z]))"
_PANELS = rf"(?:{_PANEL}(?:\s?(?:,|;|&|/|and|,\s?and|to|{_DASH})\s?{_PANEL})*)?"
_GLUED_PANEL = rf"(?:[A-Za-z](?:\s?{_DASH}\s?[A-Za-z])?(?![A-Za-z]))?"
_SEPARATOR = r"\s*[.:~#]?\s*(?:[Nn]os?\.?|n°)?[\s\-‐‑–~]*\(?"
_REMARK = r"\((?:left|right|top|bottom|upper|lower|middle|cent(?:er|re)|black|red|blue|green|solid|dashed|inset)\b[^()]{0,40}\)"
"""A remark between two numbers: "Figs. 2 (left) and 3 (right)"."""
_AGAIN = rf"(?:(?:{WORD}){_SEPARATOR})?"

_PREFIX = r"(?:Supplement(?:ary|al)|Supporting(?:\s+Information)?|Suppl?\.?|SI|Extended\s+Data|Appendix)"
_SUPPLEMENT = rf"(?:\s?{_DASH}\s?figure\s+supplements?\s+(?P<supplement>\d+))"
"""eLife's "Figure 2—figure supplement 1": a figure of its own, no citation of figure 2."""
_SUPPLEMENT_HERE = re.compile(_SUPPLEMENT, re.I)
_CITATION = re.compile(rf"(?<![A-Za-z])(?P<prefix>{_PREFIX}\s+)?(?P<word>{WORD}){_SEPARATOR}(?P<number>{NUMBER})", re.I)
_MARKS = ("fig", "f i", "fi g", "f\u00a0i", "fi\u00a0g", "abb", "scheme", "chart", "graph")
"""One of these stands in every citation; most paragraphs have none and need no search."""
_MORE = re.compile(
    rf"{_PANELS}\)?(?:\s?{_REMARK})?\s*(?P<join>{_DASH}|,\s*(?:and|&)|,|;|&|/|\band\b|\bor\b|\bto\b|\bthrough\b|\bversus\b|\bvs\.?)"
    rf"\s*(?P<again>{_AGAIN})(?P<open>\()?(?P<number>{NUMBER})",
    re.I,
)
_LABEL = re.compile(
    rf"^\s*[\[(•▪■►*]?\s*(?P<label>(?P<prefix>{_PREFIX}\s+)?(?P<word>{WORD}){_SEPARATOR}(?P<number>{NUMBER})"
    rf"{_SUPPLEMENT}?(?P<panel>[A-Za-z](?![A-Za-z])(?:\s?(?:{_DASH}|,)\s?[A-Za-z](?![A-Za-z]))*)?)\s*(?P<separator>\)?\s*(?:[.:|•–—‒]|-(?=\s)|\))*)\s*",
    re.I,
)
_LABEL_AFTER = re.compile(r"^\s*(?P<label>(?P<number>S\d{1,3})\s+(?P<word>Fig(?:ure)?))\s*(?P<separator>[.:|]?)\s*")

_NAME = r"(?:[A-Z][\w'’\-]+(?:\s+(?:et\s+al\.?|(?:and|&)\s+[A-Z][\w'’\-]+))?)"
_FOREIGN_AFTER = re.compile(
    rf"^{_PANELS}\)?\s*,?\s*(?:of|in|from)\s+(?:the\s+)?"
    rf"(?:(?:paper|article|work|study|book|review|report)\s+(?:of|by)\b|"
    rf"\[\s*\d|\(?[Rr]efs?\b|[Rr]eference\s*\[?\d|{_NAME}\s*[,]?\s*[\[(]?\s*(?:19|20)\d\d|{_NAME}\s*\[\d|"
    r"[A-Z][\w'’\-]+\s+et\s+al|Paper\s+[IVX]+\b|[A-Z]{2,}\d\d)"
)
_FOREIGN_BEFORE = re.compile(
    rf"(?:\[\s*\d+(?:\s*[,;]\s*\d+)*\s*[,;:]\s*(?:see\s+)?|\b(?:their|his|her|its\s+original)\s+|"
    rf"(?:et\s+al\.?|{_NAME}),?\s*\(?\[?(?:19|20)\d\d[a-z]?\]?,\s*(?:see\s+|their\s+)?|\b[Rr]ef\.?\s*\[?\d+\]?,?\s*)$"
)
_SUPPLEMENT_AFTER = re.compile(
    rf"^{_PANELS}\)?\s*,?\s*(?:of|in)\s+(?:the\s+|our\s+)?"
    r"(?:[Ss]uppl|SI\b|[Ss]upporting|[Oo]nline|[Aa]dditional\s+[Ff]ile|ESM\b|S\d)"
)
_SUPPLEMENT_BEFORE = re.compile(
    r"\b(?:[Aa]dditional\s+[Ff]ile|[Oo]nline\s+[Rr]esource|[Ss]upplementary\s+[A-Z]?[a-z]+|S\d+\s+(?:File|Text))\s*\d*\s*[:,]\s*$"
)
"""A supplement in a file of its own counts its figures from 1: "Additional file 1: Fig. 2" is not figure 2."""


@dataclass(frozen=True, slots=True)
class Citation:
    """One number cited at [start, end) of a text."""

    number: str
    """As `normal_number` spells it."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Label:
    """The label at the start of a caption: "Fig. 3 | A map" -> text "Fig. 3", number "3", separator "|", end 9."""

    text: str
    number: str
    separator: str
    panel: str
    end: int


def citations(text: str) -> Iterator[Citation]:
    """Every figure number that `text` cites, ranges filled in; figures of other papers ("Fig. 2 of [12]") are left out."""
    position = 0
    plain = text.lower()
    if not any(mark in plain for mark in _MARKS):
        return
    while match := _CITATION.search(text, position):
        position = match.end()
        if not _is_number(match["number"]):
            continue
        group, position = _group(text, match)
        if _SUPPLEMENT_HERE.match(text, match.end()):
            continue
        if not _is_elsewhere(text, match, position):
            yield from group


def _is_elsewhere(text: str, match: re.Match[str], end: int) -> bool:
    """Whether a citation that begins with `match` and ends at `end` speaks of another paper or of a separate supplement."""
    before, after = text[max(0, match.start() - 80) : match.start()], text[end : end + 120]
    if _FOREIGN_BEFORE.search(before) or _FOREIGN_AFTER.match(after):
        return True
    plain = match["number"][0].isdigit()
    return plain and bool(_SUPPLEMENT_BEFORE.search(before) or _SUPPLEMENT_AFTER.match(after))


def cited_numbers(text: str) -> tuple[str, ...]:
    """The figure numbers that `text` cites, each once, in order: "Figs. 2–4 and S1" -> ("2", "3", "4", "S1")."""
    return tuple(dict.fromkeys(citation.number for citation in citations(text)))


def parse_label(line: str) -> Label | None:
    """The figure label at the start of `line`, or None."""
    match = _LABEL.match(line) or _LABEL_AFTER.match(line)
    if match is None or not _is_number(match["number"]):
        return None
    found = match.groupdict()
    supplement = found.get("supplement")
    return Label(
        text=_tidy(match["label"], match["word"]),
        number=normal_number(match["number"], found.get("prefix") or "", match["word"])
        + (f"-S{supplement}" if supplement else ""),
        separator=re.sub(r"\s+", "", match["separator"]),
        panel=found.get("panel") or "",
        end=match.end(),
    )


def _tidy(label: str, word: str) -> str:
    """ "F I G U R E  3" -> "FIGURE 3"."""
    return re.sub(r"\s+", " ", label.replace(word, re.sub(r"\s", "", word), 1)).strip()


def normal_number(number: str, prefix: str = "", word: str = "") -> str:
    """One spelling for each number: "s1", "Supplementary … 1" -> "S1"; "a-1" -> "A1"; "Extended Data … 2" -> "ED2".

    `word` tells the kind of a float that is counted on its own: "Schemes", "2" -> "Scheme 2".
    """
    number = re.sub(_DASH, "", number).upper()
    prefix = prefix.strip().lower()
    if prefix.startswith(("sup", "si")) and number[:1].isdigit():
        number = "S" + number
    if prefix.startswith("extended") and number[:1].isdigit():
        number = "ED" + number
    kind = re.fullmatch(r"(scheme|chart|graph)s?", word.lower())
    return f"{kind[1].capitalize()} {number}" if kind else number


def _is_number(number: str) -> bool:
    """Lower-case letters are no part of a number: "fig. i" and "Figure a1" are prose more often than labels, "s1" is not."""
    return bool(number) and (number[0].isdigit() or number[0].isupper() or number[0] == "s") and number != "0"


def _group(text: str, first: re.Match[str]) -> tuple[list[Citation], int]:
    """All numbers that hang on one word ("Figs. 1A, B and 2-4") and where the last one ends."""
    prefix, word = first["prefix"] or "", first["word"]
    plural = word.rstrip().lower().endswith("s")
    found = [Citation(normal_number(first["number"], prefix, word), first.start(), first.end())]
    position = first.end()
    while match := _MORE.match(text, position):
        bracketed = match["open"] and not text[first.end("word") : first.start("number")].endswith("(")
        if bracketed or not _belongs(match, text, plural):
            break  # "Figure 7 (a), (1)": an equation or an item of a list
        number = normal_number(match["number"], prefix, word)
        if re.fullmatch(rf"{_DASH}|to|through", match["join"]):
            found += [Citation(n, match.start("number"), match.end()) for n in _between(found[-1].number, number)]
        found.append(Citation(number, match.start("number"), match.end()))
        position = match.end()
        plural = plural or match["join"] not in (",", ";")
    return found, position


def _belongs(match: re.Match[str], text: str, plural: bool) -> bool:
    """Whether a further number belongs to the citation and is not the next word's: "In Fig. 3, 10 samples …"."""
    if match["again"]:
        return match["join"] not in (",", ";", "&", "and", "or")
    if not _is_number(match["number"]) or not (match["number"][0].isdigit() or match["number"][0].isupper()):
        return False
    rest = text[match.end() :]
    if re.match(
        r"\s*(?:%|°|×|:\d|(?:mm|cm|nm|µm|μm|km|kg|mg|ml|s|ms|h|min|GHz|MHz|Hz|eV|keV|K|years?|days?|samples?)\b)", rest
    ):
        return False
    if match["join"] == ";":
        plural = text[: match.start()].rfind("(") > text[: match.start()].rfind(")")
    if match["join"] in (",", ";") and not plural:
        return bool(re.match(rf"{_GLUED_PANEL}\s*(?:\([a-z]\)|[.,;)\]]|$|and\s+\d|&\s*\d|{_DASH}\s*\d)", rest))
    return True


def _between(first: str, last: str) -> list[str]:
    """The numbers strictly between two ends of a range: "2", "5" -> ["3", "4"]; "S1", "S3" -> ["S2"]; "II", "IV" -> ["III"]."""
    if re.fullmatch(_ROMAN, first) and re.fullmatch(_ROMAN, last):
        low, high = from_roman(first), from_roman(last)
        return [_to_roman(n) for n in range(low + 1, high)]
    head = re.fullmatch(r"(.*?)(\d+)", first)
    tail = re.fullmatch(r"(.*?)(\d+)", last)
    if not head or not tail or tail[1] not in (head[1], "") or not 0 < int(tail[2]) - int(head[2]) <= MAX_RANGE:
        return []
    return [f"{head[1]}{n}" for n in range(int(head[2]) + 1, int(tail[2]))]


_ROMAN_VALUES = (("X", 10), ("IX", 9), ("V", 5), ("IV", 4), ("I", 1))


def _to_roman(number: int) -> str:
    text = ""
    for letters, value in _ROMAN_VALUES:
        while number >= value:
            text, number = text + letters, number - value
    return text


def from_roman(text: str) -> int:
    return next((n for n in range(1, 40) if _to_roman(n) == text), 0)
