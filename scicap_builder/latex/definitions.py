"""The table of a paper's macros and environments, filled from the token stream as definitions come."""

from scicap_builder.latex.macros import (
    STRUCTURAL,
    STRUCTURAL_ENVIRONMENTS,
    Environment,
    Macro,
    Parameter,
    def_parameters,
    document_parameters,
    formats_counter,
    is_name,
    make_macro,
    plain_parameters,
)
from scicap_builder.latex.stream import TokenStream
from scicap_builder.latex.symbols import is_known

_NEW = {r"\newcommand", r"\renewcommand", r"\providecommand", r"\DeclareRobustCommand", r"\newrobustcmd"}
_NEW |= {r"\renewrobustcmd", r"\DeclareTextFontCommand"}
_DEF = {r"\def", r"\gdef", r"\edef", r"\xdef"}
_DOCUMENT = {rf"\{verb}DocumentCommand" for verb in ("New", "Renew", "Provide", "Declare")}
_ENVIRONMENTS = {r"\newenvironment", r"\renewenvironment"}
_DOCUMENT_ENVIRONMENTS = {rf"\{verb}DocumentEnvironment" for verb in ("New", "Renew", "Provide", "Declare")}
DEFINERS = _NEW | _DEF | _DOCUMENT | _ENVIRONMENTS | _DOCUMENT_ENVIRONMENTS | {r"\let", r"\DeclareMathOperator"}


class Definitions:
    """What the paper has defined so far."""

    def __init__(self) -> None:
        self.macros: dict[str, Macro] = {}
        self.environments: dict[str, Environment] = {}

    def is_free(self, name: str) -> bool:
        """Whether nothing is known under `name`: neither a macro of the paper nor a command of ours."""
        return name not in self.macros and name not in STRUCTURAL and not is_known(name)

    def define(self, definer: str, stream: TokenStream, *, trusted: bool) -> list[str]:
        """Read one definition; returns the tokens that must stay in the text (counter formats).

        `trusted` is false inside packages: there only macros that are plain text count, for the rest is TeX's machinery.
        """
        if definer in _ENVIRONMENTS | _DOCUMENT_ENVIRONMENTS:
            self._environment(stream, document=definer in _DOCUMENT_ENVIRONMENTS, trusted=trusted)
            return []
        name = self._name(stream)
        if not name:
            return []
        if definer == r"\let":
            self._let(name, stream, trusted=trusted)
            return []
        macro = self._macro(definer, stream)
        if name == r"\appendix":
            return [r"\appendixsetup", "{", *macro.body, "}"]
        if formats_counter(name, macro):
            if name.endswith("name"):
                self.macros[name] = macro
            return [r"\renewcommand", "{", name, "}", "{", *macro.body, "}"]
        self._store(name, macro, trusted=trusted, provide=definer == r"\providecommand")
        return []

    def _store(self, name: str, macro: Macro, *, trusted: bool, provide: bool = False) -> None:
        if name in STRUCTURAL or (provide and not self.is_free(name)):
            return
        if macro.internal and (not trusted or is_known(name) or "@" in name):
            return
        if not trusted and ("@" in name or is_known(name)):
            return
        self.macros[name] = macro

    @staticmethod
    def _name(stream: TokenStream) -> str:
        star = stream.ahead(1)
        if star and star[0].startswith("*"):
            stream.pop()
            if star[0] != "*":
                stream.push([star[0][1:]])
        name = "".join(stream.argument()).strip()
        return name if is_name(name) else ""

    @staticmethod
    def _macro(definer: str, stream: TokenStream) -> Macro:
        prefix: tuple[str, ...] = ()
        parameters: list[Parameter] = []
        if definer in _DEF:
            before: list[str] = []
            while stream and stream.ahead(1)[0] not in ("{", "}") and len(before) < 50:
                before.append(stream.pop())
            prefix, parameters = def_parameters(before)
        elif definer in _DOCUMENT:
            parameters = document_parameters(stream.argument())
        elif definer in _NEW:
            parameters = _bracket_parameters(stream)
        body = stream.argument()
        if definer == r"\DeclareMathOperator":
            body = [r"\operatorname", "{", *body, "}"]
        return make_macro(parameters, body, prefix)

    def _let(self, name: str, stream: TokenStream, *, trusted: bool) -> None:
        stream.skip_blanks()
        if stream.ahead(1) == ["="]:
            stream.pop()
            stream.skip_blanks()
        if not stream or stream.ahead(1)[0][0] == "\0":
            return
        target = stream.pop()
        if target[0] != "\\":
            return
        macro = self.macros.get(target)
        if macro is None and name != target and not self.is_free(target):
            macro = make_macro([], [target], final=True)
        if macro is not None:
            self._store(name, macro, trusted=trusted)

    def _environment(self, stream: TokenStream, *, document: bool, trusted: bool) -> None:
        if stream.ahead(1) == ["*"]:
            stream.pop()
        name = stream.name_argument()
        parameters = document_parameters(stream.argument()) if document else _bracket_parameters(stream)
        begin, end = make_macro(parameters, stream.argument()), make_macro([], stream.argument())
        internal = begin.internal or end.internal
        if name and name not in STRUCTURAL_ENVIRONMENTS and trusted and not internal:
            self.environments[name] = Environment(begin, end.body)


def _bracket_parameters(stream: TokenStream) -> list[Parameter]:
    """`[2][default]` after \\newcommand and \\newenvironment."""
    count = "".join(stream.option() or []).strip()
    default = stream.option() if count else None
    return plain_parameters(int(count) if count.isdecimal() else 0, default)
