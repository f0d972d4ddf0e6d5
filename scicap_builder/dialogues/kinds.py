"""The kinds of dialogues. Each is a story in steps: a figure in, requests out one after the other, answers in, turns at the end.

The steps ask nobody themselves, so the same ones are run, estimated and tested. Sources: SciGraphQA (Li & Tajbakhsh 2023),
LLaVA-Med (Li et al. 2023), Quilt-LLaVA (Seyfioglu et al. 2023).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from llava_graph.errors import InputError, SampleRefused, did_you_mean
from llava_graph.prompt import PromptOptions, render_context
from llava_graph.record import Figure, Turn
from scicap_builder.dialogues.answers import Answer, Request
from scicap_builder.dialogues.parse import (
    SOURCE_WORD,
    UNSEEN_WORD,
    Clues,
    Dialogue,
    Keep,
    about_a_graph,
    asked_aloud,
    read_clues,
    read_description,
    read_guide,
    read_pairs,
    read_student,
    spoken,
    unspoken,
)
from scicap_builder.dialogues.slides import Slides, narration_of
from scicap_builder.dialogues.wording import Wording, quoted

MIN_MENTION_CHARS = 11
"""Published: only first mentions longer than ten characters are asked about."""
MIN_WORDS = 5
"""Of a narration or a caption: fewer say nothing to ask about."""
ABDUCTION_TURNS, LONG_ABDUCTION = (4, 6), 0.15
"""Published: student and guide speak four times together, or six with this probability."""
PAPER = PromptOptions(title=True, abstract=True, mentions=True, ocr_style="words", max_context_tokens=3000)
"""What a teacher is shown of a paper's figure; published inputs have 774 tokens on average."""
ARTICLE = PromptOptions(ocr=False, table=False, mentions=True, max_context_tokens=2000)
Steps = Generator[Request, Answer, Dialogue]


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What lies ready while dialogues are written."""

    wordings: Mapping[str, Wording]
    slides: Slides = field(default_factory=Slides)
    seed: int = 0
    with_image: bool = False

    def request(self, name: str, context: str, *, stand_in: str, about_slide: bool = False) -> Request:
        """A step's request to the teacher. In `stand_in` a … is filled up to the typical length. What is asked about the whole
        slide is asked without a record's picture, and so once for all its records.
        """
        wording, pictured = self.wordings[name], self.with_image and not about_slide
        return Request(
            step=name,
            messages=wording.messages(context, pictured=pictured),
            generation=wording.generation,
            typical_tokens=wording.typical_tokens,
            stand_in=stand_in.replace("…", " ".join(["tissues"] * (wording.typical_tokens // 2))),
            context=context,
            pictured=pictured,
        )

    def spoken(self, name: str, answer: Answer, *, whole: bool = True) -> str:
        """An answer within the step's limits, `whole` or cut at its longest. Raises SampleRefused."""
        return spoken(answer.text, answer.finish_reason, self.wordings[name].max_words, whole=whole)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of dialogue."""

    name: str
    wordings: tuple[str, ...]
    """The prompts that it needs; the first one is its own."""
    steps: Callable[[Figure, Desk], Steps]
    about_slides: bool = False
    """Whether it needs what was said over the whole slide."""
    image_alone: bool = True
    """Whether the dialogue is of people who see the image and nothing else: no caption, no text beside it."""


PAIR = "Question: What does this figure show?\nAnswer: It shows …."


def _scigraphqa(figure: Figure, desk: Desk) -> Steps:
    if len(figure.first_mention.strip()) < MIN_MENTION_CHARS:
        raise SampleRefused(f"first mention: {figure.first_mention[:40]!r}", reason="short-mention")
    context = quoted({"Figure": render_context(figure, PAPER)})
    return (yield from _pairs("scigraphqa", context, about_a_graph, desk))


def _llava_med(figure: Figure, desk: Desk) -> Steps:
    context = render_context(figure, ARTICLE)
    _need_words(f"{figure.caption} {' '.join(figure.mentions)}")
    return (yield from _pairs("llava-med", quoted({"Figure": context}), unspoken(UNSEEN_WORD), desk))


def _conversation(figure: Figure, desk: Desk) -> Steps:
    said = _need_words(narration_of(figure))
    return (yield from _pairs("quilt-conversation", quoted({"Image": said}), unspoken(SOURCE_WORD), desk))


def _description(figure: Figure, desk: Desk) -> Steps:
    said = _need_words(narration_of(figure))
    request = desk.request("quilt-description", quoted({"Image": said}), stand_in="A section of ….")
    answer = yield request
    questions = desk.wordings["quilt-description"].questions
    drawn = hashlib.sha256(f"{desk.seed}:{figure.id}".encode()).digest()[0]
    return read_description(desk.spoken("quilt-description", answer), questions[drawn % len(questions)])


def _complex(figure: Figure, desk: Desk) -> Steps:
    said = _need_words(narration_of(figure))
    case = yield from _case(figure, said, desk)
    return (yield from _pairs("quilt-complex", quoted(case), unspoken(SOURCE_WORD), desk))


def _vqa(figure: Figure, desk: Desk) -> Steps:
    asked = asked_aloud(narration_of(figure))
    if not asked:
        raise SampleRefused("no sentence ends in a question mark", reason="no-question-asked")
    return (yield from _pairs("quilt-vqa", quoted({"Image": asked}), unspoken(SOURCE_WORD), desk))


def _pairs(name: str, context: str, keep: Keep, desk: Desk) -> Generator[Request, Answer, Dialogue]:
    answer = yield desk.request(name, context, stand_in=PAIR)
    return read_pairs(desk.spoken(name, answer, whole=False), keep, cut=answer.finish_reason == "length")


def _need_words(said: str) -> str:
    if len(said.split()) < MIN_WORDS:
        raise SampleRefused(f"nothing to ask about: {said[:80]!r}", reason="no-text")
    return said


def _case(figure: Figure, said: str, desk: Desk) -> Generator[Request, Answer, dict[str, str]]:
    """Diagnosis, clues of the whole slide, the patch. From the table, else the teacher finds them in the video's words."""
    known = desk.slides.known(figure)
    if known is None:
        context = quoted({"Slide": desk.slides.narration(figure)})
        stand_in = '{"diagnosis": ["a tumor"], "clues": ["…"]}'
        request = desk.request("clues", context, stand_in=stand_in, about_slide=True)
        answer = yield request
        known = read_clues(desk.spoken("clues", answer))
    return _parts(known, said)


