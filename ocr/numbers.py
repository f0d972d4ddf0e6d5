"""The number that a piece of text is: "−1.5", "1,000", "20%", "10⁻³", "3×10^4", "50k". Text in, a float or None out."""

import re

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_MINUS = str.maketrans("−–—‐‑﹣－", "-------")
_PREFIXES = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12, "m": 1e-3, "µ": 1e-6, "μ": 1e-6, "n": 1e-9}
"""SI prefixes and the B of "billion", as they end tick labels."""
_PLAIN = re.compile(
    r"[~≈<>≤≥=±]?\s*(?P<sign>[+-]?)\s*[$€£]?\s*(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?|\.\d+)"
    r"(?:[eE](?P<exponent>[+-]?\d{1,3}))?(?P<unit>[kKMGTBmµμn]|\s*(?:%|‰|°[CF]?|s|ms|h|x|×|σ))?"
)
_SPACED = re.compile(r"[-+−–]?[1-9]\d?(?: \d{3})+")
"""Thousands parted by spaces, as engines read "4000" in some fonts; "100 200" is two ticks."""
_POWER = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<factor>\d+(?:\.\d+)?)\s*[×x·*]\s*)?10\s*(?:\^\s*\{?\(?)?(?P<exponent>[+-]?\d{1,3})\)?\}?"
)


def parse_number(text: str) -> float | None:
    """The number that `text` is, unit signs and SI prefixes included; None for words, ranges, dates and lists of numbers.

    Per cent stay as written ("20%" is 20.0). "10-3" is a power of ten: figures print it with a raised exponent that text
    readers flatten. "103" stays a hundred and three.
    """
    raised = bool(re.search(r"10[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]", text))
    text = re.sub(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3})", ",", text)
    if _SPACED.fullmatch(text.strip()):
        text = text.replace(" ", ",")
    text = " ".join(text.translate(_SUPERSCRIPTS).translate(_MINUS).split())
    power = _POWER.fullmatch(text)
    if power and (raised or "^" in text or power["factor"] or power["exponent"][0] in "+-"):
        value = float(power["factor"] or 1) * 10.0 ** int(power["exponent"])
        return -value if power["sign"] == "-" else value
    match = _PLAIN.fullmatch(text)
    if match is None:
        return None
    value = float(_digits(match["digits"])) * 10.0 ** int(match["exponent"] or 0)
    value *= _PREFIXES.get(match["unit"] or "", 1.0)
    return -value if match["sign"] == "-" else value


def _digits(text: str) -> str:
    """Groups of three are thousands ("1,000"); another comma is a decimal one ("0,5")."""
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", text):
        return text.replace(",", "")
    return text.replace(",", ".")
