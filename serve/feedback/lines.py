"""One line of the log, exactly as FastChat writes it (`gradio_web_server.py`, `gradio_block_arena_anony.py`): chats, votes on
one answer, votes between two. In: what was asked and answered. Out: plain JSON values. Pure.

FastChat's own analysis scripts read a message as one string, so a message is its text; what is ours beside their fields
(`images`, `figure`, `usage`, `feedback`) stands under names that they do not know and pass over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llava_graph.errors import InputError, did_you_mean
from llava_graph.record import Figure, Turn, plain
from serve.client import Sampling

ROLES = {"user": "USER", "assistant": "ASSISTANT"}
ANSWER_VOTES = ("upvote", "downvote", "flag")
BATTLE_VOTES = ("leftvote", "rightvote", "tievote", "bothbad_vote")
REASONS = {
    "wrong_number": "wrong number",
    "wrong_trend": "wrong trend",
    "hallucinated_label": "names something that is not there",
    "unsupported_claim": "claims what nothing supports",
    "hard_to_understand": "hard to understand",
    "other": "other",
}
"""Why an answer is bad: the name in the log, and the words on the page."""
MAX_COMMENT_CHARS, MAX_CORRECTED_CHARS = 2_000, 20_000


@dataclass(frozen=True, kw_only=True)
class Talk:
    """A conversation with one model, as far as the log tells it."""

    id: str
    """The same in all lines of one conversation."""
    model: str
    turns: tuple[Turn, ...]
    template: str = ""
    figure: Figure | None = None
    """None unless the visitor agreed that the figure is kept too; its pixels are told by `images`."""
    images: tuple[str, ...] = ()
    """MD5 of the pixels, the name under which they are kept: `serve_images/<md5>.png`."""

    def until(self, answer: int) -> "Talk":
        """The conversation up to answer number `answer`, from 0, which is then the last one. Raises InputError."""
        ends = [place for place, turn in enumerate(self.turns, 1) if turn.role == "assistant"]
        if not 0 <= answer < len(ends):
            raise InputError(f"there is no answer number {answer}", next_step="Reload the page")
        return replace(self, turns=self.turns[: ends[answer]])


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What a visitor says about one answer. Raises InputError for what no page of ours sends."""

    vote: str
    reasons: tuple[str, ...] = ()
    comment: str = ""
    corrected: str = ""
    """The answer as it should have been."""

    def __post_init__(self) -> None:
        if self.vote not in ANSWER_VOTES:
            raise InputError(f"unknown vote {self.vote!r}", next_step=did_you_mean(self.vote, ANSWER_VOTES))
        for reason in self.reasons:
            if reason not in REASONS:
                raise InputError(f"unknown reason {reason!r}", next_step=did_you_mean(reason, REASONS))
        for name, limit in (("comment", MAX_COMMENT_CHARS), ("corrected", MAX_CORRECTED_CHARS)):
            if len(getattr(self, name)) > limit:
                raise InputError(f"the {name} is longer than {limit:,} characters", next_step="Shorten it")


def chat_line(
    talk: Talk,
    sampling: Sampling,
    *,
    start: float,
    finish: float,
    visitor: str = "",
    completion_tokens: int | None = None,
) -> dict[str, Any]:
    """An answer that was given. `start`, `finish`: seconds since 1970. `visitor`: never an address."""
    line = {
        "tstamp": round(finish, 4),
        "type": "chat",
        "model": talk.model,
        "gen_params": {name: getattr(sampling, name) for name in ("temperature", "top_p", "max_new_tokens")},
        "start": round(start, 4),
        "finish": round(finish, 4),
        "state": state_of(talk),
        "ip": visitor,
    }
    return line if completion_tokens is None else line | {"usage": {"completion_tokens": completion_tokens}}


def vote_line(talk: Talk, feedback: Feedback, *, now: float, visitor: str = "") -> dict[str, Any]:
    """A vote on the last answer of `talk`."""
    line = {
        "tstamp": round(now, 4),
        "type": feedback.vote,
        "model": talk.model,
        "state": state_of(talk),
        "ip": visitor,
    }
    said = {
        "reasons": list(feedback.reasons),
        "comment": feedback.comment.strip(),
        "corrected": feedback.corrected.strip(),
    }
    return line | {"feedback": said} if any(said.values()) else line


def battle_line(left: Talk, right: Talk, vote: str, *, now: float, visitor: str = "") -> dict[str, Any]:
    """A vote between two answers whose models were not named: FastChat's sign of that are two empty names. Raises InputError."""
    if vote not in BATTLE_VOTES:
        raise InputError(f"unknown vote {vote!r}", next_step=did_you_mean(vote, BATTLE_VOTES))
    return {
        "tstamp": round(now, 4),
        "type": vote,
        "models": ["", ""],
        "states": [state_of(left), state_of(right)],
        "ip": visitor,
    }


def state_of(talk: Talk) -> dict[str, Any]:
    """FastChat's `State.dict()`."""
    state: dict[str, Any] = {
        "template_name": talk.template,
        "system_message": "",
        "roles": list(ROLES.values()),
        "messages": _messages(talk.turns),
        "offset": 0,
        "conv_id": talk.id,
        "model_name": talk.model,
    }
    if talk.images:
        state["images"] = list(talk.images)
    if talk.figure is not None:
        record = plain(talk.figure)
        # The licence of the paper goes wherever its figure goes.
        state["figure"] = record | {
            "image": None,
            "turns": [],
            "licence": talk.figure.licence or talk.figure.paper.licence,
        }
    return state


def _messages(turns: Sequence[Turn]) -> list[list[str]]:
    return [[ROLES[turn.role], turn.text] for turn in turns]
