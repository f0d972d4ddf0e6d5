"""`llava-graph`: explain a figure on the terminal; build a small model from scratch."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from llava_graph.command import complain, run
from llava_graph.errors import InputError, LlavaGraphError
from llava_graph.examples import example_figures
from llava_graph.images import encode_png, open_image
from llava_graph.model.assemble import assemble_command
from llava_graph.model.build import build_command
from llava_graph.model.legacy.command import convert_command
from llava_graph.record import Figure, OcrLine

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Explain scientific figures.", rich_markup_mode="rich"
)
model_app = typer.Typer(no_args_is_help=True, help="Make models.")
model_app.command("build")(build_command)
model_app.command("assemble")(assemble_command)
app.add_typer(model_app, name="model")
app.command("convert")(convert_command)


@app.command()
def explain(
    figure: Annotated[Path, typer.Argument(help="The figure: PNG, JPEG, WebP, GIF, BMP or TIFF.")],
    caption: Annotated[str, typer.Option(help="The figure's caption, as the paper prints it.")] = "",
    question: Annotated[str | None, typer.Option(help="Ask this instead of for an explanation.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="A checkpoint folder or owner/name on the hub. Default: packaged.")
    ] = None,
    ocr: Annotated[bool, typer.Option(help="Read the text in the figure and give it to the model.")] = True,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 256,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy. Default: the checkpoint's own.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole result, with the OCR it used, as JSON.")
    ] = False,
) -> None:
    """Explain one figure; the answer is streamed.

    Examples:

        llava-graph explain chart.png --caption "Accuracy over training epochs."

        llava-graph explain chart.png --question "Which curve is highest at the end?" --model ./checkpoint

        llava-graph explain chart.png --caption "IIPS" --json > answer.json
    """
    from llava_graph.explain import Explainer
    from llava_graph.generate import GenerationOptions

    record = figure_record(figure, caption, ocr=ocr)
    generation = GenerationOptions(max_new_tokens=max_new_tokens, temperature=temperature)
    explainer = Explainer(model)
    options = explainer.model.prompt if ocr else replace(explainer.model.prompt, ocr=False)
    if as_json:
        result = explainer.explain(record, question, options=options, generation=generation)
        shown = asdict(replace(result, figure=replace(record, image=figure)))
        print(json.dumps(shown, ensure_ascii=False, indent=2, default=str))
        return
    for text in explainer.stream(record, question, options=options, generation=generation):
        print(text, end="", flush=True)
    print()


@app.command()
def examples(
    explain: Annotated[
        int | None, typer.Option(help="Explain the example of this number instead of listing all.")
    ] = None,
) -> None:
    """List the example figures that come with the package, or explain one.

    Examples:

        llava-graph examples

        llava-graph examples --explain 1
    """
    from llava_graph.explain import Explainer

    known = example_figures()
    if explain is None:
        for number, example in enumerate(known, 1):
            print(f"{number}  {example.title}\n   {example.path}\n   {example.caption}")
        return
    if not 1 <= explain <= len(known):
        raise InputError(f"there is no example {explain}", next_step=f"Known: 1 to {len(known)}")
    chosen = known[explain - 1]
    explainer = Explainer()
    print(
        f"Figure:  {chosen.path.name}\nCaption: {chosen.caption}\nModel:   {explainer.model.name}: {explainer.model.about}\n"
    )
    for text in explainer.stream(figure_record(chosen.path, chosen.caption, ocr=True)):
        print(text, end="", flush=True)
    print("\n")


def figure_record(path: Path, caption: str, *, ocr: bool) -> Figure:
    """A record of one image file. Raises ImageError."""
    picture = open_image(path)
    return Figure(
        id=path.name,
        image=encode_png(picture),
        width=picture.width,
        height=picture.height,
        caption=caption,
        ocr=read_figure_text(picture) if ocr else (),
    )


def read_figure_text(picture: Any) -> tuple[OcrLine, ...]:
    """The text in a figure by the installed reader; a reader that fails costs the text, not the answer."""
    try:
        return text_reader()(picture)
    except LlavaGraphError as error:
        complain(f"the text in the figure is not used: {error}")
        return ()


def text_reader() -> Callable[[Any], tuple[OcrLine, ...]]:
    """The reader registered as entry point `llava_graph.text_readers` (the package `ocr` does). Raises InputError."""
    found = list(entry_points(group="llava_graph.text_readers"))
    if not found:
        raise InputError("no reader of figure text is installed", next_step="Reinstall llava-graph, or use --no-ocr")
    return found[0].load()


def main() -> None:
    """Entry point of the console script."""
    run(app)
