"""What a reader can ask for: an explanation in sections, for a level and of a length, and questions that suit a figure.

In: a figure record and the reader's choice. Out: the words of the request, and the sections of the answer as it grows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from llava_graph.errors import InputError, did_you_mean
from llava_graph.prompt import PromptOptions, explain_request
from llava_graph.record import Figure

LEVELS = {
    "lay": "Write for a reader without training in the field: everyday words, and every technical term and abbreviation "
    "that you use explained.",
    "student": "Write for a student of the field: explain the terms and abbreviations that are special to this paper.",
    "expert": "Write for an expert of the field: exact and terse, in the field's own terms, without basics.",
}
"""Reader level -> what is asked of the model."""
LENGTHS = {"short": 80, "medium": 180, "long": 400}
"""Length -> words that the whole answer may have."""
TOKENS_PER_WORD = 2.4
"""Room for an answer: some 1.4 tokens a word in English, and half as much again because models overrun what they are told."""

MEDICAL_KINDS = ("radiograph", "pathology", "x-ray", "ct", "mri", "ultrasound", "histology", "endoscopy")
MEDICAL_NOTE = (
    "Not a diagnosis and no medical advice: a language model wrote this about a picture in a paper. It can be wrong in ways "
    "that only a physician would see."
)

GIVEN_ALONE = (
    "Use only what is given here: the figure, and the text that stands with it. Where something cannot be read off, say so "
    "instead of guessing, and give no number that stands neither in the figure nor in the text."
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A section that is asked for."""

    key: str
    title: str
    wanted: str
    """What the model is told about it."""


PLOTTED = Heading(
    "shown", "What is plotted", "the kind of chart, what each axis shows with its unit, and every series."
)
SHOWN = Heading("shown", "What is shown", "what is seen in the figure, part by part.")
READING = Heading("reading", "How to read it", "where to look first, and what the trends, gaps or parts mean.")
CLAIMS = Heading("claims", "What the paper claims", "what the caption and the paragraphs say about it, told as theirs.")
CAVEATS = Heading("caveats", "Caveats", "what cannot be read off, and what the figure alone does not prove.")
MEDICAL_SHOWN = Heading(
    "shown", "What is shown", "the kind of image, the view or stain, and what is marked; describe, do not diagnose."
)
MEDICAL_TEXT = Heading(
    "claims", "What the text says", "the findings that the caption and the paragraphs state, as theirs."
)
LIMITS = Heading("caveats", "Limits", "what cannot be told from one image.")
TITLES = {heading.title: heading.key for heading in (PLOTTED, SHOWN, READING, CLAIMS, CAVEATS, MEDICAL_TEXT, LIMITS)}
"""Every title that an answer may carry -> the section's key."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """How a reader wants a figure explained."""

    level: str = "student"
    length: str = "medium"
    sections: bool = True

    def __post_init__(self) -> None:
        for name, value, known in (("level", self.level, LEVELS), ("length", self.length, LENGTHS)):
            if value not in known:
                raise InputError(f"unknown {name} {value!r}", next_step=did_you_mean(value, known))

    @property
    def max_new_tokens(self) -> int:
        """Tokens that the answer may take."""
        return round(LENGTHS[self.length] * TOKENS_PER_WORD)

    @property
    def told(self) -> str:
        """The request as a conversation shows it: the whole one is long."""
        reader = "a lay reader" if self.level == "lay" else f"{'an' if self.level == 'expert' else 'a'} {self.level}"
        return f"Explain this figure to {reader} ({self.length})."


def request(
    ask: Ask, figure: Figure, options: PromptOptions = PromptOptions(), *, instructions: bool = True
) -> tuple[str, int | None]:
    """The words of an explain request, and the tokens that its answer may take (None: what is set otherwise).

    `options`: what the model is shown beside the figure. A model that does not follow `instructions` knows nothing but the
    plain requests of its training, and gets one of them.
    """
    if not can_follow(options, instructions=instructions):
        return explain_request(figure.id, options), None
    lines = ["Explain this figure.", LEVELS[ask.level], GIVEN_ALONE]
    if ask.sections:
        lines.append("Answer in these sections, each under its title exactly as it stands here:")
        lines += [f"## {heading.title}\n({heading.wanted})" for heading in headings(figure, options)]
    lines.append(f"Write at most {LENGTHS[ask.length]} words in all.")
    return "\n".join(lines), ask.max_new_tokens


def can_follow(options: PromptOptions, *, instructions: bool) -> bool:
    """Whether a model can be asked for a level, a length and sections.

    `instructions`: what its checkpoint says of itself. The published LLaVA-Graph checkpoints say nothing, and were trained on
    16 requests word for word.
    """
    return instructions and options.style != "llava_graph"


def headings(figure: Figure, options: PromptOptions = PromptOptions()) -> tuple[Heading, ...]:
    """The sections for a figure; what the paper claims only where the model is given a word of the paper."""
    has_text = bool((options.caption and figure.caption.strip()) or (options.mentions and any(figure.mentions)))
    if is_medical(figure):
        asked: tuple[Heading, ...] = (MEDICAL_SHOWN, MEDICAL_TEXT, LIMITS)
    else:
        asked = (SHOWN if figure.kind not in ("", "chart") else PLOTTED, READING, CLAIMS, CAVEATS)
    return tuple(heading for heading in asked if has_text or heading.key != "claims")


def is_medical(figure: Figure) -> bool:
    """Whether answers about the figure need MEDICAL_NOTE beside them."""
    return figure.kind.lower() in MEDICAL_KINDS


@dataclass(frozen=True, slots=True)
class Section:
    """A part of an answer."""

    key: str
    """Of TITLES; empty for what stands before the first title."""
    title: str
    start: int
    """Where the section's own text begins in the answer, in characters; its title stands before."""
    end: int


