"""A task as lmms-eval's `utils.py` needs it: a row of the exported table in, messages, results and scores out.

The exported `utils.py` imports these, so what is computed there is what `llava-graph evaluate` computes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llava_graph.evaluate.answered import Item, Pair
from llava_graph.evaluate.measures import measure_all
from llava_graph.record import Figure

Row = Mapping[str, Any]


def doc_to_visual(doc: Row) -> list[Any]:
    """The picture, if there is one."""
    return [] if doc["image"] is None else [doc["image"].convert("RGB")]


def doc_to_text(doc: Row, lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> str:
    """Context, earlier turns and question as one text, for models that take no dialogue."""
    told = lmms_eval_specific_kwargs or {}
    return f"{told.get('pre_prompt', '')}{doc['question']}{told.get('post_prompt', '')}"


def doc_to_messages(doc: Row, lmms_eval_specific_kwargs: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The dialogue with its picture, as our own models are asked."""
    told = lmms_eval_specific_kwargs or {}
    messages: list[dict[str, Any]] = json.loads(doc["messages"])
    for message in messages:
        for part in message["content"]:
            if part["type"] == "image":
                part["url"] = doc["image"].convert("RGB")
    last = messages[-1]["content"][-1]
    last["text"] = f"{told.get('pre_prompt', '')}{last['text']}{told.get('post_prompt', '')}"
    return messages


def process_results(doc: Row, results: Sequence[str], metrics: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each metric is later computed from."""
    kept = {
        name: doc[name] for name in ("id", "figure", "kind", "turn", "request", "reference", "references", "sources")
    }
    return {metric: {**kept, "text": str(results[0])} for metric in metrics}


def aggregate(key: str) -> Callable[[Sequence[Row]], float | None]:
    """The score `key` ("strict/BLEU-4") over all rows; None where they have nothing to score."""

    def score(rows: Sequence[Row]) -> float | None:
        pairs = [
            Pair(
                item=Item(
                    id=row["id"],
                    figure=Figure(id=row["figure"], mentions=tuple(row["sources"])),
                    question=row["request"] or None,
                    reference=row["reference"],
                    references=tuple(row["references"]),
                    kind=row["kind"],
                    turn=row["turn"],
                ),
                text=row["text"],
            )
            for row in rows
        ]
        return next((one.value for one in measure_all(pairs) if one.key == key), None)

    return score
