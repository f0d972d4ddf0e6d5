"""The options of scores that need a model, a file or a list, and what they open. What cannot be opened is told and left out."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from llava_graph.dataset import read_dataset
from llava_graph.errors import InputError, LlavaGraphError, missing_extra
from llava_graph.evaluate.answered import OPEN
from llava_graph.evaluate.instruments import BERTSCORE, CANDIDATES, CHEXBERT, RADGRAPH, Instruments
from llava_graph.evaluate.radgraph import PACKAGE_MODELS, GraphFiles, RadGraphPackage
from llava_graph.evaluate.tasks import Task, items_of

PANEL = "Scores that need more"
REPORTS = "xray-report"

BertscoreModel = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=PANEL,
        metavar="DIR|NAME",
        help="BERTScore by this encoder: a folder, or owner/name on the hub. Published: distilbert/distilroberta-base.",
    ),
]
ChexbertModel = Annotated[
    Path | None,
    typer.Option(rich_help_panel=PANEL, help="CheXbert similarity and F1: chexbert.pth, or its folder."),
]
RadgraphModel = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=PANEL,
        metavar="NAME",
        help=f"RadGraph F1 by the package radgraph: {', '.join(PACKAGE_MODELS)}, or a folder of that name with the model.",
    ),
]
RadgraphPython = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=PANEL,
        metavar="PYTHON",
        help="With --radgraph-model: of the environment where radgraph is installed. Default: this one.",
    ),
]
RadgraphAnnotations = Annotated[
    tuple[Path, Path] | None,
    typer.Option(
        rich_help_panel=PANEL,
        metavar="REFERENCES ANSWERS",
        help="RadGraph F1 by annotations that are there already: two JSON files, {id: {text, entities}}.",
    ),
]
CandidatesFrom = Annotated[
    Path | None,
    typer.Option(
        "--candidates",
        rich_help_panel=PANEL,
        metavar="FILE|DATASET",
        help="LLaVA-Med's open accuracy: train_open_answers.json, or a data set whose train split has the answers.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class InstrumentChoice:
    """What a person has named."""

    bertscore: str | None = None
    chexbert: Path | None = None
    radgraph: str | None = None
    radgraph_python: str | None = None
    annotations: tuple[Path, Path] | None = None
    candidates: Path | None = None

    def __post_init__(self) -> None:
        """Raises InputError."""
        if (self.radgraph or self.radgraph_python) and self.annotations:
            raise InputError("--radgraph-model and --radgraph-annotations exclude each other")


def open_instruments(choice: InstrumentChoice, task: Task) -> tuple[Instruments, dict[str, str]]:
    """What there is; and by the score's name why the others are not computed."""
    found: dict[str, Any] = {}
    failed: dict[str, str] = {}

    def opened(field: str, name: str, option: str, given: object, opener: Callable[[], object]) -> None:
        if given is None:
            if task.name == REPORTS:
                failed[name] = f"{option} is not given"
            return
        try:
            found[field] = opener()
        except LlavaGraphError as error:
            failed[name] = str(error)
        except ModuleNotFoundError as error:
            missing = missing_extra(error, needed_for=name)
            if missing is None:
                raise
            failed[name] = str(missing)

    opened("bertscore", BERTSCORE, "--bertscore-model", choice.bertscore, lambda: _bertscore(choice.bertscore or ""))
    opened("chexbert", CHEXBERT, "--chexbert-model", choice.chexbert, lambda: _chexbert(choice.chexbert or Path()))
    given = choice.radgraph or choice.radgraph_python or choice.annotations
    opened("radgraph", RADGRAPH, "--radgraph-annotations", given, lambda: _radgraph(choice))
    if choice.candidates is not None:
        named = choice.candidates
        opened("candidates", CANDIDATES, "--candidates", named, lambda: read_candidates(named, task))
    return Instruments(**found), failed


def _bertscore(name: str) -> object:
    from llava_graph.evaluate.bertscore import open_bert_scorer

    return open_bert_scorer(name)


def _chexbert(place: Path) -> object:
    from llava_graph.evaluate.chexbert import open_chexbert

    return open_chexbert(place)


def _radgraph(choice: InstrumentChoice) -> object:
    if choice.annotations:
        return GraphFiles(*choice.annotations)
    return RadGraphPackage(choice.radgraph or PACKAGE_MODELS[0], choice.radgraph_python or sys.executable)


def read_candidates(place: Path, task: Task) -> tuple[str, ...]:
    """Answers of `train_open_answers.json` ({"0": [answer, …]}), or to the open questions of a data set's train split.

    Raises InputError, DatasetError.
    """
    if place.is_dir():
        items, _ = items_of(task, read_dataset(place, "train", images=False))
        found = [item.reference for item in items if item.kind == OPEN]
    else:
        try:
            rows = json.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"cannot be read ({error})", where=str(place)) from error
        lists = list(rows.values()) if isinstance(rows, dict) else [rows]
        if not all(isinstance(one, list) for one in lists):
            raise InputError("holds no lists of answers", where=str(place), next_step='Needed: {"0": ["answer", …]}')
        found = [str(answer) for one in lists for answer in one]
    if not found:
        raise InputError("has no answers to open questions", where=str(place))
    return tuple(dict.fromkeys(found))
