"""`llava-graph chat`: ask on about one figure; look at what the model is given and change it between two questions."""

import sys
from dataclasses import replace
from io import TextIOWrapper
from typing import Annotated

import typer

from llava_graph.chatting import Chat
from llava_graph.command import note, shown, stderr
from llava_graph.commands import asked
from llava_graph.commands.screen import Screen
from llava_graph.commands.talk import Talk, choose, with_text
from llava_graph.errors import InputError
from llava_graph.model.quantize import bits_of
from llava_graph.sources import Opened, find_sources
from llava_graph.wish import Wish


def chat_command(
    figure: Annotated[
        str | None,
        typer.Argument(metavar="FIGURE|PAPER|ARXIV-ID", help="An image, or a paper with --figure.", show_default=False),
    ] = None,
    number: Annotated[
        str | None, typer.Option("--figure", metavar="3", help="Of a paper this figure. Default: its first.")
    ] = None,
    image_file: Annotated[str | None, typer.Option(help="The figure, as LLaVA's command line names it.")] = None,
    model: asked.Model = None,
    api: asked.Api = None,
    model_base: asked.ModelBase = None,
    load_8bit: asked.Load8bit = False,
    load_4bit: asked.Load4bit = False,
    device: asked.Device = None,
    max_new_tokens: asked.MaxNewTokens = None,
    temperature: asked.Temperature = None,
    conv_mode: Annotated[
        str | None,
        typer.Option(rich_help_panel=asked.MODEL, help="A chat template by name, instead of the checkpoint's own."),
    ] = None,
    level: asked.Level = None,
    length: asked.Length = None,
    sections: asked.Sections = None,
    caption: asked.Caption = None,
    ocr: asked.Ocr = True,
    mentions: asked.Mentions = None,
    region: asked.Region = None,
    evidence: asked.Evidence = False,
) -> None:
    """Talk with a model about a figure. /help lists what can be looked at and changed; an empty line or Ctrl-D ends.

    Ctrl-C stops an answer, not the program. Questions may come from a pipe.

    Examples:

        llava-graph chat chart.png --caption "Accuracy over training epochs."

        llava-graph chat 1706.03762 --figure 1 --api http://localhost:8000/v1

        echo "Which curve is highest?" | llava-graph chat chart.png
    """
    if figure and image_file:
        raise InputError("two figures are named", where=f"{figure}, --image-file {image_file}", next_step="Name one")
    name = figure or image_file
    if not name:
        raise InputError("no figure is named", next_step="llava-graph chat chart.png")
    wish = Wish(
        ask=asked.read_ask(level, length, sections),
        region=asked.read_region(region) if region else None,
        ocr=ocr,
        mentions=mentions,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
    )
    opened = open_source(name, caption, read_text=ocr)
    figures = list(opened.figures)
    chosen = choose(figures, number, name)
    if caption is not None:
        chosen = replace(chosen, caption=caption)
    choice = asked.ModelChoice(
        model=model,
        api=api,
        base=model_base,
        device=device,
        bits=bits_of(load_8bit=load_8bit, load_4bit=load_4bit),
        conv_mode=conv_mode,
    )
    answerer = asked.open_answerer(choice)
    if unused := asked.unused_wishes(answerer, level, length, sections):
        note(f"{answerer.name} follows no instructions: {', '.join(unused)} is not used")
    talk = Talk(
        chat=Chat(figure=with_text(opened, chosen) if ocr else chosen, wish=wish),
        answerer=answerer,
        opened=opened,
        figures=tuple(figures),
        screen=Screen(),
        evidence=evidence,
        reopen=lambda other: asked.open_answerer(replace(choice, model=other, base=None)),
    )
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # bytes that are no UTF-8 cost their line only
    talk.go(sys.stdin.isatty())


def open_source(name: str, caption: str | None, *, read_text: bool) -> Opened:
    """The one source that a name means. Raises InputError, and what opening raises."""
    sources, lost = find_sources([name], read_text=read_text, caption=caption)
    if len(sources) != 1:
        why = lost[0].detail if lost else f"{len(sources)} papers and images are named"
        raise InputError(why, where=name, next_step="" if lost else "Chat is about one: give its name")
    source = sources[0]

    def tell(step: str) -> None:
        stderr.print(f"[dim]{shown(step)} …[/]")

    return source.open(tell)
