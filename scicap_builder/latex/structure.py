"""Expanded TeX -> floats with numbered captions, and what every label stands for. One pass, no I/O, nothing executed."""

import re
from dataclasses import dataclass, field

from scicap_builder.latex.counters import Counters, as_style
from scicap_builder.latex.equations import EQUATION_ENVIRONMENTS, number_equations
from scicap_builder.latex.events import CAPTION_KINDS, EVENTS
from scicap_builder.latex.floats import OTHER_FLOATS, PANELS, SUB_ENVIRONMENTS, Caption, Float, float_kind
from scicap_builder.latex.references import Target
from scicap_builder.latex.tokens import brace_pairs, group_at, option_at

MAX_SCOPES = 200
"""Environments within environments; beyond that they are not tracked."""


@dataclass
class Structure:
    """What the walk found."""

    floats: list[Float] = field(default_factory=list)
    targets: dict[str, Target] = field(default_factory=dict)
    """Labels other than those of figures and panels, which the reader adds when figures have their places."""
    sections: list[int] = field(default_factory=list)


@dataclass
class _Scope:
    environment: str
    start: int
    current: Target | None
    float: Float | None = None
    panel: str = ""
    """Letter of the sub-figure, when this is one."""
    item: int = 0


def find_structure(body: str, preamble: str = "") -> Structure:
    """Walk over `preamble` for its counters and over `body` for everything."""
    counters = Counters.of_class(preamble)
    setup = _Walk(preamble, counters)
    setup.run()
    walk = _Walk(body, counters)
    walk.theorems = setup.theorems
    walk.run()
    return walk.found