def _parts(known: Clues, said: str) -> dict[str, str]:
    if not known.diagnosis:
        raise SampleRefused("nobody says what the case is", reason="no-diagnosis")
    return {
        "Diagnosis": "; ".join(known.diagnosis),
        "Clues from the whole slide": "; ".join(known.clues) or "(none)",
        "Single patch": said,
    }


def _abductive(figure: Figure, desk: Desk) -> Steps:
    """Student and guide in turns, until the guide ends it or the drawn number of turns is there."""
    said = _need_words(narration_of(figure))
    case = yield from _case(figure, said, desk)
    drawn = random.Random(f"{desk.seed}:{figure.id}").random()  # noqa: S311  (a draw that anybody may repeat)
    length = ABDUCTION_TURNS[drawn < LONG_ABDUCTION]
    turns: list[Turn] = []
    while len(turns) < length:
        patch = {"Single patch": said, "Conversation so far": _so_far(turns)}
        answer = yield desk.request(
            "quilt-student", quoted(patch), stand_in="Abduction: A tumor of ….\nFacts used: Nests."
        )
        turns.append(Turn(role="user", text=read_student(desk.spoken("quilt-student", answer))))
        whole = {**case, "Conversation so far": _so_far(turns)}
        answer = yield desk.request(
            "quilt-guide", quoted(whole), stand_in="Comments: Go on with ….\nHint: Look at the nuclei."
        )
        text, ends = read_guide(desk.spoken("quilt-guide", answer))
        turns.append(Turn(role="assistant", text=text))
        if ends:
            break
    return Dialogue(turns=tuple(turns))


def _so_far(turns: list[Turn]) -> str:
    lines = [f"{'Student' if turn.role == 'user' else 'Guide'}: {turn.text}" for turn in turns]
    return "\n".join(lines) or "(none)"


def rating_request(context: str, dialogue: Dialogue, desk: Desk) -> Request:
    """What the rater is asked of a dialogue: it reads the quoted parts that the teacher read last, and the dialogue."""
    wording = desk.wordings["rating"]
    told = f"{context}\n\n{quoted({'Dialogue': dialogue.text})}"
    return Request(
        step="rating",
        messages=wording.messages(told, pictured=desk.with_image),
        generation=wording.generation,
        typical_tokens=wording.typical_tokens,
        stand_in="10",
        pictured=desk.with_image,
        role="rater",
    )


_ALL = (
    Kind(name="scigraphqa", wordings=("scigraphqa",), steps=_scigraphqa, image_alone=False),
    Kind(name="llava-med", wordings=("llava-med",), steps=_llava_med),
    Kind(name="quilt-conversation", wordings=("quilt-conversation",), steps=_conversation),
    Kind(name="quilt-description", wordings=("quilt-description",), steps=_description),
    Kind(name="quilt-complex", wordings=("quilt-complex", "clues"), steps=_complex, about_slides=True),
    Kind(
        name="quilt-abductive", wordings=("quilt-student", "quilt-guide", "clues"), steps=_abductive, about_slides=True
    ),
    Kind(name="quilt-vqa", wordings=("quilt-vqa",), steps=_vqa),
)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})


def kind_of(name: str) -> Kind:
    """The kind of this name. Raises InputError with the nearest one."""
    if name not in KINDS:
        raise InputError(f"unknown kind {name!r}", next_step=did_you_mean(name, KINDS))
    return KINDS[name]
