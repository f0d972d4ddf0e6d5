"""The teacher's words -> questions and answers, or the reason why they are none. Pure: texts in, values out.

The chain is SciGraphQA's (Li & Tajbakhsh 2023): an answer without "question" or "answer" is left out, so are pieces of three
characters or fewer, and questions that name no graph. Ours pairs by label where the published one pairs by place, so that a piece
that is left out never shifts an answer to another question.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from llava_graph.errors import SampleRefused
from llava_graph.evaluate.answers import encodable
from llava_graph.record import Turn

CUT = "cut-at-length"
MIN_CHARS = 4
"""Published: a question or an answer of three characters or fewer is left out."""
GRAPH_WORD = re.compile(
    r"\b(?:graph|diagram|figure|chart|axis|plot|table|image|visual|illustrat)|(?<!\bpara)(?:graph|histogram|plot|chart)s?\b",
    re.IGNORECASE,
)
"""The published words. They count at the beginning of a word (the published search finds "table" in "stable" and "graph" in
"paragraph") and, for plots whose name ends so, at its end: histogram, subplot."""
SOURCE_WORD = re.compile(
    r"\b(?:captions?|narrat(?:ions?|ors?|ed|ive)|coordinates?|bounding box(?:es)?)\b|\[\s*[01]?\.\d+\s*,[\s\d.,]*\]|"
    r"\b(?:the|this) (?:video|lecture|lecturer|speaker|presenter|transcript|pointer)\b",
    re.IGNORECASE,
)
"""What a dialogue about the picture must not speak of (Quilt-LLaVA's rules; the last line is of our prompts)."""
_TEXT = r"(?:captions?|paragraphs?|text|abstract|passages?|context|description)"
_ELSEWHERE = (
    rf"\b(?:according to|(?:mentioned|stated|described|noted|explained|reported) in) (?:the|this|its) (?:\w+ )?{_TEXT}\b|"
    rf"\b(?:the|this|its) (?:\w+ )?{_TEXT} (?:also )?(?:do(?:es)? not|(?:say|state|mention|note|describe|explain|report)s?)\b|"
    rf"\b(?:given|provided) {_TEXT}\b|\bin-text\b"
)
QUOTING_WORD = re.compile(_ELSEWHERE, re.IGNORECASE)
"""A figure's dialogue that quotes its texts. Figures about captions or paragraphs may be spoken of."""
UNSEEN_WORD = re.compile(rf"\bcaptions?\b|\bfigure (?:context|text|description)\b|{_ELSEWHERE}", re.IGNORECASE)
"""The same for a biomedical figure, where nothing else is called a caption."""
THOUGHT = re.compile(r"\A\s*(?:<think>)?.*?</think>", re.DOTALL)
"""Reasoning models think aloud first."""
REFUSAL = re.compile(
    r"\A\W*(?:(?:i['’]?m|i am|we are|we['’]re) (?:very |so |really )?(?:sorry|unable|not able)|sorry\b|i apologi[sz]e|"
    r"i (?:cannot|can['’]?t|can not|won['’]?t|will not)\b|as an ai\b|unfortunately,? (?:i|the)\b)",
    re.IGNORECASE,
)
STOPS = ("CORRECT!!!", "End of Guidance")
"""Published: either ends an iterative abduction."""
_ASKED, _SAID = ("question", "user", "human"), ("answer", "gpt", "assistant")
_NAMES = "|".join((*_ASKED, *_SAID))
_BEFORE = r"^[ \t>*#_(\-]*(?:\d+[.)][ \t]*)?[*_]*"
_LABEL = re.compile(
    rf"{_BEFORE}({_NAMES})[ \t]*#?\d*[*_]*[ \t]*[:：][*_]*|(?<=[.?!\"”)])[ \t]+({_NAMES.title()}|GPT):|"
    rf"^[ \t]*(?:#+[ \t]*|[*_]+)({_NAMES})[ \t]*#?\d*[*_]*[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""At the beginning of a line, decorated as models do; behind a sentence on the same line; or a heading of its own."""
_INITIAL = re.compile(rf"{_BEFORE}([QA])[ \t]*#?\d*[*_]*[ \t]*[:：.)][*_]*(?=\s)", re.MULTILINE)
"""Q1: and A1:, where there are no names: "A:" may name a panel."""
_CLOSING = re.compile(
    r"\n\s*\n[^\w\n]*(?:let me know|feel free|i hope|would you like|please (?:let|tell|note)|note\b|word count)[^\n]*\s*\Z",
    re.IGNORECASE,
)
"""What chat models say to whoever asked, behind the last answer."""
_BLANK_FORM = re.compile(r"[\[<]\s*[a-z][^\]>]*[\]>]\W*|\W*", re.IGNORECASE)
"""The form itself in place of words: "[Answer]"."""
MAX_JSON_STARTS = 8
"""Brackets at which JSON is looked for."""
MAX_CHARS_A_WORD = 20
"""On average; an answer of longer ones is no language with words, or no language."""


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """What becomes the record's turns."""

    turns: tuple[Turn, ...]
    left_out: Counter[str] = field(default_factory=Counter)
    """Pairs by reason."""

    @property
    def text(self) -> str:
        """As a reader sees it."""
        return "\n".join(f"{'Question' if turn.role == 'user' else 'Answer'}: {turn.text}" for turn in self.turns)


Keep = Callable[[str, str], str]
"""Question, answer -> the reason why the pair is left out; empty: it is kept."""


def spoken(text: str, finish_reason: str, max_words: int, *, whole: bool = True) -> str:
    """The answer without thoughts; not `whole`: one that was cut at its longest is taken, too. Raises SampleRefused: refused,
    cut-at-length, empty-answer, too-long.
    """
    if finish_reason == "content_filter":
        raise SampleRefused("the server's filter cut the answer off", reason="refused")
    thinking = text.lstrip().startswith("<think>") and "</think>" not in text
    if finish_reason == "length" and (whole or thinking or not text.strip()):
        raise SampleRefused("the answer was cut at its longest", reason=CUT)
    if thinking:
        raise SampleRefused("thoughts without an answer", reason="empty-answer")
    said = THOUGHT.sub("", encodable(text), count=1).strip() if "</think>" in text else encodable(text).strip()
    if not said:
        raise SampleRefused("the answer is empty", reason="empty-answer")
    if REFUSAL.match(said):
        raise SampleRefused(said[:200], reason="refused")
    if (words := len(said.split())) > max_words or len(said) > MAX_CHARS_A_WORD * max_words:
        raise SampleRefused(f"{words} words in {len(said)} characters, at most {max_words} words", reason="too-long")
    return said


def read_pairs(said: str, keep: Keep, *, cut: bool = False) -> Dialogue:
    """Labelled lines (or Q: and A:, or JSON) -> turns. Raises SampleRefused: no-question, no-answer, or the most frequent
    reason why no pair is left. Of an answer that was `cut` the last part is left out: it may be half a sentence.
    """
    said = _CLOSING.sub("", said)
    ways = _labelled(said, _LABEL), _labelled(said, _INITIAL), _in_json(said)
    parts = next((parts for parts in ways if {"user", "assistant"} <= {role for role, _ in parts}), ways[0])
    if cut:
        parts = parts[:-1]
    roles = {role for role, _ in parts}
    for role, reason in (("user", "no-question"), ("assistant", "no-answer")):
        if role not in roles:
            raise SampleRefused(f"it begins: {said[:120]}", reason=CUT if cut else reason)
    left_out: Counter[str] = Counter({CUT: 1} if cut else {})
    turns: list[Turn] = []
    for number, (role, text) in enumerate(parts):
        follows = parts[number + 1][0] if number + 1 < len(parts) else ""
        if role == "user" and follows != "assistant":
            left_out["unanswered"] += not (cut and number == len(parts) - 1)
        if role == "assistant":
            before = parts[number - 1] if number else ("", "")
            reason = _why_not(before[1], text, keep) if before[0] == "user" else "unasked"
            if not reason and any(turn.text.casefold() == before[1].casefold() for turn in turns[::2]):
                reason = "repeated"
            if reason:
                left_out[reason] += 1
            else:
                turns += [Turn(role="user", text=before[1]), Turn(role="assistant", text=text)]
    left_out = +left_out
    if not turns:
        reason = left_out.most_common(1)[0][0]
        raise SampleRefused(f"no pair is left; it begins: {said[:120]}", reason=reason)
    return Dialogue(turns=tuple(turns), left_out=left_out)


def _labelled(said: str, label: re.Pattern[str]) -> list[tuple[str, str]]:
    """(role, text) of each labelled part, in order; what stands before the first label is no part."""
    marks = list(label.finditer(said))
    ends = [mark.start() for mark in marks[1:]] + [len(said)] * bool(marks)
    return [
        (_role(mark[mark.lastindex or 0]), _plain(said[mark.end() : end]))
        for mark, end in zip(marks, ends, strict=True)
    ]


def _role(name: str) -> str:
    return "user" if name.lower() in (*_ASKED, "q") else "assistant"


def _in_json(said: str) -> list[tuple[str, str]]:
    """The same of the first JSON list or object: questions with answers, or chat messages, at whatever depth."""
    parts: list[tuple[str, str]] = []
    waiting = [value] if (value := _first_json(said)) is not None else []
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, dict):
            named = {str(name).lower(): text for name, text in one.items()}
            speaker, text = named.get("role", named.get("from")), named.get("content", named.get("value"))
            if isinstance(speaker, str) and isinstance(text, str) and speaker.lower() in (*_ASKED, *_SAID):
                parts.append((_role(speaker), _plain(encodable(text))))
                continue
            found = [
                (_role(name), text) for name in (*_ASKED, "q", *_SAID, "a") if isinstance(text := named.get(name), str)
            ]
            parts += [(role, _plain(encodable(text))) for role, text in found]
            waiting += reversed([] if found else list(one.values()))
    return parts


def _first_json(said: str) -> Any:
    decoder = json.JSONDecoder()
    for mark in islice(re.finditer(r"[\[{](?=\s*[\[{\"])", said), MAX_JSON_STARTS):
        try:
            return decoder.raw_decode(said, mark.start())[0]
        except (ValueError, RecursionError):
            continue
    return None


def _plain(text: str) -> str:
    """Without the blanks and signs that a list of pairs leaves at the ends of its pieces, and without a picture's mark."""
    text = re.sub(r"(?m)^[ \t]*(?:[-*_=]{3,}|```\w*)[ \t]*$", "", text.replace("<image>", ""))
    text = re.sub(r"\s*(?:^|\n)\s*(?:[#*_>(-]+|\d+[.)])\s*\Z", "", text).strip()
    return text.removeprefix("**").removesuffix("**").strip() if text.count("**") % 2 else text


def _why_not(question: str, answer: str, keep: Keep) -> str:
    if len(question) < MIN_CHARS or len(answer) < MIN_CHARS:
        return "too-short"
    if _BLANK_FORM.fullmatch(question) or _BLANK_FORM.fullmatch(answer):
        return "bad-form"
    return keep(question, answer)


def about_a_graph(question: str, answer: str) -> str:
    """Whether the question names a graph: the published filter; and that the pair does not quote the figure's texts: ours."""
    return unspoken(QUOTING_WORD)(question, answer) if GRAPH_WORD.search(question) else "no-graph-word"


def unspoken(pattern: re.Pattern[str]) -> Keep:
    """Leaves out a pair that speaks of what only the teacher was shown."""

    def keep(question: str, answer: str) -> str:
        return "mentions-source" if pattern.search(f"{question}\n{answer}") else ""

    return keep


def read_description(said: str, question: str) -> Dialogue:
    """A single answer, under a question of ours. Raises SampleRefused: too-short, mentions-source."""
    answer = re.sub(r"\A\W*(?:answer|description|gpt)\W*:\W*", "", said, flags=re.IGNORECASE).strip()
    reason = _why_not(question, answer, unspoken(SOURCE_WORD))
    if reason:
        raise SampleRefused(answer[:200], reason=reason)
    return Dialogue(turns=(Turn(role="user", text=question), Turn(role="assistant", text=answer)))


@dataclass(frozen=True, kw_only=True)
class Clues:
    """What is known of a whole slide."""

    diagnosis: tuple[str, ...] = ()
    clues: tuple[str, ...] = ()


def read_clues(said: str) -> Clues:
    """The first JSON object of an answer. Raises SampleRefused (clues-not-read)."""
    decoder = json.JSONDecoder()
    for start in (mark.start() for mark in re.finditer(r"\{", said)):
        try:
            found, _ = decoder.raw_decode(said, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and "diagnosis" in found and "clues" in found:
            return Clues(diagnosis=_listed(found["diagnosis"]), clues=_listed(found["clues"]))
    raise SampleRefused(f"no object with diagnosis and clues; it begins: {said[:120]}", reason="clues-not-read")


def _listed(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(encodable(" ".join(one.split())) for one in values if isinstance(one, str) and one.strip())


def read_student(said: str) -> str:
    """The explanation and its facts as one text. Raises SampleRefused: bad-form, mentions-source."""
    found = _two(said, "abduction", r"facts?(?: used)?")
    if not all(found):
        raise SampleRefused(f"no abduction with facts; it begins: {said[:120]}", reason="bad-form")
    return _unspoken_text(" ".join(found))


def read_guide(said: str) -> tuple[str, bool]:
    """(comments and hint as one text, whether the guidance ends here). Raises SampleRefused: bad-form, mentions-source.

    The stop marks are taken out of the text: "CORRECT!!!" is written "Correct!".
    """
    ends = any(mark.lower() in said.lower() for mark in STOPS)
    text = re.sub(r"correct!!!", "Correct!", said, flags=re.IGNORECASE)
    text = re.sub(r"[ \t]*[\[(\"*]*end of guidance[\])\"*]*[.!]*", "", text, flags=re.IGNORECASE)
    comments, hint = _two(text, r"comments?", "hint")
    if re.fullmatch(r"\W*(?:none|n/a|no hint)?\W*", hint, re.IGNORECASE):
        hint = ""
    if not comments or not (hint or ends):
        raise SampleRefused(f"no comments with a hint; it begins: {said[:120]}", reason="bad-form")
    return _unspoken_text(" ".join(filter(None, (comments, hint)))), ends


def _two(said: str, first: str, second: str) -> tuple[str, str]:
    """The texts under two labels; empty where one is missing."""
    label = r"[ \t\[{{*_>(-]*{}[ \t]*[*_}}]*[ \t]*:[ \t*_]*"
    begin = re.search(r"(?im)^" + label.format(first), said)
    if begin is None:
        return "", ""
    rest = said[begin.end() :]
    parts = re.split(r"(?im)(?:^|(?<=[.?!\]},]))" + label.format(second), rest, maxsplit=1)
    one, other = parts if len(parts) == 2 else (parts[0], "")
    return " ".join(one.split()).strip(" []{},*"), " ".join(other.split()).strip(" []{},*")


def _unspoken_text(text: str) -> str:
    if SOURCE_WORD.search(text):
        raise SampleRefused(text[:200], reason="mentions-source")
    return text


def asked_aloud(narration: str, *, around: int = 2) -> str:
    """The sentences that end in a question mark with `around` sentences before and after them; empty where nobody asks.

    Sentences end at ? . ! as in Quilt-VQA's splitter; stretches that do not touch are parted by an empty line.
    """
    sentences = [one for one in re.split(r"(?<=[?.!])\s+", narration.strip()) if one]
    wanted: set[int] = set()
    for number, sentence in enumerate(sentences):
        if sentence.rstrip("\"')”’ ").endswith("?"):
            wanted |= set(range(max(0, number - around), min(len(sentences), number + around + 1)))
    pieces: list[str] = []
    for number in sorted(wanted):
        gap = "" if not pieces else " " if number - 1 in wanted else "\n\n"
        pieces += [gap, sentences[number]]
    return "".join(pieces)