class _Walk:
    def __init__(self, text: str, counters: Counters) -> None:
        self.text = text
        self.counters = counters
        self.pairs = brace_pairs(text)
        self.found = Structure()
        self.scopes = [_Scope("", 0, None)]
        self.theorems: dict[str, str] = {}

    def run(self) -> None:
        position = 0
        while match := EVENTS.search(self.text, position):
            position = max(match.end(), self._event(match))
        for open_scope in self.scopes:
            if open_scope.float is not None and open_scope.float.end < 0:
                open_scope.float.end = min(len(self.text), open_scope.float.start + 1)

    def _event(self, match: re.Match[str]) -> int:
        """Deal with one event; returns where to go on (0: right behind it)."""
        if match["edge"]:
            return self._begin(match) if match["edge"] == "begin" else self._end(match)
        if match["caption"]:
            return self._caption(match)
        if match["sub"]:
            return self._sub_command(match)
        if match["section"]:
            self._section(match)
        elif match["label"] is not None:
            self._label(match["label"].strip())
        elif match["count"]:
            name, value = match["counter"], int(match["value"])
            self.counters.set(
                name, value + (self.counters.values.get(name, 0) if match["count"] == "addtocounter" else 0)
            )
        elif match["step"]:
            self.scopes[-1].current = Target("", self.counters.step(match["stepped"]))
        else:
            self._setting(match)
        return 0

    def _setting(self, match: re.Match[str]) -> None:
        if match["within"] == "counterwithout":
            self.counters.parents.pop(match["child"], None)
            self.counters.formats.pop(match["child"], None)
        elif match["within"]:
            keep = bool(match["within_star"]) or match["within"] == "@addtoreset"
            self.counters.within(match["child"], match["parent"], keep_format=keep)
        elif match["format"]:
            group = group_at(self.text, match.end(), self.pairs)
            if group and match["format"].endswith("name"):
                self.counters.names[match["format"][:-4]] = re.sub(r"\\[A-Za-z]+\s*|[{}~]", " ", group[0]).strip(" :")
            elif group:
                self.counters.formats[match["format"][3:]] = group[0]
        elif match["theorem"] is not None:
            self._new_theorem(match)
        elif match["other"] in ("appendix", "appendices"):
            self.counters.begin_appendix()
        elif match["other"] == "ContinuedFloat":
            holder = self._float()
            if holder:
                holder.continued = True
        elif match["other"] == "item":
            self._item()

    def _item(self) -> None:
        scope = self.scopes[-1]
        if scope.environment.startswith("enumerate"):
            scope.item += 1
            scope.current = Target("", str(scope.item))

    def _float(self) -> Float | None:
        return next((scope.float for scope in reversed(self.scopes) if scope.float is not None), None)

    def _begin(self, match: re.Match[str]) -> int:
        environment = match["env"].strip()
        bare = environment.rstrip("*")
        if bare in EQUATION_ENVIRONMENTS:
            end, targets = number_equations(self.text, match.end(), environment, self.counters)
            self.found.targets |= targets
            return end
        scope = _Scope(environment, match.start(), self.scopes[-1].current)
        kind = float_kind(environment)
        if bare == "wrapfloat":
            group = group_at(self.text, match.end(), self.pairs)
            kind = float_kind(group[0]) if group else ""
        if kind and not (kind == "table" and self._float()):
            scope.float = Float(kind, environment, match.start())
            self.found.floats.append(scope.float)
        holder = self._float()
        if bare in SUB_ENVIRONMENTS and holder:
            scope.panel = self._new_panel(holder)
        if environment in self.theorems:
            scope.current = Target(self.theorems[environment], self.counters.step(environment))
        if len(self.scopes) < MAX_SCOPES:
            self.scopes.append(scope)
        return 0

    def _end(self, match: re.Match[str]) -> int:
        environment = match["env"].strip()
        names = [scope.environment for scope in self.scopes]
        if environment not in names[1:]:
            return 0
        while len(self.scopes) > 1:
            scope = self.scopes.pop()
            if scope.float is not None and scope.float.end < 0:
                self._close_float(scope.float, match.end())
            holder = self._float() or scope.float
            for caption in holder.captions if holder else ():
                if caption.panel_start == scope.start:
                    caption.panel_end = match.end()
            if scope.environment == environment:
                break
        return 0

    def _close_float(self, found: Float, end: int) -> None:
        found.end = end
        captions = [caption for caption in found.captions if caption.number]
        if captions:
            captions[-1].panel_labels += found.waiting_panels
            captions[0].labels += found.waiting_labels

    def _new_panel(self, holder: Float) -> str:
        holder.panels += 1
        return as_style(holder.panels, "alph")

    def _caption(self, match: re.Match[str]) -> int:
        at, command = match.end(), match["caption"]
        kind = ""
        if command in ("captionof",):
            group = group_at(self.text, at, self.pairs)
            if group is None:
                return 0
            kind, at = group[0].strip(), group[1]
        option = option_at(self.text, at, self.pairs)
        group = group_at(self.text, option[1] if option else at, self.pairs)
        if group is None:
            return 0
        holder = self._float()
        kind = kind or CAPTION_KINDS.get(command, "") or (holder.kind if holder else "")
        if any(scope.panel for scope in self.scopes) and command == "caption":
            self._panel_labels(group[0], next(scope.panel for scope in reversed(self.scopes) if scope.panel))
            return group[1]
        if not kind:
            return group[1]
        if holder is None:
            holder = Float(kind, command, match.start(), group[1])
            self.found.floats.append(holder)
        self._add_caption(holder, kind, group, match)
        return group[1]

    def _add_caption(self, holder: Float, kind: str, group: tuple[str, int], match: re.Match[str]) -> None:
        caption = Caption(kind, group[0], match.start(), group[1])
        caption.name = self.counters.names.get(kind) or OTHER_FLOATS.get(kind, kind.capitalize())
        if not match["star"]:
            continues = holder.continued and not holder.captions
            caption.number = self.counters.printed(kind) if continues else self.counters.step(kind)
        panel = next(
            (s for s in reversed(self.scopes) if s.environment.rstrip("*") in PANELS and s.start > holder.start), None
        )
        if panel is not None:
            caption.panel_start = panel.start
        elif holder.environment == match["caption"] and len(self.scopes) > 1:
            caption.panel_start = self.scopes[-1].start
        caption.labels = re.findall(r"\\label\s*\{([^{}]*)\}", group[0])
        caption.panel_labels, holder.waiting_panels = (
            (holder.waiting_panels, []) if caption.number else ([], holder.waiting_panels)
        )
        holder.captions.append(caption)

    def _sub_command(self, match: re.Match[str]) -> int:
        """\\subfigure[…]{…}, \\subfloat[…]{…}, \\subcaptionbox{…}{…}, \\subcaption{…}: their labels are panels."""
        holder = self._float()
        if holder is None:
            return 0
        letter = next((scope.panel for scope in reversed(self.scopes) if scope.panel), "") or self._new_panel(holder)
        at, labelled = match.end(), ""
        while option := option_at(self.text, at, self.pairs):
            labelled, at = labelled + option[0], option[1]
        for _ in range(2 if match["sub"] == "subcaptionbox" else 1):
            group = group_at(self.text, at, self.pairs)
            if group is None:
                break
            labelled, at = labelled + group[0], group[1]
        self._panel_labels(labelled, letter)
        return at

    def _panel_labels(self, text: str, letter: str) -> None:
        for key in re.findall(r"\\label\s*\{([^{}]*)\}", text):
            self._panel_label(key.strip(), letter)

    def _panel_label(self, key: str, letter: str) -> None:
        holder = self._float()
        if holder is not None:
            captions = [caption for caption in holder.captions if caption.number]
            (captions[-1].panel_labels if captions else holder.waiting_panels).append((key, letter))

    def _section(self, match: re.Match[str]) -> None:
        self.found.sections.append(match.start())
        if not match["section_star"] and match["section"] not in ("paragraph", "subparagraph"):
            number = self.counters.step(match["section"])
            name = "Appendix" if self.counters.formats.get(match["section"], "").startswith(r"\Alph") else "Section"
            self.scopes[-1].current = Target("Chapter" if match["section"] == "chapter" else name, number)

    def _label(self, key: str) -> None:
        letter = next((scope.panel for scope in reversed(self.scopes) if scope.panel), "")
        holder = self._float() or self._just_closed_caption()
        if letter and holder:
            self._panel_label(key, letter)
        elif holder:
            captions = [caption for caption in holder.captions if caption.number]
            (captions[-1].labels if captions else holder.waiting_labels).append(key)
        elif self.scopes[-1].current is not None:
            self.found.targets[key] = self.scopes[-1].current

    def _just_closed_caption(self) -> Float | None:
        """The \\captionof outside of any float that stands last in this environment: the label belongs to it."""
        last = self.found.floats[-1] if self.found.floats else None
        if (
            last is None
            or last.environment not in ("captionof", "figcaption", "tabcaption", "caption")
            or not last.captions
        ):
            return None
        scope = self.scopes[-1].start
        newer_section = bool(self.found.sections) and self.found.sections[-1] > last.end
        return last if last.start >= scope and not newer_section else None

    def _new_theorem(self, match: re.Match[str]) -> None:
        group = group_at(self.text, match.end() - 1, self.pairs)
        if group is None:
            return
        shared = option_at(self.text, group[1], self.pairs)
        title = group_at(self.text, shared[1] if shared else group[1], self.pairs)
        if title and not match["theorem"]:
            self.theorems[group[0]] = title[0]
            parent = option_at(self.text, title[1], self.pairs)
            if parent:
                self.counters.within(group[0], parent[0].strip())
