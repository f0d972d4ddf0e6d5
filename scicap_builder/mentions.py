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
WORD = (
    r"(?:F[\s]?I[\s]?G[\s]?U[\s]?R[\s]?E(?:\s?S)?|Figures?|figures?|F[\s]?I[\s]?G(?:\s?S)?|Figs?|figs?)\b|"
    r"(?:Figure|Fig|fig|FIG|FIGURE)s?(?=[\dS])"
)
"""The word of a figure label or citation, letter-spaced small caps included; also glued to its number ("Fig3")."""

_ROMAN = r"(?:X{0,3}(?:IX|IV|V?I{1,3}|V|X(?![IVX])))(?![A-Za-z])"
NUMBER = rf"(?:(?:ED|S|[A-Z]\.?|[A-Z]{_DASH}(?=\d))?\d{{1,3}}(?:\.\d{{1,3}}(?!\d|\s*%|\.\d))?(?!\d)|{_ROMAN})"
"""3, S1, A1, A.1, A-1, 2.3, IV."""

_PANEL = rf"(?:\s?\(?[A-Za-z](?:\s?{_DASH}\s?[A-Za-z])?(?:[′'])?\)?(?![A-Za-z]))"
_PANELS = rf"(?:{_PANEL}(?:\s?(?:,|;|&|/|and|,\s?and|to|{_DASH})\s?{_PANEL})*)?"
_GLUED_PANEL = rf"(?:[A-Za-z](?:\s?{_DASH}\s?[A-Za-z])?(?![A-Za-z]))?"
_SEPARATOR = r"\s*(?:\.|:|~|#|[Nn]o\.?|n°)?[\s\-‐‑–~]*\(?"
_AGAIN = rf"(?:(?:{WORD}){_SEPARATOR})?"

_PREFIX = r"(?:Supplement(?:ary|al)|Supporting(?:\s+Information)?|Suppl?\.?|Extended\s+Data|Appendix)"
_CITATION = re.compile(rf"(?<![A-Za-z])(?P<prefix>{_PREFIX}\s+)?(?P<word>{WORD}){_SEPARATOR}(?P<number>{NUMBER})", re.I)
_MORE = re.compile(
    rf"{_PANELS}\)?\s*(?P<join>{_DASH}|,\s*(?:and|&)|,|;|&|/|\band\b|\bor\b|\bto\b|\bthrough\b|\bversus\b|\bvs\.?)"
    rf"\s*(?P<again>{_AGAIN})\(?(?P<number>{NUMBER})"
)
_LABEL = re.compile(
    rf"^\s*[\[(•▪■►*]?\s*(?P<label>(?P<prefix>{_PREFIX}\s+)?(?P<word>{WORD}){_SEPARATOR}(?P<number>{NUMBER})"
    rf"(?P<panel>[A-Za-z](?![A-Za-z]))?)\s*(?P<separator>\)?\s*(?:[.:|•–—‒]|-(?=\s)|\))*)\s*",
    re.I,
)
_LABEL_AFTER = re.compile(r"^\s*(?P<label>(?P<number>S\d{1,3})\s+(?P<word>Fig(?:ure)?))\s*(?P<separator>[.:|]?)\s*")

_NAME = r"(?:[A-Z][\w'’\-]+(?:\s+(?:et\s+al\.?|(?:and|&)\s+[A-Z][\w'’\-]+))?)"
_FOREIGN_AFTER = re.compile(
    rf"^{_PANELS}\)?\s*,?\s*(?:of|in|from)\s+(?:the\s+)?"
    rf"(?:\[\s*\d|\(?[Rr]efs?\b|[Rr]eference\s*\[?\d|{_NAME}\s*[,]?\s*[\[(]?\s*(?:19|20)\d\d|{_NAME}\s*\[\d|"
    r"[A-Z][\w'’\-]+\s+et\s+al|Paper\s+[IVX]+\b)"
)
_FOREIGN_BEFORE = re.compile(
    rf"(?:\[\s*\d+(?:\s*[,;]\s*\d+)*\s*[,;:]\s*(?:see\s+)?|\b(?:their|his|her|its\s+original)\s+|"
    rf"(?:et\s+al\.?|{_NAME}),?\s*\(?\[?(?:19|20)\d\d[a-z]?\]?,\s*(?:see\s+|their\s+)?|\b[Rr]ef\.?\s*\[?\d+\]?,?\s*)$"
)


