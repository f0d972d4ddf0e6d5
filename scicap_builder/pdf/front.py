"""Title and abstract from the first pages of a paper. Pure functions."""

import re
from collections.abc import Sequence

from scicap_builder.pdf.joining import SENTENCE_END, join_lines
from scicap_builder.pdf.layout import Style
from scicap_builder.pdf.lines import Line
from scicap_builder.pdf.paragraphs import Paragraph

ABSTRACT = re.compile(r"^\s*(?:Abstract|ABSTRACT|A\s?B\s?S\s?T\s?R\s?A\s?C\s?T|Summary|SUMMARY)\b\s*[:.—–\-|]*\s*")
AFTER_ABSTRACT = re.compile(
    r"^\s*(?:(?:\d+|I)[.:]?\s+)?(?:Introduction|INTRODUCTION|I\s?NTRODUCTION|Background$|Key\s?-?words?|KEY\s?-?WORDS|"
    r"Index Terms|CCS Concepts|Contents|Abbreviations|Electronic supplementary|©|"
    r"Subject headings|Citation:|Correspond|\*\s?Correspond|PACS)"
)
MAX_ABSTRACT = 4000
"""Characters; the longest abstracts of medical journals stay below."""
MIN_ABSTRACT = 400
"""Characters from which on a paragraph can be a whole abstract."""
INTRODUCTION = re.compile(r"^\s*(?:(?:\d+|I)[.:]?\s*)?I\s?(?:ntroduction|NTRODUCTION)\b")
STRUCTURED = re.compile(
    r"^\s*(?:Background|Objectives?|Aims?|Purpose|(?:Materials? and )?Methods?|Results?|Findings?|Conclusions?|Significance|"
    r"Discussion|Design|Setting|Context)\b",
    re.I,
)
PARTS = re.compile(r"^\s*(?:Background|Objectives?|Aims?|Purpose|Context|Introduction)\s*(?:/\s*\w+\s*)?[:.]\s*[A-Z]")
"""The first part of a structured abstract that is printed without the word "Abstract"."""
NO_TITLE = re.compile(
    r"^\s*(?:(?:Original |Full |Short )?(?:Research|Review|Original|Regular|Technical)?\s*"
    r"(?:Article|Paper|Communication|Note|Report)s?|(?:RESEARCH|REVIEW|ORIGINAL)(?: ARTICLE| PAPER)?|"
    r"OPEN|Open Access|OPEN ACCESS|ScienceDirect|Contents lists available.*|BMC [A-Z].*|"
    r"(?:The )?(?:[\w&-]+ ){0,4}Journal(?: of (?:[\w&,-]+ ?){1,8})?)\s*$"
)
"""Kinds of article and names of journals, which stand as large as titles."""
MASTHEAD_WORDS = 3
"""Words of a line in the largest type that may be a journal's name."""
TITLE_WORDS = 5
"""Words that make a text in nearly as large type the title instead."""
MASTHEAD_RATIO = 0.75
"""Of the size of a journal's name, which its articles' titles reach."""
SECTION_SUMMARY = re.compile(r"^\s*Statement [Oo]f [Nn]eed\b", re.M)
"""Journals of software and teaching open with a section "Summary" and then say the need: it is text, no abstract."""
ADDRESS = re.compile(
    r"@|\b(?:Universi\w+|Department|Institut\w*|Hospital|Faculty|College|Laborator\w+|Street|Road|Correspond\w+|USA|China)\b"
)
MAX_ADDRESSES = 4
"""Names of institutions and the like in a paragraph from which on it lists authors' addresses."""
LINE_REACH = 1.9
"""em between two baselines of one title."""


def read_title(lines: Sequence[Line], style: Style) -> str:
    """The largest text of the upper part of the first page (`lines`) that reads like words; else the first bold one."""
    if not lines:
        return ""
    bottom = max(line.box[3] for line in lines)
    upper = [line for line in lines if line.box[1] < 0.6 * bottom and _wordy(line.text)]
    upper = [line for line in upper if not NO_TITLE.match(line.text)] or upper
    large = [line for line in upper if line.size > style.size + 0.8 and len(line.words) >= 2]
    large = large or [line for line in upper if line.size > style.size + 0.8]
    if large:
        size = _title_size(large, style)
        slack = 0.6 if size == max(line.size for line in large) else 0.1
        first = next(place for place, line in enumerate(upper) if abs(line.size - size) < slack)
        return _chain([line for line in upper[first:] if abs(line.size - size) < 0.6 and line.size > style.size + 0.8])
    marked = [line for line in upper if (line.bold or _in_capitals(line.text)) and len(line.words) >= 3]
    same = [line for line in marked if line.bold == marked[0].bold and abs(line.size - marked[0].size) < 0.6]
    return _chain(same)


