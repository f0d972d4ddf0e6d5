"""Labels and what a reader sees in their place: \\ref{fig:a} -> "3", \\cref{fig:a,fig:b} -> "Figures 3 and 4"."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scicap_builder.latex.reader import GroupReader
from scicap_builder.latex.tokens import join

_NUMBER_ONLY = {
    "ref",
    "vref",
    "labelcref",
    "figref*",
    "ref*",
    "getrefnumber",
    "Ref",
    "fref*",
    "thref",
    "subref",
    "zref",
}
_NAMED = {
    "autoref",
    "cref",
    "Cref",
    "vref*",
    "cpagerefs",
    "zcref",
    "prettyref",
    "fref",
    "Fref",
    "Autoref",
    "namecref",
    "fullref",
    "vCref",
}
_RANGES = {"crefrange", "Crefrange", "vrefrange"}
_OTHERS = {"eqref", "nameref", "hyperref", "nameCref", "namecref"}
_ALL = _NUMBER_ONLY | _NAMED | _RANGES | _OTHERS
UNKNOWN = "??"
"""What LaTeX prints for a label that does not exist."""
_PLURALS = {"Appendix": "Appendices"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a label stands for."""

    name: str
    """ "Figure", "Table", "Section", …; empty when it has none."""
    number: str
    """As printed: "3", "2a", "S1"."""
    figure: int | None = None
    """Index of the numbered figure among all figures of the paper; None when it is something else."""
    panel: str = ""
    """ "a" for the label of a sub-figure."""


@dataclass(frozen=True, slots=True)
class References:
    """All labels of a paper."""

    targets: Mapping[str, Target] = field(default_factory=dict)

    def knows(self, name: str) -> bool:
        """Whether `name` (without backslash) is a standard reference command."""
        return name in _ALL

    def takes_two(self, name: str) -> bool:
        """Whether the command has two labels, the ends of a range."""
        return name in _RANGES

    def has(self, reader: GroupReader) -> bool:
        """Whether the group that follows names a label: then an unknown command ending in "ref" is a reference command."""
        return reader.peek() == "{" and self.find(join(reader.look_group())) is not None

    def find(self, key: str) -> Target | None:
        """The target of a label; `\\figref{a}` may leave out the prefix of `fig:a`."""
        key = key.strip()
        return self.targets.get(key) or self.targets.get(f"fig:{key}") or self.targets.get(f"Fig:{key}")

    def text(self, name: str, keys: list[str]) -> str:
        """What stands in the printed paper for \\name{keys}."""
        known = [target for target in map(self.find, keys) if target is not None]
        if not known or name == "nameref":
            return {"nameref": "", "eqref": f"({UNKNOWN})"}.get(name, UNKNOWN)
        if name == "subref" and known[0].panel:
            return f"({known[0].panel})"
        if name in _RANGES:
            return _named(known[:1], plural=True) + "–" + known[-1].number
        if name in _SPECIAL:
            return _SPECIAL[name](known)
        if name in _NUMBER_ONLY or name.lower().endswith(("tabref", "secref")):
            return _enumerate([target.number for target in known])
        return _named(known)


NO_REFERENCES = References()
"""Every label is unknown."""


def _named(targets: list[Target], *, plural: bool = False) -> str:
    """ "Figures 1 and 2 and Table 3": neighbours of one kind share their name."""
    groups: list[list[Target]] = []
    for target in targets:
        if groups and groups[-1][0].name == target.name:
            groups[-1].append(target)
        else:
            groups.append([target])
    parts = []
    for group in groups:
        name = group[0].name
        if name and (plural or len(group) > 1):
            name = _PLURALS.get(name, name + "s")
        numbers = _enumerate([f"({target.number})" if target.name == "Equation" else target.number for target in group])
        parts.append(f"{name} {numbers}".strip())
    return _enumerate(parts)


def _enumerate(items: list[str]) -> str:
    """ "1", "1 and 2", "1, 2 and 3"."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


_SPECIAL: dict[str, Callable[[list[Target]], str]] = {
    "namecref": lambda targets: targets[0].name,
    "nameCref": lambda targets: targets[0].name,
    "eqref": lambda targets: ", ".join(f"({target.number})" for target in targets),
}
