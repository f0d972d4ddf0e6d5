"""Numbers of displayed equations, so that "Equation (3)" can be printed where a paper says \\eqref."""

import re

from scicap_builder.latex.counters import Counters
from scicap_builder.latex.references import Target

EQUATION_ENVIRONMENTS = frozenset(
    [
        "equation",
        "align",
        "gather",
        "eqnarray",
        "multline",
        "flalign",
        "alignat",
        "dmath",
        "IEEEeqnarray",
        "math",
        "displaymath",
        "empheq",
    ]
)
_ONE_NUMBER = frozenset(["equation", "multline", "dmath"])
_EMPHEQ = re.compile(r"\s*(?:\[[^\]]*\])?\s*\{([a-z]+\*?)(?:=\d+)?\}")
MAX_DISPLAY_CHARS = 50_000
"""A display longer than this has lost its end."""
_LABEL = re.compile(r"\\label\s*\{([^{}]*)\}")
_INNER = re.compile(
    r"\\begin\s*\{(array|[a-z]*matrix\*?|cases|split|aligned|gathered|alignedat)\}.*?\\end\s*\{\1\}", re.DOTALL
)


def number_equations(text: str, start: int, environment: str, counters: Counters) -> tuple[int, dict[str, Target]]:
    """Number the rows of the display whose content starts at `start`: (where it ends, its labels)."""
    end = text.find(rf"\end{{{environment}}}", start, start + MAX_DISPLAY_CHARS)
    if end < 0:
        return start, {}
    body = text[start:end]
    targets: dict[str, Target] = {}
    inner = _EMPHEQ.match(body) if environment == "empheq" else None
    environment_inside = inner[1] if inner else environment
    starred = environment_inside.endswith("*") or environment in ("math", "displaymath")
    bare = environment_inside.rstrip("*")
    rows = [body] if bare in _ONE_NUMBER else re.split(r"\\\\", _INNER.sub(_only_labels, body))
    waiting: list[str] = []
    for row in rows:
        tag = re.search(r"\\tag\*?\s*\{([^{}]*)\}", row)
        silent = starred or r"\nonumber" in row or r"\notag" in row
        waiting += _LABEL.findall(row)  # a row without number hands its label on, as eqnarray does
        if not row.strip() or (silent and not tag):
            continue
        number = re.sub(r"[$\\{}]", "", tag[1]) if tag else counters.step("equation")
        targets |= {key.strip(): Target("Equation", number) for key in waiting}
        waiting = []
    return end + len(rf"\end{{{environment}}}"), targets


def _only_labels(match: re.Match[str]) -> str:
    """A nested block has rows of its own; in the display it is one symbol, with its labels."""
    return "x " + " ".join(rf"\label{{{key}}}" for key in _LABEL.findall(match.group()))


def begin_subequations(counters: Counters) -> tuple[tuple[int, str], Target]:
    """Equations 4a, 4b within equation 4: (counter and format to come back to, what a label stands for)."""
    number = counters.step("equation")
    resume = (counters.values["equation"], counters.formats.get("equation", r"\arabic{equation}"))
    counters.set("equation", 0)
    counters.formats["equation"] = number + r"\alph{equation}"
    return resume, Target("Equation", number, counter="equation")
