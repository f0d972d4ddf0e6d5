"""RadGraph F1 (Jain et al. 2021; CXR-Report-Metric, Yu et al. 2023): what two radiology reports say, as graphs.

In: graphs, from annotation files in RadGraph's own form or from the package `radgraph`. Out: how much two of them have in common.

{"ID": {"text": "…", "entities": {"1": {"tokens": "effusion", "label": "Observation::definitely present", "relations":
[["located_at", "2"]]}, …}}}
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from llava_graph.errors import CheckpointError, InputError
from llava_graph.evaluate.answered import Item, Pair
from llava_graph.evaluate.answers import items_by_name

Entity = tuple[str, str]
"""Words and label."""
PACKAGE_MODELS = ("radgraph", "radgraph-xl", "modern-radgraph-xl")


@dataclass(frozen=True)
class Graph:
    """One report."""

    entities: frozenset[Entity] = frozenset()
    relations: frozenset[tuple[Entity, str, Entity]] = frozenset()
    text: str = ""
    """Of the report, as the annotation has it: its words apart."""


@dataclass(frozen=True)
class Graphs:
    """Both sides of the items that have them, by the items' ids, and what did not fit."""

    found: Mapping[str, tuple[Graph, Graph]]
    """(of the answer, of the reference)"""
    problems: Mapping[str, int] = field(default_factory=dict)
    """reason -> items"""


class Annotator(Protocol):
    """Whatever knows the graphs of answers and references."""

    def __call__(self, pairs: Sequence[Pair]) -> Graphs:
        """Of the pairs that have them."""


def f1(answer: frozenset[Any], reference: frozenset[Any]) -> float:
    """Of two sets; 0 where either is empty."""
    return 2 * len(answer & reference) / (len(answer) + len(reference)) if answer and reference else 0.0


def published_radgraph_f1(answer: Graph, reference: Graph) -> float:
    """Half the entities' F1 and half the relations', as CXR-Report-Metric.

    Two reports that both have no relation get 0 for it: a perfect answer to "No pneumothorax." scores 0.5.
    """
    return (f1(answer.entities, reference.entities) + f1(answer.relations, reference.relations)) / 2


def radgraph_f1(answer: Graph, reference: Graph) -> float | None:
    """The mean over those of entities and relations that at least one of the reports has; None where neither says anything."""
    parts = [
        f1(mine, theirs)
        for mine, theirs in ((answer.entities, reference.entities), (answer.relations, reference.relations))
        if mine or theirs
    ]
    return sum(parts) / len(parts) if parts else None


def read_graph(annotation: Any) -> Graph:
    """One report's annotation. Raises ValueError with what is wrong. Relations to an entity that is not there are left out."""
    if not isinstance(annotation, Mapping) or not isinstance(annotation.get("entities"), Mapping):
        raise ValueError("no 'entities'")
    entities, relations = {}, set()
    for name, one in annotation["entities"].items():
        if (
            not isinstance(one, Mapping)
            or not isinstance(one.get("tokens"), str)
            or not isinstance(one.get("label"), str)
        ):
            raise ValueError(f"entity {name} has no 'tokens' and 'label'")
        entities[str(name)] = (one["tokens"], one["label"])
    for name, one in annotation["entities"].items():
        for relation in one.get("relations", ()):
            if len(relation) != 2:
                raise ValueError(f"a relation of entity {name} is no pair")
            if str(relation[1]) in entities:
                relations.add((entities[str(name)], str(relation[0]), entities[str(relation[1])]))
    return Graph(frozenset(entities.values()), frozenset(relations), str(annotation.get("text", "")))


