"""Names as pdffigures2 and SciCap give them: "1001.0025v1" for a paper, "1001.0025v1-Figure2-1" for a figure of it."""

import re

from llava_graph.record import Figure
from scicap_builder.mentions import parse_label


def paper_name(paper_id: str) -> str:
    """A paper's id as a file name: "arxiv:hep-th/9901001v1" -> "hep-th9901001v1", "local:a/b c" -> "a__b~20c".

    The version stands there where the id has one; none is invented.
    """
    kind, _, name = paper_id.rpartition(":")
    if kind == "arxiv":
        return name.replace("/", "")
    return re.sub(r"[^\w.\-]", lambda match: "__" if match[0] == "/" else f"~{ord(match[0]):x}", name)


def figure_number(figure: Figure) -> str:
    """The number as the paper prints it, as part of a file name ("3", "S1", "A.2"); empty if the figure has none."""
    return _number_and_copy(figure)[0]


def figure_name(figure: Figure) -> str:
    """`<paper>-Figure<N>-<k>`: k is 1, and 2, … where a paper has the number again. Empty if the figure has no number."""
    number, copy = _number_and_copy(figure)
    return f"{paper_name(figure.paper.id)}-Figure{number}-{copy}" if number and figure.paper.id else ""


def full_caption(figure: Figure) -> str:
    """The caption with its label before it, as these formats have it: "Figure 2: Impact of …"."""
    return ": ".join(part for part in (figure.label, figure.caption) if part)


def _number_and_copy(figure: Figure) -> tuple[str, int]:
    """("10", 2) of "…#fig10-2". The id alone does not tell a second figure 10 from a figure "10-2"; the label does."""
    _, mark, tail = figure.id.rpartition("#fig")
    if not mark:
        return "", 0
    label = parse_label(figure.label)
    number = re.sub(r"[^\w.]+", "-", label.number if label else "").strip("-.")
    again = re.fullmatch(rf"{re.escape(number)}-([2-9]|[1-9]\d+)", tail) if number else None
    return (number, int(again[1])) if again else (tail, 1)
