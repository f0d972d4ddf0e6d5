"""Words of scientific charts, read from the TOML files beside this module: per field its quantities with plausible ranges,
what is compared, and what is studied.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

VOCABULARIES = {"known": "fields.toml", "unseen": "unseen_fields.toml"}
"""known: what training charts are made of. unseen: for testing; the two share no name."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something an axis can show."""

    name: str
    unit: str
    low: float
    high: float
    log: bool = False
    """Whether values usually span orders of magnitude."""

    @property
    def label(self) -> str:
        """As an axis prints it."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


NOTHING = Quantity("", "", 0, 1)
"""An axis that shows categories."""


@dataclass(frozen=True, slots=True)
class Field:
    """One scientific field."""

    name: str
    across: tuple[Quantity, ...]
    """Quantities of x-axes."""
    measured: tuple[Quantity, ...]
    """Quantities of y-axes, histograms and bars."""
    series: tuple[tuple[str, ...], ...]
    """Families of things compared in one chart."""
    categories: tuple[tuple[str, ...], ...]
    """Families of things along a bar chart's axis."""
    subjects: tuple[str, ...]
    """What is studied: "of NAME …", as it ends a caption."""
    known: bool = True
    """Whether training knows its words; then names may also be made of common words."""


def words(text: str) -> tuple[str, ...]:
    """Separated by semicolons, over lines."""
    return tuple(part.strip() for part in text.replace("\n", " ").split(";"))


@cache
def load_fields(vocabulary: str = "known") -> tuple[Field, ...]:
    """The fields of one of VOCABULARIES."""
    file = Path(__file__).with_name(VOCABULARIES[vocabulary])
    tables = tomllib.loads(file.read_text(encoding="utf-8"))["field"]
    return tuple(_field(table, known=vocabulary == "known") for table in tables)


def _field(table: dict[str, Any], *, known: bool) -> Field:
    return Field(
        name=table["name"],
        across=tuple(map(_quantity, table["across"])),
        measured=tuple(map(_quantity, table["measured"])),
        series=tuple(map(words, table["series"])),
        categories=tuple(map(words, table["categories"])),
        subjects=tuple(table["subjects"]),
        known=known,
    )


def _quantity(text: str) -> Quantity:
    name, unit, low, high, *log = words(text)
    return Quantity(name, unit, float(low), float(high), log == ["log"])
