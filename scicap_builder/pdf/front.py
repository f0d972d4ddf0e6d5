"""Title and abstract from the first pages of a paper. Pure functions."""

import re
from collections.abc import Sequence

from scicap_builder.pdf.captions import join_lines
from scicap_builder.pdf.layout import Style
from scicap_builder.pdf.lines import Line
from scicap_builder.pdf.paragraphs import Paragraph

ABSTRACT = re.compile(r"^\s*(?:Abstract|ABSTRACT|A\s?B\s?S\s?T\s?R\s?A\s?C\s?T|Summary|SUMMARY)\b\s*[:.—–\-|]*\s*")
AFTER_ABSTRACT = re.compile(
    r"^\s*(?:(?:\d+|I)[.:]?\s+)?(?:Introduction|INTRODUCTION|I\s?NTRODUCTION|Background$|Key\s?words?|KEY\s?WORDS|Index Terms|CCS Concepts|Contents|"
    r"Subject headings|Citation:|Correspond|\*\s?Correspond|PACS)"
)
MAX_ABSTRACT = 4000
"""Characters; the longest abstracts of medical journals stay below."""
LINE_REACH = 1.9
"""em between two baselines of one title."""


def read_title(lines: Sequence[Line], style: Style) -> str:
    """The largest text of the upper half of the first page (`lines`) that reads like words."""
    if not lines:
        return ""
    bottom = max(line.box[3] for line in lines)
    upper = [line for line in lines if line.box[1] < 0.6 * bottom and _wordy(line.text) and line.size > style.size + 1]
    if not upper:
        return ""
    size = max(line.size for line in upper if len(line.words) >= 2 or len(upper) == 1) if any(
        len(line.words) >= 2 for line in upper
    ) else max(line.size for line in upper)
    parts = [line for line in upper if abs(line.size - size) < 0.6]
    title = [parts[0]]
    for line in parts[1:]:
        if line.baseline - title[-1].baseline < LINE_REACH * size:
            title.append(line)
    return join_lines([line.text for line in title])


def _wordy(text: str) -> bool:
    return sum(letter.isalpha() for letter in text) >= 0.6 * len(text) and len(text) > 5


def read_abstract(paragraphs: Sequence[Paragraph]) -> str:
    """The text after the word "Abstract" on the first two pages, up to keywords or the introduction."""
    for place, paragraph in enumerate(paragraphs):
        if paragraph.lines[0].page > 2:
            break
        match = ABSTRACT.match(paragraph.text)
        if match:
            return _until_end([paragraph.text[match.end() :], *(p.text for p in paragraphs[place + 1 : place + 12])])
    return ""


def _until_end(texts: Sequence[str]) -> str:
    kept: list[str] = []
    for text in texts:
        if AFTER_ABSTRACT.match(text) or sum(map(len, kept)) + len(text) > MAX_ABSTRACT:
            break
        kept.append(text)
        if len(text) > 400 and not re.match(r"^(?:Background|Objective|Aim|Purpose|Method|Result|Finding|Conclusion)", "".join(kept)):
            break
    return " ".join(part for part in kept if part).strip()
