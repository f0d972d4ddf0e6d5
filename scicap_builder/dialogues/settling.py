"""One record: led through the steps of its kind, rated, and settled: with its dialogue, or with the reason why it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llava_graph.errors import ImageError, SampleRefused
from llava_graph.evaluate.judge import read_rating
from llava_graph.images import open_image
from llava_graph.record import Dropped, Figure
from scicap_builder.dialogues.answers import Answer, Request
from scicap_builder.dialogues.kinds import Desk, Kind, rating_request
from scicap_builder.dialogues.parse import Dialogue

LONGEST_SIDE_PX = 2048
"""Of a picture that is sent; larger ones are made smaller, as OpenAI's servers do."""
LOW_RATING = "low-rating"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """A record that is done."""

    key: str
    result: Figure | Dropped
    left_out: Counter[str] = field(default_factory=Counter)
    rating: float | None = None


def settle(
    figure: Figure, kind: Kind, desk: Desk, ask: Callable[[str, Request, Sequence[Any]], Answer], least: float | None
) -> Settled:
    """One record: with its dialogue, or why it has none; rated where there is a least rating. Raises what asking raises."""
    rating = None
    try:
        images = [_picture(figure)] if desk.with_image else []
        asked = Asked(lambda request: ask(figure.id, request, images if request.pictured else []))
        dialogue = asked.drive(kind.steps(figure, desk))
        if least is not None:
            rating = rated(asked.one(rating_request(asked.context, dialogue, desk)), desk)
            if rating < least:
                raise SampleRefused(f"rated {rating:g}, wanted {least:g}", reason=LOW_RATING)
    except SampleRefused as error:
        dropped = Dropped(item=figure.id, reason=error.reason, detail=" ".join(error.what.split())[:300])
        return Settled(key=figure.id, result=dropped, rating=rating)
    except ImageError as error:
        return Settled(key=figure.id, result=Dropped(item=figure.id, reason="image-broken", detail=error.what))
    return Settled(
        key=figure.id, result=replace(figure, turns=dialogue.turns), left_out=dialogue.left_out, rating=rating
    )


class Asked:
    """Leads steps through their requests."""

    def __init__(self, ask: Callable[[Request], Answer]) -> None:
        self.one = ask
        self.context = ""
        """The quoted parts of the last request."""

    def drive(self, steps: Generator[Request, Answer, Dialogue]) -> Dialogue:
        """To the end. Raises SampleRefused of the steps and what asking raises."""
        try:
            request = next(steps)
            while True:
                self.context = request.context
                request = steps.send(self.one(request))
        except StopIteration as done:
            found: Dialogue = done.value
            return found


def rated(answer: Answer, desk: Desk) -> float:
    """0..10. Raises SampleRefused (rating-not-read)."""
    try:
        said = desk.spoken("rating", answer)
    except SampleRefused as error:
        raise SampleRefused(f"{error.reason}: {error.what}", reason="rating-not-read") from error
    rating = read_rating(said)
    if rating is None:
        raise SampleRefused(said[:200], reason="rating-not-read")
    return rating


def _picture(figure: Figure) -> Any:
    if figure.image is None:
        raise SampleRefused("nothing to look at", reason="no-image")
    image = open_image(figure.image, where=figure.id)
    image.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX))
    return image
