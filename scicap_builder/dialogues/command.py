"""`scicap_builder dialogues`: the options, the estimate before anything is sent, a bar, the tally at the end."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.text import Text

from llava_graph.command import stderr
from llava_graph.errors import InputError
from llava_graph.explain import Answerer
from llava_graph.openai_client import SILENCE_TIMEOUT_S, ApiModel
from scicap_builder.dialogues.costs import Estimate, PriceList, Prices, money
from scicap_builder.dialogues.estimating import estimate
from scicap_builder.dialogues.kinds import KINDS
from scicap_builder.dialogues.tally import Tally
from scicap_builder.dialogues.writing import (
    DialogueOptions,
    begun_options,
    prepared,
    recorded_options,
    write_dialogues,
)
from scicap_builder.sources.access import MAY_BE_SENT, refuse_leaks
from scicap_builder.sources.command import step_bar

MIN_RATING = 7.0
RATER_KEY_VARIABLE = "RATER_API_KEY"
"""Another endpoint is never sent the teacher's key."""
RATING, MONEY = "Rating", "Cost"
"""Panels of --help."""


def dialogues_command(  # noqa: PLR0917  (typer reads the options from the signature)
    folder: Annotated[Path, typer.Argument(help="A data set of ours.")],
    kind: Annotated[str, typer.Option(help=f"One of: {', '.join(KINDS)}.", show_default=False)],
    out: Annotated[
        Path, typer.Option(help="Folder for the result. Begun before: the work goes on.", show_default=False)
    ],
    api: Annotated[
        str, typer.Option(metavar="URL", help="The teacher's endpoint (OpenAI's form); its key is OPENAI_API_KEY.")
    ] = "",
    model: Annotated[str, typer.Option(help="The model there, if it has several.")] = "",
    with_image: Annotated[
        bool, typer.Option("--with-image", help="The teacher sees the picture, too; else only what is known of it.")
    ] = False,
    clues: Annotated[
        Path | None,
        typer.Option(
            help="diagnosis_and_clues.parquet, for quilt-complex and -abductive; else the teacher finds them."
        ),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Folder with prompts of your own: NAME.toml in place of ours.")
    ] = None,
    held_out: Annotated[
        list[Path] | None,
        typer.Option(help="A data set whose validation and test figures are no training records here. Repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws questions and lengths, where a kind draws any.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many records; more another time.")] = None,
    at_once: Annotated[int, typer.Option(min=1, max=256, help="Dialogues written at the same time.")] = 8,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds of silence after which an answer is given up.")
    ] = SILENCE_TIMEOUT_S,
    estimate_only: Annotated[
        bool, typer.Option("--estimate", rich_help_panel=MONEY, help="Say what it would cost; send nothing.")
    ] = False,
    price_in: Annotated[float, typer.Option(rich_help_panel=MONEY, help="Money a million tokens of prompts.")] = 0.0,
    price_out: Annotated[float, typer.Option(rich_help_panel=MONEY, help="Money a million tokens of answers.")] = 0.0,
    budget: Annotated[
        float | None,
        typer.Option(min=0, rich_help_panel=MONEY, help="Stop before more is spent, all runs into --out together."),
    ] = None,
    rate: Annotated[
        bool, typer.Option("--rate", rich_help_panel=RATING, help="Have every dialogue rated from 0 to 10.")
    ] = False,
    min_rating: Annotated[
        float | None,
        typer.Option(rich_help_panel=RATING, help=f"Leave out what is rated lower. Default: {MIN_RATING:g}."),
    ] = None,
    rate_api: Annotated[
        str,
        typer.Option(
            metavar="URL", rich_help_panel=RATING, help=f"Another endpoint rates; its key is {RATER_KEY_VARIABLE}."
        ),
    ] = "",
    rate_model: Annotated[
        str, typer.Option(rich_help_panel=RATING, help="Another model rates. This and --rate-api imply --rate.")
    ] = "",
    rate_price_in: Annotated[
        float | None, typer.Option(rich_help_panel=RATING, help="As --price-in. Default: the same.")
    ] = None,
    rate_price_out: Annotated[
        float | None, typer.Option(rich_help_panel=RATING, help="As --price-out. Default: the same.")
    ] = None,
    may_be_sent: Annotated[bool, typer.Option("--may-be-sent", help=MAY_BE_SENT)] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew in --out; answers that are paid for are kept.")
    ] = False,
) -> None:
    """Let a teacher, any model behind a chat endpoint, write dialogues about the figures of a data set.

    The same records come out with `turns` filled; what has no dialogue is in dropped.parquet with its reason. Every answer is
    kept raw in OUT/teacher/answers.jsonl: killed, the same command goes on, and nothing is paid for twice.

    Examples:

        scicap_builder dialogues figures --kind scigraphqa --out figures_qa --api http://localhost:8000/v1

        scicap_builder dialogues figures --kind scigraphqa --out figures_qa --estimate --price-in 0.15 --price-out 0.6

        scicap_builder dialogues quilt --kind quilt-abductive --out abductive --api URL --clues diagnosis_and_clues.parquet

        scicap_builder dialogues figures --kind scigraphqa --out figures_qa --api URL --rate --min-rating 8 --limit 50
    """
    rate = rate or bool(rate_api or rate_model)
    prices = {
        "teacher": Prices(tokens_in=price_in, tokens_out=price_out),
        "rater": Prices(
            tokens_in=price_in if rate_price_in is None else rate_price_in,
            tokens_out=price_out if rate_price_out is None else rate_price_out,
        ),
    }
    options = DialogueOptions(
        kind=kind,
        with_image=with_image,
        seed=seed,
        min_rating=MIN_RATING if rate and min_rating is None else min_rating,
        prompts=prompts,
        clues=clues,
        held_out=tuple(held_out or ()),
        limit=limit,
        at_once=at_once,
        budget=budget,
        prices=prices,
        overwrite=overwrite,
    )
    stopping = threading.Event()
    refuse_leaks(folder, [api, rate_api], may_be_sent=may_be_sent or estimate_only)
    if estimate_only:
        begun = {} if overwrite else begun_options(out)
        teacher = model or begun.get("teacher", "")
        names = {"teacher": teacher, "rater": rate_model or (begun.get("rater") if rate_api else "") or teacher}
    else:
        models = _models((api, model), (rate_api, rate_model), timeout, stopping)
        names = {role: one.name for role, one in models.items()}
    with step_bar():
        desk = prepared(folder, options)
        if estimate_only and begun:
            refuse_other(begun, recorded_options(folder, names, options, desk), out)
        expected = estimate(folder, out, names, options, desk)
    (Console() if estimate_only else stderr).print(estimate_told(expected, prices), soft_wrap=True)
    if estimate_only:
        return
    with step_bar():
        done = write_dialogues(folder, out, models, options, desk, stopping=stopping)
    Console().print(tally_told(done, out), soft_wrap=True)
    if not done.summary.figures:
        raise InputError("no dialogue was written", where=str(out), next_step="See the reasons above")


