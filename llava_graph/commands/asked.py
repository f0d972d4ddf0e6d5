"""What the commands ask a person alike: which model, how figures are explained. Options in, values of ours out."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llava_graph.asking import LENGTHS, LEVELS, Ask
from llava_graph.errors import InputError, RecordError
from llava_graph.printable import is_utf8
from llava_graph.record import Box, check_box

if TYPE_CHECKING:
    from llava_graph.explain import Answerer

MODEL, READER, GIVEN, OUTPUT = "The model", "The reader", "What the model is given", "What comes out"
"""Panels of --help."""


def utf8(text: str | None) -> str | None:
    """The text of an option, as it is. Raises InputError: its bytes were no UTF-8."""
    if text is not None and not is_utf8(text):
        raise InputError("not UTF-8", where=text, next_step="Give the text in UTF-8, as the terminal's locale should")
    return text


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "--model-path",
        rich_help_panel=MODEL,
        help="A checkpoint folder, owner/name on the hub, or with --api the server's name for it. Default: the packaged one.",
    ),
]
Api = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        rich_help_panel=MODEL,
        help="Ask an OpenAI-compatible server instead: http://localhost:8000/v1. Its key is taken from OPENAI_API_KEY.",
    ),
]
Device = Annotated[
    str | None, typer.Option(rich_help_panel=MODEL, help="cpu, cuda, cuda:1, … Default: a GPU if there is one.")
]
ModelBase = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=MODEL,
        help="The model under an adapter (LoRA) in --model. Default: the one that the adapter names.",
    ),
]
Load8bit = Annotated[
    bool,
    typer.Option("--load-8bit", rich_help_panel=MODEL, help="The language model's weights in 8 bits (bitsandbytes)."),
]
Load4bit = Annotated[
    bool,
    typer.Option("--load-4bit", rich_help_panel=MODEL, help="The language model's weights in 4 bits (bitsandbytes)."),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(min=1, rich_help_panel=MODEL, help="Longest answer, in tokens. Default: as --length says, else 256."),
]
Temperature = Annotated[
    float | None, typer.Option(min=0, rich_help_panel=MODEL, help="0 is greedy. Default: the model's own.")
]
Level = Annotated[
    str | None, typer.Option(rich_help_panel=READER, help=f"{', '.join(LEVELS)}. Default: {Ask().level}.")
]
Length = Annotated[
    str | None, typer.Option(rich_help_panel=READER, help=f"{', '.join(LENGTHS)}. Default: {Ask().length}.")
]
Sections = Annotated[
    bool | None,
    typer.Option(
        "--sections/--no-sections", rich_help_panel=READER, help="In sections, or as one text. Default: sections."
    ),
]
Caption = Annotated[
    str | None,
    typer.Option(
        callback=utf8, rich_help_panel=GIVEN, help="The caption, as the paper prints it. Default: the paper's own."
    ),
]
Ocr = Annotated[
    bool,
    typer.Option("--ocr/--no-ocr", rich_help_panel=GIVEN, help="Read the text in the figure and give it to the model."),
]
Mentions = Annotated[
    bool | None,
    typer.Option(
        "--mentions/--no-mentions",
        rich_help_panel=GIVEN,
        help="Give it the paragraphs that cite the figure. Default: as the model is used to.",
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        metavar="X0,Y0,X1,Y1",
        rich_help_panel=GIVEN,
        help="Only this part of the figure, at its own resolution: 0..1 from the top left.",
    ),
]
Evidence = Annotated[
    bool,
    typer.Option(
        "--evidence/--no-evidence",
        rich_help_panel=OUTPUT,
        help="Behind each sentence what bears it out (caption, ¶ 2, text in figure), and (?) behind what stands nowhere.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which model answers."""

    model: str | None = None
    """A checkpoint, or with `api` the server's name for it; None: the packaged one, or the only one there."""
    api: str | None = None
    base: str | None = None
    device: str | None = None
    bits: Literal[4, 8] | None = None
    conv_mode: str | None = None
    """Name of a chat template; None: the checkpoint's own."""

    def __post_init__(self) -> None:
        if self.api:
            here = {
                "--model-base": self.base,
                "--device": self.device,
                "--load-…bit": self.bits,
                "--conv-mode": self.conv_mode,
            }
            if given := [name for name, value in here.items() if value is not None]:
                raise InputError(f"{', '.join(given)} is for a model in this process; the server of --api has its own")


def open_answerer(choice: ModelChoice) -> "Answerer":
    """The model that answers. Raises CheckpointError, MissingExtra, InputError (unknown template); with `api` ServeError."""
    if choice.api:
        from llava_graph.openai_client import ApiModel

        return ApiModel(choice.api, choice.model or "")
    from llava_graph.chat import load_template
    from llava_graph.explain import Explainer
    from llava_graph.model.load import load
    from llava_graph.tables.chart_model import CHART_MODELS, ChartModel, model_type_of

    if choice.model and model_type_of(choice.model) in CHART_MODELS:
        here = {"--model-base": choice.base, "--load-…bit": choice.bits, "--conv-mode": choice.conv_mode}
        if given := [name for name, value in here.items() if value is not None]:
            raise InputError(f"{', '.join(given)} is not for a model that reads charts", where=choice.model)
        return ChartModel(choice.model, device=choice.device)
    template = load_template(choice.conv_mode) if choice.conv_mode else None
    loaded = load(choice.model, base=choice.base, device=choice.device, bits=choice.bits)
    return Explainer(model=replace(loaded, template=template) if template else loaded)


def read_ask(level: str | None, length: str | None, sections: bool | None) -> Ask:
    """The reader's choice. Raises InputError for an unknown word."""
    given = {"level": level, "length": length, "sections": sections}
    return replace(Ask(), **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def unused_wishes(answerer: "Answerer", level: str | None, length: str | None, sections: bool | None) -> list[str]:
    """The options that this model cannot follow, by name; empty for one that follows instructions."""
    given = {"--level": level, "--length": length, "--sections": sections}
    return [] if answerer.instructions else [name for name, value in given.items() if value is not None]


def read_region(text: str, usage: str = "--region") -> Box:
    """ "0.1,0,0.5,1" -> a box. `usage`: what it was given to. Raises InputError."""
    try:
        x0, y0, x1, y1 = (float(part) for part in text.replace(",", " ").split())
        check_box((x0, y0, x1, y1), "region")
    except (ValueError, RecordError) as error:
        why = error.what if isinstance(error, RecordError) else f"{text!r} is not four numbers"
        raise InputError(why, next_step=f"Give {usage} X0,Y0,X1,Y1 in 0..1: 0,0,0.5,1 is the left half") from error
    return x0, y0, x1, y1
