"""Numbers of list items and listings, so that a \\ref to an \\item reads as printed: "2", "2a", "(i)"."""

import re

from scicap_builder.latex.counters import Counters, as_style
from scicap_builder.latex.references import Target

_STYLES = ("arabic", "alph", "roman", "Alph")
"""How \\ref prints items of nested enumerates; the level above stands in front."""
_LABEL = re.compile(r"\blabel\s*=\s*(\{(?:[^{}]|\{[^{}]*\})*\}|[^,]*)")
_STAR = re.compile(r"\\(arabic|alph|Alph|roman|Roman)\s*\*")


class ItemLabels:
    """The lists that are open; one step per \\item."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._counts: list[int] = []

    def begin(self, environment: str, option: tuple[str, int] | None) -> None:
        """A list begins; `option` may hold enumitem's label=(\\roman*)."""
        if environment in ("enumerate", "itemize", "description", "compactenum", "inparaenum"):
            label = _LABEL.search(option[0]) if option else None
            self._open.append((environment, label[1].strip("{}") if label else ""))
            self._counts.append(0)

    def end(self, environment: str) -> None:
        """A list ends."""
        if self._open and self._open[-1][0] == environment:
            self._open.pop()
            self._counts.pop()

    def step(self) -> Target | None:
        """The next \\item: what a label in it stands for; None outside of numbered lists."""
        if not self._open or self._open[-1][0] in ("itemize", "description"):
            return None
        self._counts[-1] += 1
        return Target("Item", self._printed(), counter="item")

    def _printed(self) -> str:
        count, label = self._counts[-1], self._open[-1][1]
        if _STAR.search(label):
            text = _STAR.sub(lambda match: as_style(count, match[1]), label)
            return re.sub(r"\\[A-Za-z]+\s?|[{}$~]", "", text).strip()
        numbered = [value for (name, _), value in zip(self._open, self._counts, strict=True) if name != "itemize"]
        styles = [*_STYLES, *["arabic"] * len(numbered)]
        return "".join(as_style(value, style) for value, style in zip(numbered, styles, strict=False))


def listing_target(source: str, counters: Counters) -> dict[str, Target]:
    """\\begin{lstlisting}[caption=…, label=…]: its label, where it has one."""
    option = re.match(r"\\begin\s*\{lstlisting\*?\}\s*\[([^\]]*)\]", source)
    if option is None or "caption" not in option[1]:
        return {}
    label = re.search(r"\blabel\s*=\s*\{?([^,{}]+)", option[1])
    number = counters.step("lstlisting")
    return {label[1].strip(): Target("Listing", number)} if label else {}
