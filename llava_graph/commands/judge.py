"""`llava-graph judge`: a run's answers rated by a language model behind an API."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from llava_graph.command import note, stderr
from llava_graph.commands import asked
from llava_graph.commands.scores import printed_scores
from llava_graph.durable import read_json, write_json
from llava_graph.errors import InputError
from llava_graph.evaluate import judge, run
from llava_graph.evaluate.judging import Cache, judge_cases
from llava_graph.evaluate.tasks import TASKS, find_task
from llava_graph.explain import Answerer

RATING, SIMILARITY, REFERENCE = "rating", "similarity", "reference"
SINGLE = {
    RATING: (judge.rating_case, judge.rating_measures),
    SIMILARITY: (judge.similarity_case, judge.similarity_measures),
}
"""What is judged by itself: what is asked, what comes of it."""


def judge_command(
    task: Annotated[str, typer.Option(help=f"{', '.join(TASKS)}.", show_default=False)],
    data: Annotated[Path, typer.Option(help="The data set that was asked about.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the run.", show_default=False)],
    api: Annotated[str, typer.Option(metavar="URL", help="Key: OPENAI_API_KEY.", show_default=False)],
    model: Annotated[str | None, typer.Option(help="The judge's name there.")] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="rating|similarity|reference|OUT",
            help="Rate each answer from 0 to 10, or its likeness to the reference (PA-LLaVA); or compare it, in both orders, "
            "with the reference or another run's answer.",
        ),
    ] = RATING,
    split: Annotated[str, typer.Option(help="As the run was made with.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many items.")] = None,
    at_once: Annotated[int, typer.Option(min=1, max=256, help="Cases asked at the same time.")] = 8,
    resamples: Annotated[int, typer.Option(min=100, help="Of the bootstrap.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="The file of scores on stdout.")] = False,
) -> None:
    """Let a language model judge the answers of a run.

    It reads caption, paragraphs, question and answers, not the picture. Its words are kept in OUT/verdicts.jsonl;
    words that are no rating are counted and not averaged. Scores and the judge's name stand
    in OUT/judged.json, judged-similarity.json, judged-reference.json or judged-RUN.json.

    Examples:

        llava-graph judge --task scigraphqa --data scigraphqa --out runs/a --api http://localhost:8000/v1

        llava-graph judge --task llava-med-qa50 --data qa50 --out runs/a --api URL --model NAME --against reference

        llava-graph judge --task path-vqa --data path_vqa --out runs/p --api URL --model NAME --against similarity

        llava-graph judge --task scicap --data scicap --out runs/b --api http://localhost:8000/v1 --against runs/a
    """
    choice = run.DataChoice(folder=data, split=None if split == "all" else split, limit=limit)
    chosen = run.choose_items(find_task(task), choice)
    cases = make_cases(chosen, out, against)
    answerer = asked.open_answerer(asked.ModelChoice(model=model, api=api))
    verdicts, failed = ask_judge(answerer, cases, out, at_once)
    ids = list(dict.fromkeys(case.item for case in cases))
    measures = (SINGLE[against][1] if against in SINGLE else judge.pair_measures)(ids, verdicts)
    found = {
        "task": task,
        "judge": answerer.name,
        "against": against,
        "items": len(chosen.items),
        "answered": len({item for item, _ in verdicts}),
        "complete": len(verdicts) == len(cases) and len(ids) == len(chosen.items),
        "problems": dict(failed),
        "scores": run.score_rows(measures, chosen.groups, _context(out), resamples),
    }
    for reason, count in failed.items():
        note(f"{reason}: {count} cases without a verdict")
    write_json(out / result_name(against), found)
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print(f"judge: {answerer.name}\n{printed_scores(found)}")
    sys.exit(0 if found["complete"] else 1)


def result_name(against: str) -> str:
    """Each way of judging has a file of its own, so that none takes another's place: ratings judged.json, others by name."""
    if against == RATING:
        return "judged.json"
    return f"judged-{against if against in (SIMILARITY, REFERENCE) else Path(against).resolve().name}.json"


def make_cases(chosen: run.Chosen, out: Path, against: str) -> list[judge.Case]:
    """What the judge is asked. Raises InputError: a folder without answers, or nothing to judge."""
    pairs = run.read_run(out, chosen.items).pairs
    if against in SINGLE:
        cases = [SINGLE[against][0](pair.item, pair.text) for pair in pairs]
    else:
        other = {item.id: item.reference for item in chosen.items}
        if against != REFERENCE:
            other = {pair.item.id: pair.text for pair in run.read_run(Path(against), chosen.items).pairs}
        both = [pair for pair in pairs if pair.item.id in other]
        cases = [case for pair in both for case in judge.pair_cases(pair.item, other[pair.item.id], pair.text)]
    if not cases:
        raise InputError("there is nothing to judge", where=str(out), next_step="Do both runs answer the same items?")
    return cases


def ask_judge(
    answerer: Answerer, cases: Sequence[judge.Case], out: Path, at_once: int
) -> tuple[dict[tuple[str, int], str], Counter[str]]:
    """The judge's words by case, and failures by reason."""
    verdicts: dict[tuple[str, int], str] = {}
    failed: Counter[str] = Counter()
    with Cache(out / "verdicts.jsonl") as cache:
        asking = judge_cases(answerer, cases, cache, at_once=at_once)
        shown = track(asking, "judging", len(cases), console=stderr, transient=True, disable=not stderr.is_terminal)
        for case, said in shown:
            if isinstance(said, str):
                verdicts[case.item, case.order] = said
            else:
                failed[said.reason] += 1
    return verdicts, failed


def _context(out: Path) -> str:
    """What the answering model was given of the text in the figures."""
    path = out / "metrics.json"
    told = read_json(path) if path.exists() else None
    return str(told.get("ocr_context", "not known")) if isinstance(told, dict) else "not known"