SEPARATORS = (":", "–", "—", "-")
"""What stands between a title and text on the same line."""
_MARKS = r"[ \t]{0,3}(?P<sharp>\#{1,6}[ \t]*)?(?:[-*+>][ \t]+)?(?:\(?\d{1,2}[.)][ \t]*)?(?P<bold>\*\*|__|\*|_)?[ \t]*"
_TITLE = "|".join(re.escape(title).replace(r"\ ", r"[ \t]+") for title in sorted(TITLES, key=len, reverse=True))
_LINE = re.compile(
    rf"^{_MARKS}(?P<title>{_TITLE})(?![^\W_])[ \t]*(?P<inner>[:.–—]|-(?=[ \t]))?[ \t]*(?P<close>\*\*|__|\*|_)?[ \t]*"
    r"(?(inner)|(?P<outer>[:–—]|-(?=[ \t]))?[ \t]*)(?P<rest>[^\n]*)(?P<ended>\n?)",
    re.MULTILINE | re.IGNORECASE,
)
_DECORATION = re.compile(r"^[\s#>*_+\-.()\d:]+|[\s*_.–—-]+$")


def sections_of(answer: str, *, complete: bool = True) -> tuple[Section, ...]:
    """The sections of an answer in its order; one without a title where it has none.

    While an answer grows (`complete` False) a last line that may become a title is left out, so that nothing is shown that
    changes its meaning with the next words.
    """
    end = len(answer) if complete else _settled(answer)
    found = [match for match in _LINE.finditer(answer, 0, end) if _is_title(match)]
    known = {" ".join(title.split()).casefold(): title for title in TITLES}
    starts = [(0, "", 0)] + [
        (match.start(), known[" ".join(match["title"].split()).casefold()], _body_start(match)) for match in found
    ]
    ends = [head for head, _, _ in starts[1:]] + [end]
    sections = [
        Section(TITLES.get(title, ""), title, start, max(start, stop))
        for (_, title, start), stop in zip(starts, ends, strict=True)
    ]
    return tuple(one for one in sections if one.title or answer[one.start : one.end].strip())


def _is_title(match: re.Match[str]) -> bool:
    """Whether a line that begins with a title's words is one: alone on it, marked, or set off from what follows."""
    rest = match["rest"]
    if not rest or match["sharp"] or match["outer"] or match["inner"] in SEPARATORS:
        return True
    return bool(match["close"] and match["bold"] and (rest[0].isupper() or match["inner"]))


def _body_start(match: re.Match[str]) -> int:
    """After "## Caveats and limits" comes the next line; after "Caveats: few" the word "few"."""
    marked = match["inner"] or match["outer"] or match["close"]
    return match.start("rest") if marked and match["rest"] else match.end()


def _settled(answer: str) -> int:
    """Up to where an unfinished answer cannot change its meaning any more."""
    start = answer.rfind("\n") + 1
    line = answer[start:]
    bare = " ".join(_DECORATION.sub("", line).split()).casefold()
    begun = any(title.casefold().startswith(bare) for title in TITLES)
    titled = _LINE.match(line)
    if titled and (titled["outer"] or titled["inner"] in SEPARATORS):
        return len(answer)  # "Caveats:" is a title whatever comes next
    return start if begun or (titled and titled["sharp"]) else len(answer)


