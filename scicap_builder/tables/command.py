"""`scicap_builder tables`: the options, a bar, the counts at the end."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from llava_graph.errors import InputError
from llava_graph.explain import Answerer
from llava_graph.tables.requests import DEPLOT, DEPLOT_TOKENS, REQUESTS, TABLE_TOKENS, request_named
from scicap_builder.sources.access import MAY_BE_SENT, refuse_leaks
from scicap_builder.sources.command import step_bar


def tables_command(  # noqa: PLR0917  (typer reads the options from the signature)
    folder: Annotated[Path, typer.Argument(help="A data set of ours.")],
    out: Annotated[
        Path, typer.Option(help="Folder for the result. Begun before: the work goes on.", show_default=False)
    ],
    model: Annotated[
        str,
        typer.Option(
            help="A checkpoint folder or owner/name on the hub: google/deplot or another Pix2Struct, PP-Chart2Table, "
            "granite-vision or any other that sees images. With --api: the server's name for it."
        ),
    ] = "",
    api: Annotated[
        str, typer.Option(metavar="URL", help="An endpoint (OpenAI's form) instead; its key is OPENAI_API_KEY.")
    ] = "",
    request: Annotated[
        str,
        typer.Option(
            help=f"What is asked: {', '.join(REQUESTS)}, or words of your own. Default: what the checkpoint was trained with."
        ),
    ] = "",
    font: Annotated[
        Path | None,
        typer.Option(
            help="Pix2Struct: the font (.ttf) of the question above the chart. Default: Arial, or one like it."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, … Default: a GPU if there is one.")] = None,
    at_once: Annotated[int, typer.Option(min=1, max=256, help="Charts that are read at the same time.")] = 8,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(min=1, help=f"Longest answer. Default: {DEPLOT_TOKENS} for Pix2Struct, else {TABLE_TOKENS}."),
    ] = None,
    all_kinds: Annotated[bool, typer.Option("--all-kinds", help="Figures of every kind, not charts alone.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Read charts that have a table, too.")] = False,
    may_be_sent: Annotated[bool, typer.Option("--may-be-sent", help=MAY_BE_SENT)] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where --out holds a data set.")] = False,
) -> None:
    """Have a model read the data of charts into the records' `table`.

    All records are kept; loops are cut back, and a chart without a table is counted by reason. What the model said is in
    answers.jsonl. Killed, the same command goes on and asks nothing twice.

    Examples:

        scicap_builder tables figures --model google/deplot --out with_tables

        scicap_builder tables figures --api http://localhost:8000/v1 --out with_tables --at-once 32

        scicap_builder tables charts --model google/deplot --replace --out read_anew
    """
    from scicap_builder.tables.filling import TableOptions, fill_tables, unread_lines

    if not model and not api:
        raise InputError("a model reads the charts", next_step="Give --model, or --api")
    if api and (font or device):
        raise InputError("--font and --device are for a model in this process; the server of --api has its own")
    refuse_leaks(folder, [api], may_be_sent=may_be_sent)
    words = request_named(request) if request else ""
    reader, own_request, tokens = _open(model, api, font, device)
    options = TableOptions(
        request=words or own_request,
        max_new_tokens=max_new_tokens or tokens,
        all_kinds=all_kinds,
        replace=replace,
        at_once=at_once,
        overwrite=overwrite,
    )
    with step_bar():
        done = fill_tables(folder, out, reader, options)
    for line in unread_lines(done):
        Console().print(Text(line), soft_wrap=True)


def _open(model: str, api: str, font: Path | None, device: str | None) -> tuple[Answerer, str, int]:
    """(the model, what it was trained to be asked, tokens of its answers)"""
    from llava_graph.commands.asked import ModelChoice, open_answerer
    from llava_graph.tables.chart_model import CHART_MODELS, PIX2STRUCT, ChartModel, model_type_of, request_of

    if api:
        return open_answerer(ModelChoice(model=model or None, api=api)), DEPLOT, TABLE_TOKENS
    kind = model_type_of(model)
    tokens = DEPLOT_TOKENS if kind == PIX2STRUCT else TABLE_TOKENS
    if kind in CHART_MODELS:
        return ChartModel(model, device=device, font=font), request_of(model), tokens
    if font is not None:
        raise InputError("only a Pix2Struct draws its question", next_step="Leave --font out")
    return open_answerer(ModelChoice(model=model, device=device)), request_of(model), tokens