def _title_size(large: Sequence[Line], style: Style) -> float:
    """The largest size, unless it sets a word or two (a journal's name) and the next size a whole title."""
    sizes = sorted({line.size for line in large}, reverse=True)
    words = {size: sum(len(line.words) for line in large if abs(line.size - size) < 0.3) for size in sizes}
    least = max(MASTHEAD_RATIO * sizes[0], 1.3 * style.size)
    longer = [size for size in sizes if size > least and words[size] >= TITLE_WORDS]
    return longer[0] if words[sizes[0]] <= MASTHEAD_WORDS and longer else sizes[0]


def _chain(lines: Sequence[Line]) -> str:
    """The first lines of `lines` that follow each other without a gap, as a string."""
    title = list(lines[:1])
    for line in lines[1:]:
        if line.baseline - title[-1].baseline > LINE_REACH * line.size:
            break
        if line.font == title[0].font or line.size > 13:
            title.append(line)
    return join_lines([line.text for line in title])


def _in_capitals(text: str) -> bool:
    return sum(letter.isupper() for letter in text) > 0.9 * sum(letter.isalpha() for letter in text)


def _wordy(text: str) -> bool:
    return sum(letter.isalpha() for letter in text) >= 0.6 * len(text) and len(text) > 5


def read_abstract(paragraphs: Sequence[Paragraph], style: Style) -> str:
    """The text after the word "Abstract", up to keywords or the introduction.

    `paragraphs`: all text of the first two pages in reading order, headings included. Journals that print no such word set
    the abstract in a font of its own before the introduction: then the first long paragraph there.
    """
    for place, paragraph in enumerate(paragraphs):
        match = ABSTRACT.match(paragraph.text)
        if match and match[0].strip().lower().startswith("summary") and _opens_sections(paragraphs[place + 1 :]):
            return ""
        if match:
            return _until_end([paragraph.text[match.end() :], *(p.text for p in paragraphs[place + 1 : place + 12])])
    starts = [place for place, paragraph in enumerate(paragraphs) if INTRODUCTION.match(paragraph.text)]
    for place, paragraph in enumerate(paragraphs[: starts[0] if starts else None]):
        rest = " ".join(p.text for p in paragraphs[place : place + 8])
        if PARTS.match(paragraph.text) and re.search(r"\bResults?\s*[:.]", rest) and "Conclusion" in rest:
            return _until_end([p.text for p in paragraphs[place : place + 12]])
    before = paragraphs[: starts[0] if starts else 12]
    long = [p for p in before if MIN_ABSTRACT < len(p.text) < MAX_ABSTRACT and p.lines[0].page == 1]
    long = [p for p in long if len(ADDRESS.findall(p.text)) < MAX_ADDRESSES]
    own = [p for p in long if p.lines[0].font != style.font or abs(p.lines[0].size - style.size) > 0.6]
    return next((p.text for p in own or (long if starts else ())), "")


def _opens_sections(paragraphs: Sequence[Paragraph]) -> bool:
    return any(SECTION_SUMMARY.match(paragraph.text) for paragraph in paragraphs)


def _until_end(texts: Sequence[str]) -> str:
    """Paragraphs up to the first that belongs to something else; a structured abstract has several, others have one."""
    kept: list[str] = []
    cut = False
    for text in texts:
        length = sum(map(len, kept))
        if cut and not text[:1].islower():
            continue
        if AFTER_ABSTRACT.match(text) or length + len(text) > MAX_ABSTRACT:
            # a column that ends in small print may break a sentence, which goes on at the top of the next
            cut = length > MIN_ABSTRACT and not SENTENCE_END.search(kept[-1])
            if cut:
                continue
            break
        if length > MIN_ABSTRACT and not STRUCTURED.match(text) and SENTENCE_END.search(kept[-1]):
            break
        kept.append(text)
    return " ".join(part for part in kept if part).strip()
