"""A check of the paper's claims as the conversation shows it: what the paper says, what the model says to it, what is written
in the figure. Values in, values out."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from llava_graph.claims import Checked, Claim, checked_in, claims_of, numbers_inside
from llava_graph.record import Figure

CHECK = "Check the paper’s claims against the figure."


def check_view(text: str, claims: Sequence[Claim], figure: Figure, *, complete: bool) -> dict[str, Any] | None:
    """The answer to a check for blocks.js: one block of kind "claims"; None for an answer in another form."""
    # The last line of a growing answer may still turn "no" into "not shown".
    checked = checked_in(text if complete else text[: text.rfind("\n") + 1], len(claims))
    if complete and not checked:
        return None
    block = {"kind": "claims", "claims": list(_shown(claims, checked, figure))}
    return {"blocks": [block] if text else [], "sentences": [], "marks": []}


def _shown(claims: Sequence[Claim], checked: Sequence[Checked], figure: Figure) -> Iterator[dict[str, Any]]:
    said = {one.number: one for one in checked}
    for number, claim in enumerate(claims):
        there, missing = numbers_inside(claim, figure)
        told = [f"written in the figure: {', '.join(there)}"] if there else []
        told += [f"not written in it: {', '.join(missing)}"] if missing else []
        one = said.get(number)
        yield {
            "text": claim.text,
            "chip": _chip(claim),
            "verdict": one.verdict if one else "",
            "reason": one.reason if one else "",
            "numbers": f"Its numbers: {'; '.join(told)}." if told else "",
        }


def _chip(claim: Claim) -> dict[str, Any]:
    if claim.paragraph is None:
        return {"label": "caption", "caption": True}
    return {"label": f"¶ {claim.paragraph + 1}", "paragraph": claim.paragraph}


def count_claims(figure: Figure) -> int:
    """How many claims there are to check."""
    return _count(figure.caption, figure.mentions)


@lru_cache(maxsize=64)
def _count(caption: str, mentions: tuple[str, ...]) -> int:
    return len(claims_of(Figure(id="-", caption=caption, mentions=mentions)))