def _models(
    teacher: tuple[str, str], rater: tuple[str, str], timeout: float, stopping: threading.Event
) -> dict[str, Answerer]:
    """Role -> model, of (endpoint, name) each. An endpoint of the rater's own has a key of its own."""
    api, model = teacher
    if not api:
        raise InputError("no teacher to ask", next_step="Give --api, or --estimate")

    def opened(address: str, name: str, key: str | None = None) -> ApiModel:
        return ApiModel(address, name, key=key, silence_s=timeout, sleep=stopping.wait)

    models: dict[str, Answerer] = dict.fromkeys(("teacher", "rater"), opened(api, model))
    if rater[0]:
        models["rater"] = opened(*rater, os.environ.get(RATER_KEY_VARIABLE, ""))
    elif rater[1]:
        models["rater"] = opened(api, rater[1])
    return models


def refuse_other(begun: Mapping[str, Any], now: Mapping[str, Any], out: Path) -> None:
    """An estimate of a run that would be refused is none. Raises InputError."""
    names = sorted(name for name in {*begun, *now} if begun.get(name) != now.get(name))
    if names:
        raise InputError(
            f"it was begun with other options ({', '.join(names)}), and such a run is refused",
            where=str(out),
            next_step="Estimate for another --out, or give --overwrite",
        )


def estimate_told(expected: Estimate, prices: PriceList) -> RenderableType:
    """The estimate as a person reads it."""
    lines = [
        f"{expected.records} records to do"
        + (f", {expected.free} of them without a question" if expected.free else "")
        + (f"; {expected.known} answers are known already" if expected.known else "")
    ]
    for role, used in expected.usage.items():
        lines.append(
            f"{role}: {used.answers} requests, about {used.prompt_tokens:,} tokens in, {used.completion_tokens:,} out "
            f"(at most {expected.most_in[role]:,} in, {expected.most_out[role]:,} out)"
        )
    likely, most = expected.cost(prices)
    if most:
        lines.append(
            f"cost: about {money(likely)}, at most {money(most)}; pictures and tokens are counted by rules of thumb"
        )
    return Group(*(Text(line) for line in lines))


def tally_told(done: Tally, out: Path) -> RenderableType:
    """The end of a run."""
    counts = done.summary
    dropped = "".join(f", {reason} {count}" for reason, count in counts.dropped.items())
    lines = [f"{counts.figures} of {counts.keys} records have a dialogue{dropped}"]
    lines += [f"{name}: {value}" for name, value in done.told.items()]
    lines.append(f"{done.asked} requests were answered in this run" + (
        f", {done.broken_off} answers broke off and were asked again" if done.broken_off else ""
    ))  # fmt: skip
    lines.append(f"The data set is in {out}.  Look at it:  scicap_builder show {out}")
    return Group(*(Text(line) for line in lines))
