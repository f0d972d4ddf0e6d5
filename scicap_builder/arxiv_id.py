"""arXiv identifiers: any written form in, one checked value out (info.arxiv.org/help/arxiv_identifier)."""

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from llava_graph.errors import InputError, did_you_mean

_OLD_ARCHIVES = """
acc-phys adap-org alg-geom ao-sci astro-ph atom-ph bayes-an chao-dyn chem-ph cmp-lg comp-gas cond-mat cs dg-ga funct-an
gr-qc hep-ex hep-lat hep-ph hep-th math math-ph mtrl-th nlin nucl-ex nucl-th patt-sol physics plasm-ph q-alg q-bio
quant-ph solv-int supr-con
"""
OLD_ARCHIVES = frozenset(_OLD_ARCHIVES.split())
"""Every archive that gave out ids before April 2007 (arxiv.org/archive)."""

_HOSTS = r"(?:[a-z0-9-]+\.)*(?:arxiv\.org|ar5iv\.org)"
_URL = re.compile(rf"(?:https?://)?{_HOSTS}/(?:abs|pdf|html|src|e-print|format|ps)/(?P<id>[^?#]+)", re.IGNORECASE)
_PREFIX = re.compile(r"(?:(?:https?://)?(?:dx\.)?(?:doi\.org/)?10\.48550/)?arxiv[:.]\s*", re.IGNORECASE)
_NEW = re.compile(r"(?P<month>\d{4})\.(?P<number>\d{4,5})(?:v(?P<version>[1-9]\d*))?", re.IGNORECASE)
_OLD = re.compile(
    r"(?P<archive>[a-z-]+)(?:\.[a-z]{2})?/(?P<month>\d{4})(?P<number>\d{3})(?:v(?P<version>[1-9]\d*))?", re.IGNORECASE
)

_SQUASHED = re.compile(r"([a-z-]*[a-z])(?:\.[a-z]{2})?[_-]?(\d{7}(?:v\d+)?)", re.IGNORECASE)
"""Ids of before April 2007 lose their slash in file names: cs0102003v1, cs_0102003."""

FIVE_DIGITS_SINCE = 1501
"""YYMM from which new-style numbers have five digits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArxivId:
    """A checked identifier: `base` without the version ("1706.03762", "hep-th/9901001"), `version` if one was given."""

    base: str
    version: int | None = None

    def __str__(self) -> str:
        return self.base if self.version is None else f"{self.base}v{self.version}"

    @property
    def file_key(self) -> str:
        """A file name as arXiv writes it: "hep-th9901001v1"."""
        return str(self).replace("/", "")

    def at_version(self, version: int) -> "ArxivId":
        """The same paper at an exact version."""
        return replace(self, version=version)


def parse_arxiv_id(text: str) -> ArxivId:
    """Any written form -> ArxivId.

    Read are new and old style with or without version, upper-case archives, the `arXiv:` prefix, a trailing category
    ("arXiv:1706.03762v7 [cs.CL]"), a `.pdf` ending, addresses of abs/pdf/html/src/e-print pages and DataCite DOIs.
    Raises InputError that says what is wrong with it.
    """
    bare = re.sub(r"\s*\[[^\]]*\]$", "", text.strip())
    if url := _URL.fullmatch(bare.split("?")[0].split("#")[0]):
        bare = unquote(url["id"])
    bare = _PREFIX.sub("", bare, count=1).strip().rstrip("/")
    bare = re.sub(r"\.pdf$", "", bare, flags=re.IGNORECASE)
    if match := _NEW.fullmatch(bare):
        return _new_style(match, text)
    if match := _OLD.fullmatch(bare):
        return _old_style(match, text)
    if match := re.fullmatch(r"(\d{4})(\d*)\.(\d+)(?:v[1-9]\d*)?", bare):
        raise _refused(text, f"no such id can exist: {_impossible(match)}")
    raise _refused(text, "it has neither the form 1706.03762 nor hep-th/9901001")


def id_of_name(name: str) -> ArxivId | None:
    """The id that a file or folder is named after ("1001.0025v1", "cs0102003v1", "arXiv-1706.03762v7"); None: there is none."""
    try:
        return parse_arxiv_id(_SQUASHED.sub(r"\1/\2", re.sub(r"(?i)^arxiv[-_]", "", name)))
    except InputError:
        return None


def _impossible(match: re.Match[str]) -> str:
    """What is wrong with (year and month)(more digits).(number)."""
    month, more, number = match.groups()
    if not 1 <= int(month[2:]) <= 12:
        return f"{month[2:]!r} is no month"
    return "year and month have four digits" if more else f"a number has four or five digits, not {len(number)}"


def _new_style(match: re.Match[str], text: str) -> ArxivId:
    month, number = match["month"], match["number"]
    digits = 5 if int(month) >= FIVE_DIGITS_SINCE else 4
    if not 1 <= int(month[2:]) <= 12:
        raise _refused(text, f"{month[2:]!r} is no month")
    if int(month) < 704:
        raise _refused(text, "ids of this form began in April 2007 (0704)")
    if len(number) != digits:
        raise _refused(text, f"a number of {month} has {digits} digits after the dot")
    if int(number) == 0:
        raise _refused(text, "numbers begin at 1")
    return ArxivId(base=f"{month}.{number}", version=_version(match))


def _old_style(match: re.Match[str], text: str) -> ArxivId:
    archive, month = match["archive"].lower(), match["month"]
    if archive not in OLD_ARCHIVES:
        raise _refused(text, f"there was no archive {archive!r} before April 2007", did_you_mean(archive, OLD_ARCHIVES))
    if not 1 <= int(month[2:]) <= 12:
        raise _refused(text, f"{month[2:]!r} is no month")
    if not (int(month) >= 9107 or int(month) <= 703):
        raise _refused(text, "ids of this form run from July 1991 (9107) to March 2007 (0703)")
    return ArxivId(base=f"{archive}/{month}{match['number']}", version=_version(match))


def _version(match: re.Match[str]) -> int | None:
    return int(match["version"]) if match["version"] else None


def _refused(text: str, why: str, hint: str = "") -> InputError:
    return InputError(f"{text.strip()[:100]!r} is no arXiv id: {why}", next_step=hint)