MAX_SUGGESTIONS = 5
_SHORT = re.compile(r"(?=.*[^\W\d_]).{1,40}$")
MAX_NAMES = 4
"""Names of series in one question."""
_READABLE = re.compile(r"(?!\([^)]*\)$)(?!(?:[\d\W_]*\d){3})[^,;“”]+$")
"""A name that can stand in a question: no list, more than a remark in brackets, and no row of numbers."""
_ACRONYM = re.compile(r"\b(?=[A-Z0-9]*[A-Z]{2})[A-Z][A-Z0-9]{1,5}s?\b")
WELL_KNOWN = frozenset(
    {"DNA", "RNA", "USA", "UK", "EU", "US", "PDF", "CT", "MRI", "OCR", "GPU", "CPU", "AI", "ID", "OK", "UV", "FIG"}
)


def suggested_questions(figure: Figure, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """At most MAX_SUGGESTIONS questions that suit the figure, the most useful first, without those already `asked`."""
    known = {" ".join(question.split()).casefold() for question in asked}
    kinds = (_of_series(figure), _of_panels(figure), _of_words(figure), _of_axes(figure), _of_kind(figure))
    # One of each kind before a second one of any.
    found = [question for rank in zip_longest(*kinds) for question in rank if question]
    fresh = dict.fromkeys(question for question in found if question.casefold() not in known)
    return tuple(fresh)[:MAX_SUGGESTIONS]


def _named(figure: Figure, role: str) -> list[str]:
    """Distinct texts of the lines with a role that are names, in their order."""
    texts = (" ".join(line.text.split()) for line in figure.ocr if line.role == role)
    return list(dict.fromkeys(text for text in texts if _SHORT.match(text)))


def _of_series(figure: Figure) -> list[str]:
    series = _named(figure, "legend")
    readable = [f"“{name}”" for name in series if _READABLE.match(name)]
    if len(series) < 2:
        return []
    # Some of the names would read as if the others were not there.
    all_of_them = len(readable) == len(series) <= MAX_NAMES
    named = f"{', '.join(readable[:-1])} and {readable[-1]}" if all_of_them else "the series"
    ordered = sum(line.role == "x-tick" and line.value is not None for line in figure.ocr) >= 2
    ends = f"Which of {named} is highest at the end?" if ordered else f"Which of {named} is highest?"
    return [ends, *([f"How do {readable[0]} and {readable[1]} differ?"] if len(readable) > 1 else [])]


def _of_panels(figure: Figure) -> list[str]:
    letters = [panel.letter for panel in figure.panels if panel.letter]
    letters = letters or sorted({line.panel for line in figure.ocr if line.panel})
    return [f"What is the difference between panels ({letters[0]}) and ({letters[1]})?"] if len(letters) > 1 else []


def _of_axes(figure: Figure) -> list[str]:
    questions = []
    for role in ("y-axis", "x-axis"):
        names = _named(figure, role)
        if len(names) == 1:
            questions.append(f"What does “{names[0]}” on the {role} mean?")
        elif any(line.role == role[0] + "-tick" for line in figure.ocr):
            questions.append(f"What does the {role} show?")
    return questions


def _of_words(figure: Figure) -> list[str]:
    """An abbreviation that caption or figure use and the caption does not explain; first those that a paragraph explains."""
    seen = " ".join([figure.caption, *_named(figure, "legend"), *_named(figure, "y-axis"), *_named(figure, "x-axis")])
    short = dict.fromkeys(word.removesuffix("s") for word in _ACRONYM.findall(seen))
    open_ones = [word for word in short if word not in WELL_KNOWN and not _explains(figure.caption, word)]
    open_ones.sort(key=lambda word: not any(_explains(paragraph, word) for paragraph in figure.mentions))
    return [f"What does {open_ones[0]} mean here?"] if open_ones else []


def _explains(text: str, word: str) -> bool:
    """Whether a text tells what an abbreviation stands for: "a support vector machine (SVM)", "SVM: …", "SVM (support …"."""
    return bool(
        re.search(rf"\({re.escape(word)}s?\)|\b{re.escape(word)}s?\s*(?:[:=]|\([a-z]|,? (?:stands|denotes))", text)
    )


def _of_kind(figure: Figure) -> list[str]:
    if is_medical(figure):
        return ["What is marked in this image?", "What does the text say about this image?"]
    questions = ["What does the paper conclude from this figure?"] if figure.mentions else []
    if figure.kind == "diagram":
        questions.insert(0, "How do the parts of this diagram work together?")
    elif figure.kind in ("", "chart"):
        questions.append("What is the main trend?")
    return [*questions, "What should a reader not conclude from this figure?"]
