"""What a paper sets up for its counters and names: \\setcounter, \\numberwithin, \\thefigure, \\newtheorem, \\crefname …"""

import re
from dataclasses import dataclass, field

from scicap_builder.latex.counters import Counters
from scicap_builder.latex.references import Names
from scicap_builder.latex.tokens import group_at, option_at

_NAME_TEX = re.compile(r"\\[A-Za-z]+\s*|[{}~]")


@dataclass
class Setup:
    """The settings as they stand at one place of the text."""

    counters: Counters
    names: Names = field(default_factory=Names)
    theorems: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Environment -> (its title, the counter it steps)."""
    floats: dict[str, str] = field(default_factory=dict)
    """Kinds of float that the paper declares -> what they are called."""
    own_appendix: str = ""
    """What the paper's (or its class's) own \\appendix does to counters, as TeX."""

    def apply(self, match: re.Match[str], text: str, pairs: dict[int, int]) -> bool:
        """Carry out one event that is a setting; False when it is none."""
        if match["count"]:
            self._count(match)
        elif match["within"]:
            self._within(match)
        elif match["format"]:
            self._format(match["format"], group_at(text, match.end(), pairs))
        elif match["theorem"] is not None:
            self._new_theorem(match, text, pairs)
        elif match["cref"]:
            self.names.define(
                match["creftype"].strip(), _name(match["one"]), _name(match["many"]), command=match["cref"]
            )
        elif match["newfloat"] or match["renamed"]:
            self._declare_float(match)
        else:
            return False
        return True

    def _count(self, match: re.Match[str]) -> None:
        name, value = match["counter"], int(match["value"])
        before = self.counters.values.get(name, 0) if match["count"] == "addtocounter" else 0
        self.counters.set(name, value + before)

    def _within(self, match: re.Match[str]) -> None:
        if match["within"] == "counterwithout":
            self.counters.parents.pop(match["child"], None)
            self.counters.formats.pop(match["child"], None)
            return
        keep = bool(match["within_star"]) or match["within"] == "@addtoreset"
        self.counters.within(match["child"], match["parent"], keep_format=keep)

    def _format(self, name: str, group: tuple[str, int] | None) -> None:
        if group is None:
            return
        if name.endswith("autorefname"):
            self.names.autoref[name[: -len("autorefname")]] = _name(group[0])
        elif name.endswith("name"):
            self.counters.names[name[:-4]] = _name(group[0]).strip(" :")
        else:
            self.counters.formats[name[3:]] = group[0]

    def _new_theorem(self, match: re.Match[str], text: str, pairs: dict[int, int]) -> None:
        """\\newtheorem{lemma}[theorem]{Lemma} and \\newtheorem{lemma}{Lemma}[section]."""
        group = group_at(text, match.end() - 1, pairs)
        if group is None or match["theorem"]:
            return
        shared = option_at(text, group[1], pairs)
        title = group_at(text, shared[1] if shared else group[1], pairs)
        if title is None:
            return
        counter = shared[0].strip() if shared else group[0]
        self.theorems[group[0]] = (_name(title[0]).strip(), self.theorems.get(counter, ("", counter))[1])
        parent = option_at(text, title[1], pairs)
        if parent and not shared:
            self.counters.within(group[0], parent[0].strip())

    def _declare_float(self, match: re.Match[str]) -> None:
        """\\newfloat (float), \\floatname and \\DeclareFloatingEnvironment (newfloat)."""
        kind = (match["renamed"] or match["floattype"]).strip()
        named = re.search(r"\bname\s*=\s*\{?([^,{}]+)", match["floatoptions"] or "")
        self.floats[kind] = _name(match["floatname"] or (named[1] if named else kind.capitalize())).strip()
        self.counters.names[kind] = self.floats[kind]


def _name(source: str) -> str:
    """A name such as \\figurename has it, without commands."""
    return re.sub(r"\s+", " ", _NAME_TEX.sub(" ", source))
