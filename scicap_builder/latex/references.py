"""Labels and what a reader sees in their place: \\ref{fig:a} -> "3", \\cref{fig:a,fig:b} -> "Figures 3 and 4"."""

import re
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
_CLEVER = {"cref", "Cref", "zcref", "vCref"}
_NAMED = {"autoref", "vref*", "cpagerefs", "prettyref", "fref", "Fref", "Autoref", "fullref"} | _CLEVER
_RANGES = {"crefrange", "Crefrange", "vrefrange"}
_OTHERS = {"namecref", "nameCref", "eqref", "nameref", "hyperref"}
_ALL = _NUMBER_ONLY | _NAMED | _RANGES | _OTHERS
UNKNOWN = "??"
"""What LaTeX prints for a label that does not exist."""
_PLURALS = {"Appendix": "Appendices", "appendix": "appendices"}
_ABBREVIATED = {"Figure": "Fig.", "Equation": "Eq."}
_SUBCAPTION = re.compile(r"\\usepackage\s*(?:\[[^\]]*\])?\s*\{[^}]*subcaption[^}]*\}")
_LEVELS = ("subsection", "subsubsection", "paragraph")
_CLEVEREF = re.compile(r"\\usepackage\s*\[([^\]]*)\]\s*\{[^}]*cleveref[^}]*\}|\\usepackage\s*\{[^}]*(cleveref)[^}]*\}")


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
    title: str = ""
    """What \\nameref prints, as TeX."""
    counter: str = ""
    """The counter that gave the number: "subsection", "theorem"; empty for floats."""


@dataclass
class Names:
    """How \\cref and \\autoref call things: cleveref's options, \\crefname, \\figureautorefname."""

    clever: bool = False
    """Whether cleveref is loaded, as far as the preamble tells; else every name is written out with a capital."""
    capitals: bool = True
    abbreviated: bool = False
    crefs: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """(command, type) -> (singular, plural)"""
    autoref: dict[str, str] = field(default_factory=dict)
    bare_subref: bool = False
    """Whether \\subref prints "a" (subcaption) and not "(a)" (subfig)."""

    @classmethod
    def of_preamble(cls, preamble: str) -> "Names":
        """cleveref's options; a class that loads it out of sight is taken to write names out."""
        match = _CLEVEREF.search(preamble)
        bare = bool(_SUBCAPTION.search(preamble)) and "subrefformat" not in preamble
        if match is None:
            return cls(bare_subref=bare)
        options = match[1] or ""
        capitals = bool(re.search(r"\bcapitali[sz]e\b|\bnameinlink,?capital", options))
        return cls(clever=True, capitals=capitals, abbreviated="noabbrev" not in options, bare_subref=bare)

    def define(self, kind: str, one: str, many: str, *, command: str) -> None:
        """\\crefname{figure}{Fig.}{Figs.}"""
        self.crefs[(command[:4], kind)] = (one.strip(), many.strip())

    def cref(self, command: str, target: Target, *, plural: bool) -> str:
        """The name of one or several targets of a kind as \\cref or \\Cref writes it."""
        capital = command.startswith(("C", "vC", "nameC"))
        kind = target.counter if target.counter and target.name not in ("Section", "Appendix") else target.name.lower()
        own = self.crefs.get(("Cref" if capital else "cref", kind))
        if own is None and (other := self.crefs.get(("cref" if capital else "Cref", kind))):
            first = str.upper if capital else str.lower
            own = (first(other[0][:1]) + other[0][1:], first(other[1][:1]) + other[1][1:])
        if own is not None:
            return own[1] if plural else own[0]
        name = target.name
        if not name or not self.clever:
            return _plural(name) if plural else name
        if self.abbreviated and not capital and name in _ABBREVIATED:
            name = _ABBREVIATED[name][:-1] + ("s." if plural else ".")
        elif plural:
            name = _plural(name)
        return name if capital or self.capitals else name[:1].lower() + name[1:]

    def auto(self, target: Target) -> str:
        """The name that \\autoref writes: hyperref has sections in small letters."""
        kind = target.counter or target.name.lower()
        if kind in self.autoref:
            return self.autoref[kind].strip()
        if target.name in ("Section", "Chapter"):
            return target.counter if target.counter in _LEVELS else target.name.lower()
        return target.name


