"""What a run will cost: records are led through their steps with answers known or of typical length; nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from llava_graph.dataset import is_dataset
from llava_graph.errors import SampleRefused
from llava_graph.record import Figure
from llava_graph.shards import read_shards
from scicap_builder.dialogues.answers import FILE, Answer, Answers, Request, key_of
from scicap_builder.dialogues.costs import Estimate, Usage, tokens_of
from scicap_builder.dialogues.kinds import Desk, rating_request
from scicap_builder.dialogues.settling import Asked
from scicap_builder.dialogues.writing import FOLDER, DialogueOptions, records_left
from scicap_builder.progress import tell

SHARED = "clues"
"""The step that is asked once for many records."""


def estimate(folder: Path, out: Path, names: Mapping[str, str], options: DialogueOptions, desk: Desk) -> Estimate:
    """Of the records that are not in `out` yet. `names`: role -> model, for finding known answers.

    From above: held-out figures are not looked for, and with pictures no answer counts as known. Raises DatasetError.
    """
    begun = is_dataset(out) and not options.overwrite
    done = frozenset(key for shard in read_shards(out) for key in shard["keys"]) if begun else frozenset()
    with Answers(out / FOLDER / FILE, read_only=True) as answers:
        count = _Count(answers, names, options)
        for figure in records_left(folder, done, options.limit, images=False):
            count.add(figure, desk)
            if count.records % 256 == 0:
                tell("estimating the cost", count.records)
        return count.result()


class _Count:
    def __init__(self, answers: Answers, names: Mapping[str, str], options: DialogueOptions) -> None:
        self._answers, self._names, self._options = answers, names, options
        self.records = self._free = self._known = 0
        self._usage: dict[str, Usage] = {}
        self._most_in: dict[str, int] = {}
        self._most_out: dict[str, int] = {}
        self._longer = 0
        """Tokens by which the record's answers so far may be longer than typical: later requests quote them."""
        self._shared: set[str] = set()

    def add(self, figure: Figure, desk: Desk) -> None:
        """One record's requests."""
        self.records, self._longer = self.records + 1, 0
        asked = Asked(lambda request: self._ask(request, figure))
        before = self._known, sum(used.answers for used in self._usage.values())
        try:
            dialogue = asked.drive(self._options.plan.steps(figure, desk))
            if self._options.min_rating is not None:
                asked.one(rating_request(asked.context, dialogue, desk))
        except SampleRefused:
            self._free += before == (self._known, sum(used.answers for used in self._usage.values()))

    def _ask(self, request: Request, figure: Figure) -> Answer:
        stand_in = Answer(text=request.stand_in, finish_reason="stop", prompt_tokens=0, completion_tokens=0)
        if len(self._answers) or request.step == SHARED:
            key = key_of(request, self._names.get(request.role, ""), [])
            known = None if request.pictured else self._answers.get(key)
            if known is not None:
                self._known += 1
                return known
            if request.step == SHARED:
                if key in self._shared:
                    self._longer += request.generation.max_new_tokens - request.typical_tokens
                    return stand_in
                self._shared.add(key)
        pictures = [(figure.width, figure.height)] if request.pictured else []
        tokens_in, role, longest = (
            tokens_of(request.messages, pictures),
            request.role,
            request.generation.max_new_tokens,
        )
        self._usage[role] = self._usage.get(role, Usage()).plus(tokens_in, request.typical_tokens)
        # A rater reads what was said once as the dialogue, and once in what its last writer was shown.
        quoted = self._longer * (2 if role == "rater" else 1)
        self._most_in[role] = self._most_in.get(role, 0) + tokens_in + quoted
        self._most_out[role] = self._most_out.get(role, 0) + longest
        self._longer += longest - request.typical_tokens
        return stand_in

    def result(self) -> Estimate:
        """All of it."""
        return Estimate(
            records=self.records,
            free=self._free,
            known=self._known,
            usage=self._usage,
            most_in=self._most_in,
            most_out=self._most_out,
        )
