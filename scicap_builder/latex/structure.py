"""Expanded TeX -> floats with numbered captions, and what every label stands for. One pass, no I/O, nothing executed."""

import re
from dataclasses import replace

from scicap_builder.latex.counters import Counters
from scicap_builder.latex.equations import EQUATION_ENVIRONMENTS, begin_subequations, number_equations
from scicap_builder.latex.events import CAPTION_KINDS, EVENTS
from scicap_builder.latex.floats import (
    OTHER_FLOATS,
    PANELS,
    SUB_ENVIRONMENTS,
    Caption,
    Float,
    SubFigure,
    float_kind,
)
from scicap_builder.latex.lists import ItemLabels, listing_target
from scicap_builder.latex.references import Names, Target
from scicap_builder.latex.scopes import Scope, Structure
from scicap_builder.latex.settings import Setup
from scicap_builder.latex.subfigures import LABEL, grid_caption, parse_sub_command
from scicap_builder.latex.tokens import brace_pairs, group_at, option_at

MAX_SCOPES = 200
"""Environments within environments; beyond that they are not tracked."""


def find_structure(body: str, preamble: str = "") -> Structure:
    """Walk over `preamble` for its counters and over `body` for everything."""
    counters = Counters.of_class(preamble)
    theorems = {name: (name.capitalize(), name) for name in counters.dialect.theorems}
    setup = Setup(counters, Names.of_preamble(preamble), theorems)
    _Walk(preamble, setup).run()
    walk = _Walk(body, setup)
    walk.run()
    walk.found.names = setup.names
    return walk.found


