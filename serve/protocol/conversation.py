"""FastChat's `Conversation` in our words: a chat template taken apart into roles and separators, and put together again.

A worker says its Jinja template in these terms (/worker_get_conv_template), so that FastChat's OpenAI server and pages can
write prompts for it; our page reads them from a real FastChat worker.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import takewhile
from typing import Any

from llava_graph.errors import ServeError
from serve.protocol.codes import ErrorCode


@dataclass(frozen=True)
class Style:
    """One of FastChat's separator styles: how system prompt, role, text and separators are put together."""

    after_system: str
    """Written after a system prompt; `{sep}` is the first separator."""
    joint: str
    """Between role and text."""
    opening: str
    """After the role of the turn that the model shall write."""
    two: bool = False
    """The assistant's turns end with sep2."""
    empty_system: bool = False
    """`after_system` is written even if there is no system prompt."""


STYLES: Mapping[int, Style] = {
    1: Style("{sep}", ": ", ":", empty_system=True),  # ADD_COLON_SINGLE
    2: Style("{sep}", ": ", ":", two=True, empty_system=True),  # ADD_COLON_TWO
    3: Style("{sep}", ": ", ": ", empty_system=True),  # ADD_COLON_SPACE_SINGLE
    4: Style("", "", ""),  # NO_COLON_SINGLE
    5: Style("", "", "", two=True),  # NO_COLON_TWO
    6: Style("{sep}", "\n", "\n"),  # ADD_NEW_LINE_SINGLE
}
"""By FastChat's number (`SeparatorStyle`), as far as the numbers mean the same in its release (0.2.36) and after it."""
CHATML_NUMBERS = (9, 10)
"""CHATML in the release and after it; the other number is another style there."""


@dataclass(frozen=True)
class Conversation:
    """FastChat's fields, in its order."""

    name: str
    system_template: str = "{system_message}"
    system_message: str = ""
    roles: tuple[str, str] = ("USER", "ASSISTANT")
    messages: tuple[tuple[str, str], ...] = ()
    offset: int = 0
    sep_style: int = 2
    sep: str = " "
    sep2: str | None = "</s>"
    stop_str: str | tuple[str, ...] | None = None
    stop_token_ids: tuple[int, ...] | None = None

    @classmethod
    def from_json(cls, data: Any) -> "Conversation":
        """What a worker sent; fields that we do not know are left aside. Raises ServeError for an unknown style."""
        if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
            raise ServeError("the worker's conversation template is no FastChat conversation")
        known = {field.name for field in fields(cls)}
        values = {name: _frozen(value) for name, value in data.items() if name in known}
        if values.get("sep_style") in CHATML_NUMBERS and str(values.get("roles", ("",))[0]).startswith("<|im_start|>"):
            values |= {"sep_style": 6, "sep": f"{values.get('sep', '')}\n"}
        if values.get("sep_style", 2) not in STYLES:
            raise ServeError(
                f"the worker writes its conversations in FastChat's style {values['sep_style']}, which is not known here",
                code=ErrorCode.INVALID_MODEL,
                next_step="Serve the model with llava-graph-serve worker",
            )
        return cls(**values)

    @property
    def stops(self) -> list[str]:
        """Strings that end an answer."""
        if isinstance(self.stop_str, str):
            return [self.stop_str]
        return list(self.stop_str or ())

    def prompt(self, texts: Sequence[str]) -> str:
        """The prompt for turns that alternate, the user first and last, open for the answer."""
        style = STYLES[self.sep_style]
        system = self.system_template.replace("{system_message}", self.system_message)
        written = system + style.after_system.format(sep=self.sep) if system or style.empty_system else ""
        ends = (self.sep, (self.sep2 or "") if style.two else self.sep)
        shots = [(role, text) for role, text in self.messages]
        turns = [*shots, *((self.roles[index % 2], text) for index, text in enumerate(texts))]
        for index, (role, text) in enumerate(turns):
            written += role + style.joint + text + ends[index % 2]
        return written + self.roles[1] + style.opening

    def read(self, prompt: str) -> tuple[str, list[tuple[int, str]]] | None:
        """A prompt in the colon styles back to its system prompt and its turns (0 user, 1 assistant; text), or None.

        None: it is not written this way. Exact as long as no text contains what stands between the turns. A turn without a
        text (FastChat writes one for an empty message) is an empty text. The last turn, open for the answer, is left out.
        """
        style = STYLES[self.sep_style]
        system, found, rest = prompt.partition(style.after_system.format(sep=self.sep) + self.roles[0] + style.opening)
        opening = self.roles[1] + style.opening
        if style.joint != f"{style.opening} " or not found or not rest.endswith(opening):
            return None
        names = "|".join(re.escape(role) for role in self.roles)
        ends = "|".join(re.escape(end) for end in {self.sep, self.sep2 or self.sep})
        turn = re.compile(rf"({names}):(?: (.*?)(?:{ends})(?=(?:{names}):))?", re.DOTALL)
        written = f"{self.roles[0]}{style.opening}{rest}"
        turns, at, end = [], 0, len(written) - len(opening)
        while at < end:
            match = turn.match(written, at)
            if match is None:
                return None
            turns.append((self.roles.index(match[1]), match[2] or ""))
            at = match.end()
        return (system, turns) if at == end else None


