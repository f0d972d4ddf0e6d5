"""`llava-graph examples`: the figures that come with the package."""

from typing import Annotated

import typer

from llava_graph.commands.screen import AnswerText, Screen
from llava_graph.errors import InputError
from llava_graph.examples import example_figures


def examples_command(
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
    from llava_graph.sources import figure_of_image, with_text_read

    known = example_figures()
    if explain is None:
        for number, example in enumerate(known, 1):
            print(f"{number}  {example.title}\n   {example.path}\n   {example.caption}")
        return
    if not 1 <= explain <= len(known):
        raise InputError(f"there is no example {explain}", next_step=f"Known: 1 to {len(known)}")
    chosen = known[explain - 1]
    explainer = Explainer()
    print(f"Figure:  {chosen.path.name}\nCaption: {chosen.caption}\nModel:   {explainer.name}: {explainer.about}\n")
    answer = AnswerText(Screen())
    for text in explainer.stream(with_text_read(figure_of_image(chosen.path, chosen.caption))):
        answer.push(text)
    answer.end()
    print()
