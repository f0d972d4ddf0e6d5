"""Quantities as siunitx and units print them: \\SI{5}{\\metre\\per\\second} -> "5 m/s", \\numrange{2}{4} -> "2–4"."""

import re
from collections.abc import Callable

from scicap_builder.latex.reader import GroupReader

UNITS = {
    "percent": "%", "degree": "°", "celsius": "°C", "degreeCelsius": "°C", "micro": "µ", "milli": "m", "kilo": "k", "mega": "M",
    "giga": "G", "nano": "n", "pico": "p", "centi": "c", "meter": "m", "metre": "m", "second": "s", "gram": "g", "hertz": "Hz",
    "volt": "V", "ampere": "A", "watt": "W", "kelvin": "K", "mole": "mol", "pascal": "Pa", "joule": "J", "newton": "N",
    "ohm": "Ω",
    "tesla": "T", "electronvolt": "eV", "byte": "B", "bit": "bit", "hour": "h", "minute": "min", "day": "d", "litre": "L",
    "liter": "L", "angstrom": "Å", "decibel": "dB", "tera": "T", "femto": "f", "per": "/", "squared": "^2", "cubed": "^3",
    "um": "µm", "nm": "nm", "mm": "mm", "cm": "cm", "km": "km", "ms": "ms", "us": "µs", "ns": "ns", "kg": "kg", "mg": "mg",
    "GHz": "GHz",
    "MHz": "MHz", "kHz": "kHz", "Hz": "Hz", "eV": "eV", "keV": "keV", "MeV": "MeV", "GeV": "GeV", "TeV": "TeV",
    "m": "m", "s": "s",
}  # fmt: skip
"""siunitx: what its unit commands print."""
_POWERS = {"square": "^2", "cubic": "^3", "squared": "^2", "cubed": "^3"}
_BEFORE = ("square", "cubic")
"""Powers that stand before their unit."""
UNIT_ONLY = frozenset(("si", "unit"))
NUMBER_ONLY = frozenset(("num", "numrange", "numlist"))
RANGES = frozenset(("SIrange", "qtyrange", "numrange"))
LISTS = frozenset(("SIlist", "qtylist", "numlist"))
COMMANDS = ("num", "ang", "SI", "qty", "si", "unit", "SIrange", "qtyrange", "numrange", "SIlist", "qtylist", "numlist")


def quantity(name: str, reader: GroupReader, read: Callable[[list[str]], str]) -> str:
    """What \\name with its arguments prints; `read` turns the tokens of a number into text."""
    option = "".join(reader.option() or [])
    if name in UNIT_ONLY:
        unit = unit_text(reader.argument())
        return f"{option} {unit}" if re.match(r"[\d.]+$", option) else unit  # \\unit[5]{m} of the package units
    numbers = [_number(read(reader.argument())) for _ in range(2 if name in RANGES else 1)]
    if name in LISTS:
        numbers = [number.strip() for number in numbers[0].split(";")]
    text = "–".join(numbers) if name in RANGES else ", ".join(numbers)
    if name in NUMBER_ONLY:
        return text
    unit = "°" if name == "ang" else unit_text(reader.argument(after_option=True))
    return (text + ("" if unit[:1] in "°%" or not text else " ") + unit).strip()


def _number(text: str) -> str:
    return re.sub(r"(?<=[\d)])\s*[eEdD]\s*(?=[-+]?\d)", " × 10^", text.strip())


def unit_text(tokens: list[str]) -> str:
    """Unit commands and letters as text; a power that stands before its unit is set behind it."""
    parts: list[str] = []
    waiting = ""
    raising = False
    for lexeme in tokens:
        name = lexeme[1:]
        if lexeme in "{}" or lexeme.isspace():
            continue
        if raising:
            parts.append(f"^{lexeme}")
            raising = False
        elif lexeme[0] != "\\":
            parts.append(lexeme.replace("~", " ").replace(".", " "))
        elif name in ("tothe", "raiseto"):
            raising = True
        elif name in _BEFORE:
            waiting = _POWERS[name]
        else:
            unit = _POWERS.get(name, UNITS.get(name, ""))
            parts.append(unit)
            if waiting and name not in _PREFIXES:
                parts.append(waiting)
                waiting = ""
    return "".join(_spaced(parts))


_PREFIXES = frozenset(("micro", "milli", "kilo", "mega", "giga", "nano", "pico", "centi", "tera", "femto", "per"))


def _spaced(parts: list[str]) -> list[str]:
    """A blank between two units that stand side by side: "N m"; a prefix stays with its unit."""
    spaced: list[str] = []
    for part in parts:
        before = spaced[-1] if spaced else ""
        if before and part[:1].isalpha() and (before[:1] == "^" or (len(before) > 1 and before[-1].isalpha())):
            spaced.append(" ")
        spaced.append(part)
    return spaced
