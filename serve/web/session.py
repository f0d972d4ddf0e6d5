"""What one visitor has in front of them, and how it becomes messages to a model. Pure values, no gradio."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llava_graph.asking import Ask
from llava_graph.claims import Claim
from llava_graph.explained import AskedRegion
from llava_graph.prompt import Message, PromptOptions, build_messages, explain_request
from llava_graph.record import Figure, Turn
from serve.client import Sampling
from serve.web.context.shown import AS_TRAINED, Shown, shown_in
from serve.web.figure.lines import corrected

KEPT_TALKS = 60
"""Conversations about other figures that are kept for a visitor: a paper rarely has more figures."""
OF_A_PAPER = "#"
"""In the id of every figure of a paper, and in no other."""


@dataclass(frozen=True, kw_only=True)
class AnswerFacts:
    """How one answer came about."""

    id: str = ""
    """The first answer's id is the conversation's."""
    model: str = ""
    about: str = ""
    """What the model says it is."""
    prompt: str = ""
    """The text that stood beside the image in the first turn, word for word."""
    sampling: Sampling = field(default_factory=Sampling)
    started: float = 0.0
    """Seconds since 1970."""
    seconds: float | None = None
    completion_tokens: int | None = None
    finish_reason: str = ""
    """ "stop", "length", or empty as long as the answer has not ended."""
    question: str | None = None
    """As it was typed; None: an explanation."""
    regions: tuple[AskedRegion, ...] = ()
    """What the question was about; empty: the whole figure."""
    ask: Ask | None = None
    """How the explanation was wanted."""
    claims: tuple[Claim, ...] = ()
    """What was to be checked; the answer then has a line for each."""
    others: tuple["Version", ...] = ()
    """What else was answered to the same question."""


@dataclass(frozen=True)
class Version:
    """An answer that another one has taken the place of."""

    text: str
    facts: AnswerFacts


@dataclass(frozen=True)
class Talk:
    """What was said about a figure: see `Session.turns` and `Session.facts`."""

    turns: tuple[Turn, ...] = ()
    facts: tuple[AnswerFacts, ...] = ()


@dataclass(frozen=True)
class Session:
    """One figure and the conversation about it."""

    figure: Figure | None = None
    """As it was read; what the visitor changed of it is on the page (`OnPage`)."""
    turns: tuple[Turn, ...] = ()
    facts: tuple[AnswerFacts, ...] = ()
    """One for each answer of `turns`, in their order."""
    shown: Shown = AS_TRAINED
    """What of the figure's surroundings goes to the model."""
    original: bytes | None = None
    """The upload as it came, where it has more pixels than the figure: regions are cut out of it."""
    kept: Mapping[str, Talk] = field(default_factory=dict)
    """Id of a figure of a paper -> what was said about it when the visitor left it for another one."""

    @property
    def history(self) -> tuple[Turn, ...]:
        """Questions that have an answer: what a follow-up question builds on."""
        pairs = zip(self.turns[::2], self.turns[1::2], strict=False)
        return tuple(turn for question, answer in pairs if answer.text.strip() for turn in (question, answer))

    def asked(self, question: str, facts: AnswerFacts = AnswerFacts()) -> "Session":
        """With a new question and an answer that is still empty."""
        answers = zip(self.turns[1::2], self.facts, strict=False)
        kept = tuple(known for answer, known in answers if answer.text.strip())
        turns = (*self.history, Turn(role="user", text=question), Turn(role="assistant", text=""))
        return replace(self, turns=turns, facts=(*kept, facts))

    def retried(self, facts: AnswerFacts) -> "Session":
        """With the last answer set aside and a new one, still empty, in its place."""
        last = Version(self.turns[-1].text, replace(self.facts[-1], others=()))
        facts = replace(facts, others=(*self.facts[-1].others, last))
        turns = (*self.turns[:-1], Turn(role="assistant", text=""))
        return replace(self, turns=turns, facts=(*self.facts[:-1], facts))

    def versions(self, number: int) -> tuple[Version, ...]:
        """All that was answered to question `number` (from 0), the oldest first."""
        if number >= len(self.facts):
            return ()
        facts = self.facts[number]
        shown = Version(self.turns[2 * number + 1].text, replace(facts, others=()))
        return tuple(sorted((*facts.others, shown), key=lambda version: version.facts.started))

    def with_version(self, number: int, version: int) -> "Session":
        """With another one of the answers to question `number` in its place; as it is where there is none such."""
        versions = self.versions(number)
        if number < 0 or not 0 <= version < len(versions):
            return self
        chosen = versions[version]
        facts = replace(chosen.facts, others=tuple(one for one in versions if one is not chosen))
        turn = Turn(role="assistant", text=chosen.text)
        turns = (*self.turns[: 2 * number + 1], turn, *self.turns[2 * number + 2 :])
        return replace(self, turns=turns, facts=(*self.facts[:number], facts, *self.facts[number + 1 :]))

    def settled(self) -> "Session":
        """After an answer was stopped: an empty one that was to take another one's place gives it back."""
        number = len(self.facts) - 1
        if number < 0 or not self.facts[-1].others or self.turns[-1].text.strip():
            return self
        before = self.facts[-1].others[-1]
        facts = replace(before.facts, others=self.facts[-1].others[:-1])
        return self.answered(before.text, facts)

    def coming_after(self, before: "Session") -> "Session":
        """This one, with a figure that has just come, after the one that a visitor had before.

        A figure of a paper that they come back to has its conversation again; the last KEPT_TALKS are kept.
        """
        last, kept = before.settled(), dict(before.kept)
        if last.figure is not None and OF_A_PAPER in last.figure.id:
            kept.pop(last.figure.id, None)
            talk = Talk(last.history, last.facts[: len(last.history) // 2])
            kept |= {last.figure.id: talk} if talk.turns else {}
        kept = dict(list(kept.items())[-KEPT_TALKS:])
        talk = kept.get(self.figure.id, Talk()) if self.figure else Talk()
        return replace(self, turns=talk.turns, facts=talk.facts, kept=kept)

    def answered(self, text: str, facts: AnswerFacts | None = None) -> "Session":
        """With the last answer, and what is known of it, replaced."""
        turns = (*self.turns[:-1], Turn(role="assistant", text=text))
        return replace(self, turns=turns, facts=self.facts if facts is None else (*self.facts[:-1], facts))


@dataclass(frozen=True, kw_only=True)
class OnPage:
    """What stands on the page when a visitor acts. One field for each component of `PageParts.given`, under its name."""

    session: Session = field(default_factory=Session)
    caption: str | None = ""
    context: Any = None
    """{"figure": id, "slots", "paragraphs"}: what of its surroundings is given, see serve.web.context.shown."""
    changes: Any = None
    """{"figure": id, "edits": see serve.web.figure.lines}: what the visitor changed of the lines in the figure."""
    regions: Any = None
    """{"figure": id, "regions": [{"name", "box"}, …]}: what the next question is about, see serve.web.figure.regions."""
    model: str | None = ""
    level: str | None = Ask.level
    length: str | None = Ask.length

    @property
    def ask(self) -> Ask:
        """How an explanation is wanted. Raises InputError."""
        return Ask(level=self.level or Ask.level, length=self.length or Ask.length)

    def now(self) -> Session:
        """The session with its figure as the page shows it: what the model is given. Raises InputError.

        Changes of another figure (it was just replaced) do not count.
        """
        figure = self.session.figure
        if figure is None:
            return self.session
        lines = figure.ocr
        if isinstance(self.changes, dict) and self.changes.get("figure") == figure.id:
            lines = corrected(lines, self.changes.get("edits"))
        shown = shown_in(self.context, figure)
        figure = replace(figure, caption=(self.caption or "").strip(), ocr=lines)
        return replace(self.session, figure=figure, shown=shown)


def messages_for(
    session: Session, question: str | None, prompt: PromptOptions = PromptOptions(), wanted: str | None = None
) -> tuple[list[Message], str]:
    """(messages, the question as sent) for a question, or for an explanation (None).

    `prompt`: what the model was trained with. `wanted`: the words of an explain request; None: a plain one. Raises InputError.
    """
    if session.figure is None:
        raise ValueError("there is no figure to ask about")
    request = (wanted or explain_request(session.figure.id, prompt)) if question is None else question.strip()
    history = () if question is None else session.history
    return build_messages(session.figure, request, prompt, history=history), request