@dataclass(frozen=True, slots=True)
class Citation:
    """One number cited at [start, end) of a text."""

    number: str
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
    while match := _CITATION.search(text, position):
        position = match.end()
        if not _is_number(match["number"]):
            continue
        group, position = _group(text, match)
        if not (
            _FOREIGN_BEFORE.search(text[max(0, match.start() - 80) : match.start()])
            or _FOREIGN_AFTER.match(text[position:])
        ):
            yield from group


def cited_numbers(text: str) -> tuple[str, ...]:
    """The figure numbers that `text` cites, each once, in order: "Figs. 2–4 and S1" -> ("2", "3", "4", "S1")."""
    return tuple(dict.fromkeys(citation.number for citation in citations(text)))


def parse_label(line: str) -> Label | None:
    """The figure label at the start of `line`, or None."""
    match = _LABEL.match(line) or _LABEL_AFTER.match(line)
    if match is None or not _is_number(match["number"]):
        return None
    found = match.groupdict()
    return Label(
        text=_tidy(match["label"], match["word"]),
        number=normal_number(match["number"], found.get("prefix") or ""),
        separator=re.sub(r"\s+", "", match["separator"]),
        panel=found.get("panel") or "",
        end=match.end(),
    )


def _tidy(label: str, word: str) -> str:
    """ "F I G U R E  3" -> "FIGURE 3"."""
    return re.sub(r"\s+", " ", label.replace(word, re.sub(r"\s", "", word), 1)).strip()


def normal_number(number: str, prefix: str = "") -> str:
    """One spelling for each number: "s1", "Supplementary … 1" -> "S1"; "a-1" -> "A1"; "Extended Data … 2" -> "ED2"."""
    number = re.sub(_DASH, "", number).upper()
    prefix = prefix.strip().lower()
    if prefix.startswith("sup") and number[:1].isdigit():
        return "S" + number
    if prefix.startswith("extended") and number[:1].isdigit():
        return "ED" + number
    return number


def _is_number(number: str) -> bool:
    """Lower-case letters are no part of a number: "fig. i" and "Figure a1" are prose more often than labels, "s1" is not."""
    return bool(number) and (number[0].isdigit() or number[0].isupper() or number[0] == "s") and number != "0"


def _group(text: str, first: re.Match[str]) -> tuple[list[Citation], int]:
    """All numbers that hang on one word ("Figs. 1A, B and 2-4") and where the last one ends."""
    prefix = first["prefix"] or ""
    plural = first["word"].rstrip().lower().endswith("s")
    found = [Citation(normal_number(first["number"], prefix), first.start(), first.end())]
    position = first.end()
    while match := _MORE.match(text, position):
        if not _belongs(match, text, plural):
            break
        number = normal_number(match["number"], prefix)
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
        return bool(re.match(rf"{_GLUED_PANEL}\s*(?:[.,;)\]]|$|and\s+\d|&\s*\d|{_DASH}\s*\d)", rest))
    return True


def _between(first: str, last: str) -> list[str]:
    """The numbers strictly between two ends of a range: "2", "5" -> ["3", "4"]; "S1", "S3" -> ["S2"]; "II", "IV" -> ["III"]."""
    if re.fullmatch(_ROMAN, first) and re.fullmatch(_ROMAN, last):
        low, high = _from_roman(first), _from_roman(last)
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


def _from_roman(text: str) -> int:
    return next((n for n in range(1, 40) if _to_roman(n) == text), 0)
