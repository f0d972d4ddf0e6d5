"""The commands of sub-figures and their arguments: what is caption, which labels belong to it, where it ends."""

import re
from dataclasses import dataclass, field

from scicap_builder.latex.tokens import group_at, option_at

LABEL = re.compile(r"\\label\s*\{([^{}]*)\}")
_GRID_LETTER = re.compile(r"^\s*(?:\\[a-z]+\s*)*\{?\(?([A-Za-z])[).:]\)?\s*")


@dataclass(frozen=True, slots=True)
class SubCommand:
    """One sub-figure command as it stands in the text."""

    source: str
    """Its caption, still as TeX."""
    labels: list[str] = field(default_factory=list)
    end: int = 0


def parse_sub_command(command: str, text: str, at: int, pairs: dict[int, int]) -> SubCommand:
    """\\subfigure[…]{…}, \\subfloat[…][…]{…}, \\subcaptionbox{…}[…]{…}, \\subcaption{…}; `at` is behind the name."""
    source, content = "", ""
    while option := option_at(text, at, pairs):
        source, at = option
    group = None if command == "phantomsubcaption" else group_at(text, at, pairs)
    if group is not None:
        content, at = group
    if command in ("subcaptionbox", "subcaption", "phantomsubcaption"):
        source, content = content, ""
    while command == "subcaptionbox" and (option := option_at(text, at, pairs)):
        at = option[1]
    box = group_at(text, at, pairs) if command == "subcaptionbox" else None
    if box is not None:
        content, at = box
    return SubCommand(source, LABEL.findall(source) + LABEL.findall(content), at)


def grid_caption(source: str) -> tuple[str, str]:
    """The last argument of AASTeX's \\fig: (the letter typed in front, the caption)."""
    letter = _GRID_LETTER.match(source)
    return letter[1] if letter else "", LABEL.sub("", source[letter.end() :] if letter else source)
