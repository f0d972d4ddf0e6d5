"""`llava-graph export-task`: a task's questions for other evaluation harnesses."""

from pathlib import Path
from typing import Annotated

import typer

from llava_graph.command import stderr
from llava_graph.commands.evaluating import tell_lost
from llava_graph.errors import InputError, did_you_mean
from llava_graph.evaluate import run
from llava_graph.evaluate.harness_export import HARNESSES, rows_of, write_lmms_eval, write_vlmevalkit
from llava_graph.evaluate.tasks import TASKS, find_task
from llava_graph.prompt import PromptOptions
from llava_graph.record import Dropped


def export_task_command(
    task: Annotated[str, typer.Option(help=f"{', '.join(TASKS)}.", show_default=False)],
    data: Annotated[Path, typer.Option(help="A data set of figure records.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write into.", show_default=False)],
    to: Annotated[str, typer.Option(help=f"{', '.join(HARNESSES)}.")] = HARNESSES[0],
    split: Annotated[str, typer.Option(help="train, validation, test or all.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many items.")] = None,
    ocr: Annotated[bool, typer.Option("--ocr/--no-ocr", help="The text in the figures, in the question.")] = True,
    ocr_style: Annotated[
        str, typer.Option(help="How it is written: boxes, words. A model is best asked as it was trained.")
    ] = "boxes",
    table: Annotated[bool, typer.Option("--table/--no-table", help="The chart's data table, in the question.")] = True,
    max_context_tokens: Annotated[int, typer.Option(min=0, help="Budget of the context.")] = 512,
) -> None:
    """Write a task for lmms-eval or VLMEvalKit: the same questions, with the same context; lmms-eval computes the same scores.

    Examples:

        llava-graph export-task --task scicap --data scicap --out harness
        lmms-eval --include_path harness --tasks llava_graph_scicap --model openai --model_args model_version=NAME,base_url=URL

        llava-graph export-task --task pmc-vqa --data pmc_vqa --to vlmevalkit --out ~/LMUData
    """
    if to not in HARNESSES:
        raise InputError(f"unknown harness {to!r}", next_step=did_you_mean(to, HARNESSES))
    wanted = find_task(task)
    chosen = run.choose_items(wanted, run.DataChoice(folder=data, split=None if split == "all" else split, limit=limit))
    own = PromptOptions(ocr_style=ocr_style, max_context_tokens=max_context_tokens)
    options = wanted.options(own, ocr=ocr, table=table)
    dropped: list[Dropped] = [*chosen.dropped]
    rows = rows_of(run.with_pixels(chosen.items, chosen.data), options, dropped)
    context = run.ocr_context(chosen.items, options, "records")
    place = write_lmms_eval(rows, out, wanted, context) if to == HARNESSES[0] else write_vlmevalkit(rows, out, wanted)
    tell_lost(dropped)
    stderr.print(f"written: {place}  ({len(chosen.items)} items, OCR context: {context})")