def read_graphs(file: Path, items: Sequence[Item]) -> tuple[dict[str, Graph], dict[str, int]]:
    """Graphs by item, and how many could not be used by reason. Raises InputError: the file is no such annotation."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", where=str(file)) from error
    if not isinstance(rows, dict):
        raise InputError(
            "holds no annotations by id", where=str(file), next_step="RadGraph writes {id: {text, entities}}"
        )
    known = items_by_name(items)
    graphs: dict[str, Graph] = {}
    problems: dict[str, int] = {}
    for name, row in rows.items():
        item = known.get(name)
        reason = "" if item else "no-such-item"
        if item:
            try:
                graphs[item.id] = read_graph(row)
            except (ValueError, TypeError):
                reason = "no-graph"
        if reason:
            problems[reason] = problems.get(reason, 0) + 1
    if rows and not graphs:
        first = next(iter(rows))
        raise InputError(
            f"no annotation belongs to an item ({first!r}, …)", where=str(file), next_step="Keys are the items' ids"
        )
    return graphs, problems


@dataclass(frozen=True)
class GraphFiles:
    """Annotations that were made before, of references and of answers."""

    references: Path
    answers: Path

    def __call__(self, pairs: Sequence[Pair]) -> Graphs:
        """Pairs whose both texts are annotated as they stand. Raises InputError: a file is no annotation."""
        items = [pair.item for pair in pairs]
        (theirs, lost), (mine, more) = read_graphs(self.references, items), read_graphs(self.answers, items)
        problems = {name: lost.get(name, 0) + more.get(name, 0) for name in {**lost, **more}}
        found: dict[str, tuple[Graph, Graph]] = {}
        for pair in pairs:
            answer, reference = mine.get(pair.item.id), theirs.get(pair.item.id)
            if not pair.text.strip():
                answer = Graph()
            if answer is None or reference is None:
                reason = "not-annotated"
            elif not (_same(answer.text, pair.text) and _same(reference.text, pair.item.reference)):
                reason = "other-text"
            else:
                found[pair.item.id] = (answer, reference)
                continue
            problems[reason] = problems.get(reason, 0) + 1
        return Graphs(found, problems)


def _same(annotated: str, text: str) -> bool:
    """Whether an annotation is of this text: RadGraph sets words apart and changes signs."""
    one, other = (re.sub(r"[\W_]+", "", part).lower() for part in (annotated, text))
    return one == other


@dataclass(frozen=True)
class RadGraphPackage:
    """Stanford's package `radgraph` (MIT), in an environment of its own: 0.1.18 needs transformers 4.

    It downloads its model once.
    """

    model: str = PACKAGE_MODELS[0]
    """One of PACKAGE_MODELS, or a folder of that name with the unpacked model."""
    python: str = sys.executable
    """Of an environment where the package is installed."""

    def __call__(self, pairs: Sequence[Pair]) -> Graphs:
        """Of every pair. Raises InputError: no such model; CheckpointError: the package is not there, or does not run."""
        if Path(self.model).name not in PACKAGE_MODELS:
            raise InputError(f"unknown RadGraph model {self.model!r}", next_step=f"Known: {', '.join(PACKAGE_MODELS)}")
        texts = list(dict.fromkeys(text for pair in pairs for text in (pair.text, pair.item.reference) if text.strip()))
        found = self._annotated(texts)
        try:
            graphs = {text: read_graph(found[str(place)]) for place, text in enumerate(texts) if str(place) in found}
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"RadGraph gives no graphs ({error})", where=self.python) from error
        both = {
            pair.item.id: (graphs.get(pair.text, Graph()), graphs[pair.item.reference])
            for pair in pairs
            if pair.item.reference in graphs and (pair.text in graphs or not pair.text.strip())
        }
        lost = len(pairs) - len(both)
        return Graphs(both, {"not-annotated": lost} if lost else {})

    def _annotated(self, texts: Sequence[str]) -> dict[str, Any]:
        """Annotations by the texts' places. What the package prints is only looked at when it fails."""
        with tempfile.TemporaryDirectory() as folder:
            asked, answered = Path(folder) / "texts.json", Path(folder) / "graphs.json"
            asked.write_text(json.dumps(texts), encoding="utf-8")
            # As text: run as a file, its folder would come before the standard library there, and has a `numbers` too.
            program = Path(__file__).with_name("radgraph_process.py").read_text(encoding="utf-8")
            command = [self.python, "-c", program, self.model, str(asked), str(answered)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode == 0:
                    found: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
                    return found
            except (OSError, ValueError) as error:
                raise CheckpointError(f"RadGraph does not run ({error})", where=self.python) from error
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise CheckpointError(
            f"RadGraph does not run ({lines[-1][:160]})",
            where=self.python,
            next_step="Give --radgraph-python of an environment with radgraph, requests and transformers<5, or annotations",
        )
