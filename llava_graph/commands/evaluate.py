"""`llava-graph evaluate`: questions of a data set answered by a model (or a baseline, or a file) and scored."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from llava_graph.commands import asked, instruments
from llava_graph.commands.evaluating import (
    Order,
    answered_by_baseline,
    answered_by_files,
    answered_by_model,
    check_other_run,
    conclude,
    tell_lost,
)
from llava_graph.errors import InputError, did_you_mean
from llava_graph.evaluate import baselines, run
from llava_graph.evaluate.tasks import TASKS, find_task
from llava_graph.model.quantize import bits_of
from llava_graph.prompt import PromptOptions
from llava_graph.sampling import GenerationOptions

DATA, SCORES = "The data", "The scores"

Task = Annotated[str, typer.Option(help=f"{', '.join(TASKS)}.", show_default=False)]


def evaluate_command(
    task: Task,
    data: Annotated[Path, typer.Option(rich_help_panel=DATA, help="A data set of figure records.", show_default=False)],
    out: Annotated[Path, typer.Option(rich_help_panel=asked.OUTPUT, help="Folder of this run.", show_default=False)],
    split: Annotated[str, typer.Option(rich_help_panel=DATA, help="train, validation, test or all.")] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=DATA, help="Only the first so many items.")
    ] = None,
    model: asked.Model = None,
    api: asked.Api = None,
    model_base: asked.ModelBase = None,
    load_8bit: asked.Load8bit = False,
    load_4bit: asked.Load4bit = False,
    device: asked.Device = None,
    at_once: Annotated[
        int, typer.Option(min=1, max=256, rich_help_panel=asked.MODEL, help="Answers written at the same time.")
    ] = 8,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=asked.MODEL, help="Longest answer. Default: the task's.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, rich_help_panel=asked.MODEL, help="0 is greedy.")] = 0.0,
    baseline: Annotated[
        str | None,
        typer.Option(rich_help_panel=asked.MODEL, help=f"Instead of a model: {', '.join(baselines.ABOUT)}."),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=DATA, help="With --baseline: learn from the train split of this data set instead."
        ),
    ] = None,
    answers: Annotated[
        list[Path] | None,
        typer.Option(
            rich_help_panel=asked.MODEL, help="Instead of a model: score answers in LLaVA's JSONL (question_id, text)."
        ),
    ] = None,
    ocr: Annotated[
        str,
        typer.Option(
            rich_help_panel=asked.GIVEN,
            help="The text in the figures: as the records have it (records), read anew (engine), or none.",
        ),
    ] = "records",
    table: Annotated[
        bool, typer.Option("--table/--no-table", rich_help_panel=asked.GIVEN, help="Its data table.")
    ] = True,
    num_chunks: Annotated[int, typer.Option(min=1, rich_help_panel=DATA, help="Processes that share the work.")] = 1,
    chunk_idx: Annotated[int, typer.Option(min=0, rich_help_panel=DATA, help="Which of them this is, from 0.")] = 0,
    partial: Annotated[
        bool, typer.Option("--partial", rich_help_panel=SCORES, help="Score what there is, marked so.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(metavar="OUT", rich_help_panel=SCORES, help="Compare with this other run of the task."),
    ] = None,
    bertscore_model: instruments.BertscoreModel = None,
    chexbert_model: instruments.ChexbertModel = None,
    radgraph_model: instruments.RadgraphModel = None,
    radgraph_python: instruments.RadgraphPython = None,
    radgraph_annotations: instruments.RadgraphAnnotations = None,
    candidates: instruments.CandidatesFrom = None,
    resamples: Annotated[
        int, typer.Option(min=100, rich_help_panel=SCORES, help="Of bootstrap and paired test.")
    ] = 1000,
    as_json: Annotated[
        bool, typer.Option("--json", rich_help_panel=asked.OUTPUT, help="metrics.json on stdout.")
    ] = False,
) -> None:
    """Answer the questions of a data set with a model, and score the answers.

    Answers are kept as they come: the same command goes on where it was stopped. Every score stands with its 95 % interval and
    with what the model was given of the text in the figures. Exit status 1: some items have no answer, and nothing is scored.

    Examples:

        llava-graph evaluate --task vqa-rad --data vqa_rad --model llava-hf/llava-1.5-7b-hf --out runs/rad

        llava-graph evaluate --task scicap --data scicap --api http://localhost:8000/v1 --at-once 32 --ocr none --out runs/no_ocr

        llava-graph evaluate --task scicap --data scicap --baseline caption-echo --out runs/echo --against runs/no_ocr

        llava-graph evaluate --task path-vqa --data path_vqa --answers answers.jsonl --out runs/theirs

        llava-graph evaluate --task xray-report --data xray --model MODEL --out runs/xray --chexbert-model chexbert.pth
    """
    if ocr not in run.OCR_CHOICES:
        raise InputError(f"unknown choice --ocr {ocr!r}", next_step=did_you_mean(ocr, run.OCR_CHOICES))
    if sum(given is not None for given in (baseline, answers or None, model or api)) > 1:
        raise InputError("--model or --api, --baseline and --answers exclude each other")
    if num_chunks > 1 and (baseline or answers):
        raise InputError("--num-chunks is for a model's work; --baseline and --answers take no time")
    wanted = find_task(task)
    chosen = run.choose_items(wanted, run.DataChoice(folder=data, split=None if split == "all" else split, limit=limit))
    tell_lost(chosen.dropped)
    if against:
        check_other_run(chosen, against)
    order = Order(
        chosen=chosen,
        out=out,
        ocr=ocr,
        table=table,
        at_once=at_once,
        num_chunks=num_chunks,
        chunk_idx=chunk_idx,
        generation=GenerationOptions(max_new_tokens=max_new_tokens or wanted.max_new_tokens, temperature=temperature),
        partial=partial,
        resamples=resamples,
        as_json=as_json,
        against=against,
        instruments=instruments.InstrumentChoice(
            bertscore=bertscore_model,
            chexbert=chexbert_model,
            radgraph=radgraph_model,
            radgraph_python=radgraph_python,
            annotations=radgraph_annotations,
            candidates=candidates,
        ),
    )
    if answers:
        joined, context = answered_by_files(order, answers), "not known"
    elif baseline:
        joined = answered_by_baseline(order, baseline, train)
        context = run.ocr_context(chosen.items, PromptOptions(ocr=baseline in baselines.READING), "records")
    else:
        bits = bits_of(load_8bit=load_8bit, load_4bit=load_4bit)
        choice = asked.ModelChoice(model=model, api=api, base=model_base, device=device, bits=bits)
        joined, context = answered_by_model(order, choice)
    sys.exit(conclude(order, joined, context))
