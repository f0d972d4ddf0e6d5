"""A quantized checkpoint beside the one that it was made from. In: both, questions. Out: the agreement, in its files."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from llava_graph.durable import read_json, write_json
from llava_graph.errors import InputError
from llava_graph.model.load import load
from llava_graph.model.quantizing.agreement import agreement, as_dict, ask_full
from llava_graph.model.quantizing.answering import Question
from llava_graph.model.quantizing.artefact import write_card
from llava_graph.record import Dropped


def check_checkpoint(
    quantized: Path,
    source: Path | str | None,
    questions: Sequence[Question],
    *,
    data: str,
    task: str | None = None,
    max_new_tokens: int = 128,
    device: str | None = None,
    tick: Callable[[], None] = lambda: None,
) -> tuple[Dropped, ...]:
    """Ask both, one after the other, and write the agreement into config.json (`about.quantized.agreement`) and README.md.

    `source` None is the packaged model; `data` says what is asked; `tick` is called for every question of each. Returns the
    questions that could not be asked. Raises InputError where none could, and where there is no room.
    """
    with tempfile.TemporaryDirectory(prefix="llava-graph-") as folder:
        full = ask_full(
            load(source, device=device),
            questions,
            Path(folder),
            max_new_tokens=max_new_tokens,
            task=task,
            tick=tick,
        )
        gc.collect()  # the full model makes room for the other
        found = agreement(load(quantized, device=device), full, data=data, tick=tick)
    if found is None:
        first = full.dropped[0]
        raise InputError(f"no question can be asked ({first.reason}: {first.detail})", where=first.item)
    config = read_json(quantized / "config.json")
    config["about"]["quantized"]["agreement"] = as_dict(found)
    try:
        write_json(quantized / "config.json", config)
        write_card(quantized)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror or error})", where=str(quantized)) from error
    return full.dropped