class _Walk:
    def __init__(self, text: str, setup: Setup) -> None:
        self.text = text
        self.setup = setup
        self.counters = setup.counters
        self.pairs = brace_pairs(text)
        self.found = Structure()
        self.scopes = [Scope("", 0, None)]
        self.items = ItemLabels()

    def run(self) -> None:
        position = 0
        while match := EVENTS.search(self.text, position):
            position = max(match.end(), self._event(match))
        for found in self.found.floats:
            if found.end < 0:  # never closed: what follows it is not its own
                found.end = min(len(self.text), found.start + 1)

    def _event(self, match: re.Match[str]) -> int:
        """Deal with one event; returns where to go on (0: right behind it)."""
        if match["edge"]:
            return self._begin(match) if match["edge"] == "begin" else self._end(match)
        if match["caption"]:
            return self._caption(match)
        if match["sub"]:
            return self._sub_command(match)
        if match["gridfigure"] is not None:
            return self._grid_figure(match)
        if match["ownappendix"]:
            return self._own_appendix(match)
        if match["section"]:
            self._section(match)
        elif match["label"] is not None:
            self._label(match["label"].strip())
        elif match["step"]:
            self.scopes[-1].current = Target("", self.counters.step(match["stepped"]))
        elif not self.setup.apply(match, self.text, self.pairs):
            self._other(match)
        return 0

    def _other(self, match: re.Match[str]) -> None:
        holder = self._float()
        if match["verbatim"]:
            self.found.targets |= listing_target(match.group(), self.counters)
        elif match["other"] in ("appendix", "appendices"):
            self._appendix()
        elif match["other"] == "restartappendixnumbering":
            self.counters.restart_in_appendix()
        elif match["other"] == "item":
            self.scopes[-1].current = self.items.step() or self.scopes[-1].current
        elif match["other"] == "ContinuedFloat" and holder:
            holder.continued = True
        elif match["figurenum"] is not None and holder:
            holder.fixed_number = match["figurenum"].strip()
        elif match["floatconts"] is not None and holder:
            holder.add_label(match["floatconts"])

    def _own_appendix(self, match: re.Match[str]) -> int:
        """The paper's own definition of \\appendix: kept until it is called."""
        group = group_at(self.text, match.end(), self.pairs)
        self.setup.own_appendix += group[0] if group else ""
        return group[1] if group else 0

    def _appendix(self) -> None:
        self.counters.begin_appendix()
        if self.setup.own_appendix and not self.counters.dialect.appendix:
            own, self.setup.own_appendix = self.setup.own_appendix, ""
            _Walk(own, self.setup).run()
            self.setup.own_appendix = own
        self.scopes[-1].current = Target("Appendix", "A", counter=self.counters.top)

    def _float(self) -> Float | None:
        return next((scope.float for scope in reversed(self.scopes) if scope.float is not None), None)

    def _begin(self, match: re.Match[str]) -> int:
        environment = match["env"].strip()
        bare = environment.rstrip("*")
        if len(self.scopes) >= MAX_SCOPES:
            return 0
        if bare in EQUATION_ENVIRONMENTS:
            end, targets = number_equations(self.text, match.end(), environment, self.counters)
            self.found.targets |= targets
            return end
        scope = Scope(environment, match.start(), self.scopes[-1].current)
        kind = self._kind(bare, match.end())
        if kind and not (kind == "table" and self._float()):
            scope.float = Float(kind, environment, match.start())
            self.found.floats.append(scope.float)
            self.counters.set(f"sub{kind}", 0)
        elif bare in SUB_ENVIRONMENTS and self._float():
            scope.holds_sub = True
        elif bare in ("appendices", "appendix", "subappendices"):
            self._appendix()
            scope.current = self.scopes[-1].current
        elif bare == "subequations":
            scope.resume, scope.current = begin_subequations(self.counters)
        elif environment in self.setup.theorems:
            title, counter = self.setup.theorems[environment]
            scope.current = Target(title, self.counters.step(counter), counter=environment)
        self.items.begin(bare, option_at(self.text, match.end(), self.pairs))
        self.scopes.append(scope)
        return 0

    def _kind(self, environment: str, at: int) -> str:
        """The kind of float that an environment is; of kinds that the paper declares those named after figures are figures."""
        if environment == "wrapfloat":
            group = group_at(self.text, at, self.pairs)
            environment = group[0].strip() if group else ""
        return environment if environment in self.setup.floats else float_kind(environment)

    def _end(self, match: re.Match[str]) -> int:
        environment = match["env"].strip()
        self.items.end(environment.rstrip("*"))
        names = [scope.environment for scope in self.scopes]
        if environment not in names[1:]:
            return 0
        while len(self.scopes) > 1:
            scope = self.scopes.pop()
            self._close(scope, match.end())
            if scope.environment == environment:
                break
        return 0

    def _close(self, scope: Scope, end: int) -> None:
        if scope.float is not None and scope.float.end < 0:
            self._close_float(scope.float, end)
        if scope.sub is not None:
            scope.sub.end = end
        if scope.resume:
            self.counters.values["equation"], self.counters.formats["equation"] = scope.resume
        holder = self._float() or scope.float
        if holder is None:
            return
        for key in scope.waiting:
            holder.add_label(key)
        for caption in holder.captions:
            if caption.panel_start == scope.start:
                caption.panel_end = end

    @staticmethod
    def _close_float(found: Float, end: int) -> None:
        found.end = end
        if found.numbered:
            found.numbered[-1].subs += found.waiting_subs
            found.numbered[0].labels += found.waiting_labels

    def _caption(self, match: re.Match[str]) -> int:
        at, command = match.end(), match["caption"]
        kind = ""
        if command == "captionof":
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
        scope = next((scope for scope in reversed(self.scopes) if scope.holds_sub), None)
        if scope is not None and holder and command in ("caption", "captionof"):
            self._name_sub(scope, holder, group[0], numbered=not match["star"])
            return group[1]
        if not kind:
            return group[1]
        if holder is None:
            holder = Float(kind, command, match.start(), group[1])
            self.found.floats.append(holder)
        self._add_caption(holder, kind, group, match)
        return group[1]

    def _name_sub(self, scope: Scope, holder: Float, source: str, *, numbered: bool = True) -> None:
        """A caption of a sub-figure: the labels before it and in it are its own, and those that follow in its scope."""
        letter = self._next_letter(holder) if numbered else ""
        scope.sub = SubFigure(letter, LABEL.sub("", source), scope.waiting + LABEL.findall(source))
        scope.waiting = []
        if scope.float is None:
            scope.sub.start = scope.start
        holder.add_sub(scope.sub)

    def _next_letter(self, holder: Float) -> str:
        """Steps the counter of sub-figures; a float that continues another one counts on."""
        counter = f"sub{holder.kind}"
        if holder.continued and not holder.waiting_subs and not holder.captions:
            before = [found for found in self.found.floats[:-1] if found.kind == holder.kind]
            subs = [sub for found in before[-1:] for sub in found.subs]
            self.counters.set(counter, max(self.counters.values.get(counter, 0), len(subs)))
        return self.counters.step(counter) if counter in self.counters.formats else self.counters.step("subfigure")

    def _add_caption(self, holder: Float, kind: str, group: tuple[str, int], match: re.Match[str]) -> None:
        caption = Caption(kind, group[0], match.start(), group[1])
        caption.name = self.counters.names.get(kind) or OTHER_FLOATS.get(kind, kind.capitalize())
        if not match["star"]:
            continues = holder.continued and not holder.captions
            caption.number = holder.fixed_number or (
                self.counters.printed(kind) if continues else self.counters.step(kind)
            )
        if not (holder.continued and match["star"]):
            self.counters.set(f"sub{kind}", 0)
        panel = next(
            (s for s in reversed(self.scopes) if s.environment.rstrip("*") in PANELS and s.start > holder.start), None
        )
        if panel is not None:
            caption.panel_start = panel.start
        elif holder.environment == match["caption"] and len(self.scopes) > 1:
            caption.panel_start = self.scopes[-1].start
        caption.labels = LABEL.findall(group[0])
        if caption.number:
            caption.subs, holder.waiting_subs = holder.waiting_subs, []
        holder.captions.append(caption)

    def _sub_command(self, match: re.Match[str]) -> int:
        """\\subfigure[…]{…}, \\subfloat[…]{…}, \\subcaptionbox{…}{…}, \\subcaption{…}."""
        holder, command = self._float(), match["sub"]
        if holder is None:
            return 0
        parsed = parse_sub_command(command, self.text, match.end(), self.pairs)
        if command in ("subcaption", "phantomsubcaption"):
            scope = next((s for s in reversed(self.scopes) if s.holds_sub), self.scopes[-1])
            self._name_sub(scope, holder, parsed.source)
            return parsed.end
        silent = command == "subcaptionbox" and self.text[match.end() - 1] == "*"
        letter = "" if silent else self._next_letter(holder)
        holder.add_sub(SubFigure(letter, LABEL.sub("", parsed.source), parsed.labels, match.start(), parsed.end))
        return parsed.end

    def _grid_figure(self, match: re.Match[str]) -> int:
        """AASTeX's \\fig{file}{width}{(a) caption}: the letter is typed."""
        holder, group = self._float(), group_at(self.text, match.end(), self.pairs)
        if holder is None or group is None:
            return 0
        letter, source = grid_caption(group[0])
        holder.add_sub(SubFigure(letter, source, [], match.start(), group[1]))
        return group[1]

    def _section(self, match: re.Match[str]) -> None:
        self.found.sections.append(match.start())
        option = option_at(self.text, match.end(), self.pairs)
        group = group_at(self.text, option[1] if option else match.end(), self.pairs)
        title = group[0] if group else ""
        level = match["section"]
        if match["section_star"] or level in ("paragraph", "subparagraph"):
            before = self.scopes[-1].current
            self.scopes[-1].current = replace(before, title=title) if before else Target("", "", title=title)
            return
        name = self.counters.section_name(level)
        self.scopes[-1].current = Target(name, self.counters.step(level), title=title, counter=level)

    def _label(self, key: str) -> None:
        scope = next((scope for scope in reversed(self.scopes) if scope.sub or scope.holds_sub), None)
        holder = self._float() or self.found.just_closed_caption(self.scopes[-1].start)
        if scope is not None and holder:
            (scope.sub.labels if scope.sub else scope.waiting).append(key)
        elif holder:
            holder.add_label(key)
        elif self.scopes[-1].current is not None:
            self.found.targets[key] = self.scopes[-1].current