@dataclass(frozen=True, slots=True)
class References:
    """All labels of a paper."""

    targets: Mapping[str, Target] = field(default_factory=dict)
    names: Names = field(default_factory=Names)

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
        """The target of a label; `\\figref{a}` may leave out the prefix of `fig:a`, subcaption's `sub@` is the label itself."""
        key = key.strip().strip("{}").removeprefix("sub@")
        return self.targets.get(key) or self.targets.get(f"fig:{key}") or self.targets.get(f"Fig:{key}")

    def text(self, name: str, keys: list[str]) -> str:
        """What stands in the printed paper for \\name{keys}."""
        known = [target for target in map(self.find, keys) if target is not None]
        if not known:
            return {"nameref": "", "eqref": f"({UNKNOWN})"}.get(name, UNKNOWN)
        if name == "subref" and self.names.bare_subref:
            return known[0].panel
        if name in _SPECIAL:
            return _SPECIAL[name](known)
        if name in _RANGES:
            return f"{self._name(name, known[0], plural=True)} {known[0].number} to {known[-1].number}".strip()
        if name in _NUMBER_ONLY or name.lower().endswith(("tabref", "secref")):
            return _enumerate([target.number for target in known])
        return self._named(name, known)

    def _name(self, command: str, target: Target, *, plural: bool) -> str:
        if command in _CLEVER | _RANGES:
            return self.names.cref(command, target, plural=plural)
        name = self.names.auto(target) if command.lower() == "autoref" else target.name
        return _plural(name) if plural and name else name

    def _named(self, command: str, targets: list[Target]) -> str:
        """ "Figures 1 and 2 and Table 3": targets of one kind share their name; cleveref shortens runs to ranges."""
        groups: dict[str, list[Target]] = {}
        for target in targets:
            groups.setdefault(target.name, []).append(target)
        parts = []
        for group in groups.values():
            numbers = [f"({target.number})" if target.name == "Equation" else target.number for target in group]
            listed = _runs(numbers) if command in _CLEVER else numbers
            parts.append(f"{self._name(command, group[0], plural=len(group) > 1)} {_enumerate(listed)}".strip())
        return _enumerate(parts)


NO_REFERENCES = References()
"""Every label is unknown."""


def _plural(name: str) -> str:
    return _PLURALS.get(name, name + "s") if name else name


def _runs(numbers: list[str]) -> list[str]:
    """Three or more numbers that follow each other become a range, as cleveref sorts and shortens them."""
    runs: list[list[str]] = []
    for number in sorted(dict.fromkeys(numbers), key=_by_number):
        if runs and _follows(runs[-1][-1], number):
            runs[-1].append(number)
        else:
            runs.append([number])
    return [item for run in runs for item in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else run)]


def _by_number(number: str) -> tuple[str, int, str]:
    parts = re.match(r"\(?(.*?)(\d{1,9})([A-Za-z]?)\)?$", number)
    return (parts[1], int(parts[2]), parts[3]) if parts else (number, 0, "")


def _follows(one: str, other: str) -> bool:
    a, b = _by_number(one), _by_number(other)
    if a[2] or b[2]:
        return a[:2] == b[:2] and len(a[2]) == len(b[2]) == 1 and ord(b[2]) == ord(a[2]) + 1
    return a[0] == b[0] and b[1] == a[1] + 1


def _enumerate(items: list[str]) -> str:
    """ "1", "1 and 2", "1, 2 and 3"."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


_SPECIAL: dict[str, Callable[[list[Target]], str]] = {
    "namecref": lambda targets: targets[0].name.lower(),
    "nameCref": lambda targets: targets[0].name,
    "eqref": lambda targets: ", ".join(f"({target.number})" for target in targets),
    "nameref": lambda targets: targets[0].title,
    "subref": lambda targets: f"({targets[0].panel})" if targets[0].panel else targets[0].number,
}
