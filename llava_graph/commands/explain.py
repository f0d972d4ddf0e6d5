"""`llava-graph explain` and `llava-graph report`: figures of files, folders, papers and arXiv ids explained, one way for both."""

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from llava_graph.command import complain, note, shown, stderr
from llava_graph.commands import asked
from llava_graph.commands.screen import Screen
from llava_graph.commands.telling import JsonLines, Printed, ProgressBar
from llava_graph.errors import InputError
from llava_graph.explain import Answerer
from llava_graph.explained.documents import check_place, store_path, write_documents
from llava_graph.explained.store import Store
from llava_graph.explaining import Listener, Outcome, explain_sources
from llava_graph.model.quantize import bits_of
from llava_graph.printable import readable_name
from llava_graph.record import Dropped
from llava_graph.sources import Source, find_sources
from llava_graph.wish import Wish

ALL_WELL, SOME_FAILED, NOTHING_DONE, STOPPED = 0, 1, 2, 130
"""Exit statuses."""
SHOWN_REASONS = 6

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="FIGURE|PAPER|FOLDER|ARXIV-ID...",
        help="Images (PNG, JPEG, WebP, GIF, BMP, TIFF), PDFs, LaTeX archives, arXiv ids, lists of them, folders, data sets.",
        show_default=False,
    ),
]
Figures = Annotated[
    list[str] | None,
    typer.Option(
        "--figure", metavar="3", help="Of papers only this figure: 3, S1, fig10. May be given again. Default: all."
    ),
]
AtOnce = Annotated[
    int,
    typer.Option(min=1, max=64, rich_help_panel=asked.MODEL, help="With --api: figures explained at the same time."),
]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a person has ordered."""

    names: Sequence[str]
    wish: Wish
    model: asked.ModelChoice = asked.ModelChoice()
    figures: tuple[str, ...] = ()
    out: Path | None = None
    as_json: bool = False
    evidence: bool = False
    printed: bool = True
    """Answers go to stdout."""
    at_once: int = 1


def explain_command(
    sources: Sources,
    figure: Figures = None,
    question: Annotated[
        str | None, typer.Option(callback=asked.utf8, help="Ask this instead of for an explanation.")
    ] = None,
    model: asked.Model = None,
    api: asked.Api = None,
    model_base: asked.ModelBase = None,
    load_8bit: asked.Load8bit = False,
    load_4bit: asked.Load4bit = False,
    device: asked.Device = None,
    at_once: AtOnce = 1,
    max_new_tokens: asked.MaxNewTokens = None,
    temperature: asked.Temperature = None,
    level: asked.Level = None,
    length: asked.Length = None,
    sections: asked.Sections = None,
    caption: asked.Caption = None,
    ocr: asked.Ocr = True,
    mentions: asked.Mentions = None,
    region: asked.Region = None,
    evidence: asked.Evidence = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", rich_help_panel=asked.OUTPUT, help="One line of JSON a figure, with all that was used."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", rich_help_panel=asked.OUTPUT, help="With --out: a bar instead of the answers.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=asked.OUTPUT, help="Also write FILE.html, .md or .json, or all three into a folder."
        ),
    ] = None,
) -> None:
    """Explain figures: of image files, papers, folders and arXiv ids. Answers are streamed.

    What fails costs itself only and is counted; the exit status is 0 if nothing failed, 1 if something did, 2 if everything
    did. With --out what is there is kept, and the same command goes on where it was stopped.

    Examples:

        llava-graph explain chart.png --caption "Accuracy over training epochs."

        llava-graph explain paper.pdf --figure 3 --level lay

        llava-graph explain 1706.03762 --out attention.html

        llava-graph explain chart.png --api http://localhost:11434/v1 --model qwen3-vl --json > answer.json
    """
    wish = Wish(
        question=question,
        ask=asked.read_ask(level, length, sections),
        caption=caption,
        region=asked.read_region(region) if region else None,
        ocr=ocr,
        mentions=mentions,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
    )
    order = Order(
        names=sources,
        wish=wish,
        model=asked.ModelChoice(
            model=model,
            api=api,
            base=model_base,
            device=device,
            bits=bits_of(load_8bit=load_8bit, load_4bit=load_4bit),
        ),
        figures=split(figure),
        out=out,
        as_json=as_json,
        evidence=evidence,
        printed=not quiet,
        at_once=at_once,
    )
    carry_out(order, unused=(level, length, sections))


def report_command(
    sources: Sources,
    out: Annotated[
        Path, typer.Option(rich_help_panel=asked.OUTPUT, help="FILE.html, .md or .json, or a folder for all three.")
    ] = Path("report.html"),
    figure: Figures = None,
    model: asked.Model = None,
    api: asked.Api = None,
    model_base: asked.ModelBase = None,
    load_8bit: asked.Load8bit = False,
    load_4bit: asked.Load4bit = False,
    device: asked.Device = None,
    at_once: AtOnce = 1,
    max_new_tokens: asked.MaxNewTokens = None,
    temperature: asked.Temperature = None,
    level: asked.Level = None,
    length: asked.Length = None,
    sections: asked.Sections = None,
    ocr: asked.Ocr = True,
    mentions: asked.Mentions = None,
) -> None:
    """All figures of a paper or a folder explained in one document: `explain --quiet --out`.

    Examples:

        llava-graph report paper.pdf --out report.html

        llava-graph report papers/ --out report.md --api http://localhost:8000/v1 --at-once 8
    """
    explain_command(
        sources,
        figure=figure,
        model=model,
        api=api,
        model_base=model_base,
        load_8bit=load_8bit,
        load_4bit=load_4bit,
        device=device,
        at_once=at_once,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        level=level,
        length=length,
        sections=sections,
        ocr=ocr,
        mentions=mentions,
        quiet=True,
        out=out,
    )


def split(figures: Sequence[str] | None) -> tuple[str, ...]:
    """ "3,5" and "7" -> 3, 5, 7."""
    return tuple(name.strip() for given in figures or () for name in given.split(",") if name.strip())


def carry_out(order: Order, *, unused: tuple[str | None, str | None, bool | None] = (None, None, None)) -> None:
    """Find, explain, write; then exit with the status that says how it went. Raises what cannot be helped."""
    if order.at_once > 1 and not order.model.api:
        raise InputError("--at-once needs --api: a model in this process answers one at a time")
    if not order.printed and not order.out:
        raise InputError("--quiet needs --out: nothing would come of it")
    if order.out:
        check_place(order.out)
    sources, lost = find_sources(order.names, read_text=order.wish.ocr, caption=order.wish.caption)
    if not sources:
        for drop in lost:
            complain(f"{drop.item}: {drop.detail}" if drop.item.strip() else drop.detail)
        sys.exit(NOTHING_DONE)
    if stderr.is_terminal:
        stderr.print("[dim]opening the model …[/]", end="\r")
    answerer = asked.open_answerer(order.model)
    if stderr.is_terminal:
        stderr.file.write("\x1b[K")
    if names := asked.unused_wishes(answerer, *unused):
        note(f"{answerer.name} follows no instructions: {', '.join(names)} is not used")
    outcome = explained(order, sources, lost, answerer)
    sys.exit(conclude(order, outcome))


def explained(order: Order, sources: Sequence[Source], lost: Sequence[Dropped], answerer: Answerer) -> Outcome:
    """What comes of the order; with `out` it is on disk too, whatever ended the run."""
    with ExitStack() as stack:
        store = Store()
        if order.out:
            about = {"model": answerer.name, "checkpoint": order.model.model, "api": order.model.api}
            store = stack.enter_context(Store.at(store_path(order.out), about | order.wish.options))
            if store.begun_anew:
                note(f"something else was asked before; that is now in {store.begun_anew}")
        listener = _listener(order, sources)
        if isinstance(listener, ProgressBar):
            stack.enter_context(listener)
        for drop in lost:
            listener.lost(drop)
        outcome = explain_sources(
            sources, order.wish, answerer, listener, wanted=order.figures, store=store, at_once=order.at_once
        )
    outcome.failed[:0] = lost
    return outcome


def _listener(order: Order, sources: Sequence[Source]) -> Listener:
    if order.as_json:
        return JsonLines(Screen())
    if order.printed:
        return Printed(Screen(), titles=len(sources) > 1 or sources[0].is_paper, evidence=order.evidence)
    return ProgressBar(len(sources))


def conclude(order: Order, outcome: Outcome) -> int:
    """Write the document, say what came of it; the exit status."""
    if order.out and outcome.figures:
        options = {name: value for name, value in order.wish.options.items() if value is not None}
        names = [readable_name(Path(name).name or name) for name in order.names]
        title = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        for file in write_documents(outcome.document(title, options), order.out):
            stderr.print(f"written: {shown(str(file))} ({_size(file)})")
    if len(outcome.figures) + len(outcome.failed) > 1 or outcome.left_out:
        stderr.print(shown(summary(outcome)))
    if outcome.gave_up:
        complain(f"stopped: {outcome.gave_up}")
    if outcome.interrupted:
        complain("stopped" + (": the same command goes on" if order.out else ""))
        return STOPPED
    if not outcome.figures:
        return NOTHING_DONE
    return SOME_FAILED if outcome.failed or outcome.gave_up else ALL_WELL


def _size(file: Path) -> str:
    size = file.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"


def summary(outcome: Outcome) -> str:
    """ "7 figures explained (5 before), 2 left out: bad-image 1, no-region 1"."""
    count = len(outcome.figures)
    before = count - outcome.new
    text = f"{count} figure{'s' if count != 1 else ''} explained" + (f" ({before} before)" if before else "")
    reasons = Counter(drop.reason for drop in (*outcome.left_out, *outcome.failed))
    if not reasons:
        return text
    named = [f"{reason} {number}" for reason, number in reasons.most_common(SHOWN_REASONS)]
    return f"{text}, {reasons.total()} left out: {', '.join(named)}" + (", …" if len(reasons) > SHOWN_REASONS else "")
