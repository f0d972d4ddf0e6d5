"""A task's items as other evaluation harnesses load them: lmms-eval (a folder for `--include_path`), VLMEvalKit (a TSV).

In: items with pixels. Out: files. The context stands in the question, as our own models are shown it.
"""

from __future__ import annotations

import base64
import csv
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from llava_graph.durable import put_in_place, write_text
from llava_graph.errors import ImageError, InputError
from llava_graph.evaluate.answered import CHOICE, LABEL, Item, Pair
from llava_graph.evaluate.choices import LETTERS, listed_choices
from llava_graph.evaluate.measures import measure_all, sources_of
from llava_graph.evaluate.tasks import Task
from llava_graph.evaluate.words import PINNED
from llava_graph.images import encode_png, open_image
from llava_graph.prompt import Message, PromptOptions, build_messages
from llava_graph.record import Dropped

HARNESSES = ("lmms-eval", "vlmevalkit")
FEATURES = {
    **{
        name: {"dtype": "string", "_type": "Value"}
        for name in ("id", "figure", "kind", "request", "question", "messages")
    },
    "reference": {"dtype": "string", "_type": "Value"},
    "references": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    "turn": {"dtype": "int64", "_type": "Value"},
    "sources": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    "image": {"_type": "Image"},
}
"""Columns as `datasets` describes them, so that the image comes decoded."""


def rows_of(items: Iterable[Item], options: PromptOptions, dropped: list[Dropped]) -> Iterator[dict[str, Any]]:
    """A row an item; one whose picture cannot be opened is left out and told in `dropped`."""
    for item in items:
        try:
            png = None if item.figure.image is None else encode_png(open_image(item.figure.image, where=item.id))
        except ImageError as error:
            dropped.append(Dropped(item=item.id, reason="bad-image", detail=error.what))
            continue
        messages = build_messages(item.figure, item.question, options, history=item.history)
        yield {
            "id": item.id,
            "figure": item.figure.id,
            "kind": item.kind,
            "turn": item.turn,
            "request": item.question or "",
            "question": flat(messages),
            "messages": json.dumps(messages, ensure_ascii=False),
            "reference": item.reference,
            "references": list(item.references),
            "sources": sources_of(Pair(item=item, text="")),
            "image": None if png is None else {"bytes": png, "path": None},
        }


def flat(messages: list[Message]) -> str:
    """A dialogue as one text; the only turn by itself."""
    texts = ["\n".join(part["text"] for part in message["content"] if part["type"] == "text") for message in messages]
    if len(texts) == 1:
        return texts[0]
    names = {"user": "Question", "assistant": "Answer"}
    return "\n".join(f"{names[message['role']]}: {text}" for message, text in zip(messages, texts, strict=True))


def write_lmms_eval(rows: Iterable[dict[str, Any]], out: Path, task: Task, context: str) -> Path:
    """`items.parquet`, `utils.py` and the task's YAML; the YAML's path. Raises InputError for no rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = list(rows)
    if not table:
        raise InputError("there is nothing to export")
    out.mkdir(parents=True, exist_ok=True)
    info = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    part = out / "items.parquet.part"
    pq.write_table(pa.Table.from_pylist(table, schema=_schema(pa)).replace_schema_metadata(info), part)
    put_in_place(part, out / "items.parquet")
    names = {re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_"): key for key in _keys(table)}
    write_text(out / "utils.py", _utils(names))
    place = out / f"llava_graph_{task.name.replace('-', '_')}.yaml"
    write_text(place, _yaml(out, task, context, list(names)))
    return place


def _schema(pa: Any) -> Any:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    texts = pa.list_(pa.string())
    kinds = {"turn": pa.int64(), "references": texts, "sources": texts, "image": image}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in FEATURES])


def _keys(table: list[dict[str, Any]]) -> list[str]:
    """Scores that the kinds of these items have; every label has its own."""
    from llava_graph.record import Figure

    some = {(row["kind"], row["reference"] if row["kind"] == LABEL else ""): row for row in reversed(table)}
    pairs = [
        Pair(
            item=Item(
                id=row["id"],
                figure=Figure(id="x"),
                question=row["request"],
                reference=row["reference"],
                kind=row["kind"],
            ),
            text="1",
        )
        for row in some.values()
    ]
    return [one.key for one in measure_all(pairs)]


def _utils(names: dict[str, str]) -> str:
    scores = "\n".join(f"{name} = aggregate({key!r})" for name, key in names.items())
    return f'''"""Scores of `llava-graph evaluate`, for lmms-eval. Needs llava-graph installed."""

from llava_graph.evaluate import harness
from llava_graph.evaluate.harness import aggregate, doc_to_messages, doc_to_text, doc_to_visual

METRICS = {list(names)!r}

{scores}


def process_results(doc, results):
    return harness.process_results(doc, results, METRICS)
'''


def _yaml(out: Path, task: Task, context: str, names: list[str]) -> str:
    metrics = "\n".join(
        f"  - metric: {name}\n    aggregation: !function utils.{name}\n    higher_is_better: true" for name in names
    )
    return f"""# {task.about} Written by `llava-graph export-task`.
task: llava_graph_{task.name.replace("-", "_")}
dataset_path: parquet
dataset_kwargs:
  data_files:
    test: {json.dumps(str((out / "items.parquet").resolve()))}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_messages: !function utils.doc_to_messages
doc_to_target: "reference"
process_results: !function utils.process_results
generation_kwargs:
  max_new_tokens: {task.max_new_tokens}
  temperature: 0
  do_sample: false
metric_list:
{metrics}
lmms_eval_specific_kwargs:
  default:
    pre_prompt: ""
    post_prompt: ""
metadata:
  version: 1.0
  ocr_context: {json.dumps(context)}
  words: {PINNED}
"""


def write_vlmevalkit(rows: Iterable[dict[str, Any]], out: Path, task: Task) -> Path:
    """`llava_graph_TASK.tsv` for $LMUData: VLMEvalKit takes it as CustomVQA or, with choices, as CustomMCQ."""
    out.mkdir(parents=True, exist_ok=True)
    place = out / f"llava_graph_{task.name.replace('-', '_')}.tsv"
    part = place.with_name(place.name + ".part")
    count = 0
    with part.open("w", encoding="utf-8", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for count, row in enumerate(rows, 1):
            line = _tsv_row(count - 1, row)
            if writer is None:
                writer = csv.DictWriter(file, list(line), delimiter="\t", extrasaction="ignore", restval="")
                writer.writeheader()
            writer.writerow(line)
    if not count:
        part.unlink()
        raise InputError("there is nothing to export")
    put_in_place(part, place)
    return place


def _tsv_row(index: int, row: dict[str, Any]) -> dict[str, Any]:
    picture = base64.b64encode(row["image"]["bytes"]).decode() if row["image"] else ""
    line = {"index": index, "image": picture, "question": row["question"], "answer": row["reference"]}
    if row["kind"] == CHOICE:
        choices = listed_choices(row["request"])
        bare = row["question"].split("\nA: ")[0]
        line |= {
            "question": bare,
            "answer": row["reference"].strip()[:1],
            **{one: choices.get(one, "") for one in LETTERS},
        }
    return {**line, "category": row["kind"], "id": row["id"]}