VICUNA_V1 = Conversation(
    "vicuna_v1",
    system_message="A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    stop_str="</s>",
)
"""What LLaVA's own workers were trained with; they cannot be asked for it, and its page writes it for any model."""


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


PROBE = ("First-question.", "First-answer.", "Second-question.")


@dataclass(frozen=True)
class Pieces:
    """What a template writes around the texts of `PROBE`."""

    head: str
    """Before the first question."""
    to_answer: str
    """Between a question and its answer."""
    to_question: str
    """Between an answer and the next question."""
    opening: str
    """After the last question, open for the answer."""


def conversation_of(render: Callable[[Sequence[dict[str, Any]]], str], name: str) -> Conversation:
    """A chat template in FastChat's terms, found by rendering a probe and proven by writing the same prompt again.

    Raises ServeError 40301 when no style of FastChat's says it (a template without the user's words, for example).
    """
    roles = ("user", "assistant", "user")
    probe = [{"role": r, "content": [{"type": "text", "text": t}]} for r, t in zip(roles, PROBE, strict=True)]
    prompt = render(probe)
    parts = re.fullmatch("(.*)".join(("", *map(re.escape, PROBE), "")), prompt, re.DOTALL)
    for read in (_colon, _newline, _bare):
        found = read(Pieces(*parts.groups())) if parts else None
        if found and found.prompt(PROBE) == prompt:
            return replace(found, name=name)
    raise ServeError(
        "the model's chat template cannot be said in FastChat's terms",
        code=ErrorCode.INVALID_MODEL,
        where=name,
        next_step="Send messages instead of a prompt",
    )


def _newline(pieces: Pieces) -> Conversation | None:
    r"""`<|im_start|>user\n…<|im_end|>\n<|im_start|>assistant\n`"""
    sep, newline, answerer = pieces.to_answer.partition("\n")
    sep += newline
    asker = pieces.to_question.removeprefix(sep)
    if not (newline and answerer.endswith("\n") and asker.endswith("\n") and pieces.head.endswith(asker)):
        return None
    system = pieces.head.removesuffix(asker).removesuffix(sep)
    return _conversation(system, (asker[:-1], answerer[:-1]), 6, sep, None)


def _colon(pieces: Pieces) -> Conversation | None:
    """`… USER: … ASSISTANT: …</s>USER: … ASSISTANT:`"""
    answer, question = (
        re.fullmatch(r"(.*?)(\w+): ", piece, re.DOTALL) for piece in (pieces.to_answer, pieces.to_question)
    )
    if not answer or not question or not pieces.head.endswith(start := f"{answer[1]}{question[2]}: "):
        return None
    return _conversation(pieces.head.removesuffix(start), (question[2], answer[2]), 2, answer[1], question[1])


def _bare(pieces: Pieces) -> Conversation | None:
    """Anything whose turns open and close the same way every time; FastChat's server cannot put images into it."""
    backwards = zip(reversed(pieces.head), reversed(pieces.to_question), strict=False)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], backwards))
    asker = pieces.head[len(pieces.head) - shared :]
    end = pieces.to_question.removesuffix(asker)
    return _conversation(pieces.head.removesuffix(asker), (asker, pieces.opening), 5, "", end)


def _conversation(system: str, roles: tuple[str, str], style: int, sep: str, sep2: str | None) -> Conversation:
    stop = (sep if sep2 is None else sep2).strip()
    return Conversation(
        "", system_message=system, roles=roles, sep_style=style, sep=sep, sep2=sep2, stop_str=stop or None
    )
