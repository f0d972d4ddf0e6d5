"""Expanded TeX -> the source of the paper's title and of its abstract, in the many ways that classes have them."""

import re

from scicap_builder.latex.tokens import brace_pairs, group_at, option_at

_TITLES = re.compile(
    r"\\(?:title|Title|TITLE|icmltitle|papertitle|maintitle|jmlrtitle|ArticleTitle|chaptertitle)(?![A-Za-z@])"
)
_LARGE = re.compile(r"\{\s*\\(?:Large|LARGE|huge|Huge)\b|\\begin\{(?:Large|LARGE|huge|Huge)\}")
_ABSTRACT_ENVIRONMENT = re.compile(
    r"\\begin\s*\{([Aa]bstract\*?|onecolabstract|sciabstract|ABSTRACT)\}(.*?)\\end\s*\{\1\}", re.DOTALL
)
_ABSTRACT_COMMAND = re.compile(
    r"\\(?:abstract|Abstract|abst|ABSTRACT|abstracts|plainabstract|summary)(?![A-Za-z@])\s*(?=\{)"
)
_ABSTRACT_SECTION = re.compile(
    r"\\(?:section|subsection|paragraph|chapter)\*?\s*\{\s*(?:\\[a-z]+\s*)*\{?\s*(?:Abstract|ABSTRACT|Summary)\s*\}?[.:]?\s*\}"
    r"(.*?)(?=\\(?:section|subsection|chapter|paragraph|tableofcontents|begin\s*\{(?:keywords?|IEEEkeywords)\})|\Z)",
    re.DOTALL,
)
_ABSTRACT_HEAD = re.compile(
    r"\{?\\(?:bf|bfseries|large|textbf|centerline|noindent|begin\{center\})[^\n]{0,30}?(?:Abstract|ABSTRACT)\b[^\n]{0,20}\n"
    r"(.*?)\n[ \t]*\n",
    re.DOTALL,
)
_THANKS = re.compile(r"\\(?:thanks|footnote|tnoteref|fnref|corref|inst)\s*(?:\[[^\]]*\])?\s*\{")
FRONT_CHARS = 20_000
"""How far the front matter reaches at most: long author lists."""
ABSTRACT_CHARS = 60_000
"""How far from the start an abstract ends at the latest."""
TITLE_CHARS = 2000
"""Where a title that stands outside \\title is looked for."""


def title_source(preamble: str, body: str) -> str:
    """What stands in \\title, or the first thing set in a large type; empty when there is none."""
    large = _large_title(body)
    if large and r"\maketitle" not in body:
        return large
    for text in (body[: 4 * FRONT_CHARS], preamble):
        pairs = brace_pairs(text)
        for match in reversed(list(_TITLES.finditer(text))):
            option = option_at(text, match.end(), pairs)
            group = group_at(text, option[1] if option else match.end(), pairs)
            if group and group[0].strip():
                return group[0]
    return large


def _large_title(body: str) -> str:
    """The first thing set in a large type at the head of the body."""
    front = body[:TITLE_CHARS]
    match = _LARGE.search(front)
    group = group_at(front, match.start(), brace_pairs(front)) if match else None
    return group[0] if group and r"\section" not in front[: match.start() if match else 0] else ""


def abstract_source(preamble: str, body: str) -> str:
    """The abstract: its environment, its command, or the section of that name; empty when there is none."""
    for text in (body[:ABSTRACT_CHARS], preamble[:ABSTRACT_CHARS]):
        match = _ABSTRACT_ENVIRONMENT.search(text)
        if match and match[2].strip():
            return match[2]
        pairs = brace_pairs(text)
        for command in _ABSTRACT_COMMAND.finditer(text):
            group = group_at(text, command.end(), pairs)
            if group and len(group[0]) > 80:
                return group[0]
    headed = _ABSTRACT_SECTION.search(body[:ABSTRACT_CHARS]) or _ABSTRACT_HEAD.search(body[:FRONT_CHARS])
    return headed[1] if headed else ""
