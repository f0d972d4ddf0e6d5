"""The field that takes figures, the viewer that shows one with its text, and the packaged examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from llava_graph.examples import ExampleFigure, example_figures
from llava_graph.images import open_image
from ocr.draw import COLOURS, UNSURE
from serve.web.figure.lines import MAX_ADDED, MAX_LINE_CHARS


@dataclass(frozen=True)
class FigureParts:
    """One figure, and where it comes from."""

    upload: gr.Image
    """Takes uploads; what was uploaded stands in the viewer."""
    viewer: gr.HTML
    """Shows `view_of` a figure."""
    changes: gr.HTML
    """What the visitor changed of its lines, see `OnPage.changes`; written by the viewer, in the browser."""
    gallery: gr.Gallery | None
    examples: Sequence[ExampleFigure]


def build_figure() -> FigureParts:
    """From top to bottom: the upload field or the viewer, and the examples."""
    upload = gr.Image(
        type="filepath",
        image_mode=None,
        sources=["upload", "clipboard"],
        label="Figure",
        show_label=False,
        height=288,
        buttons=[],
        elem_id="figure",
    )
    viewer, changes = _viewer()
    gallery, examples = _examples()
    return FigureParts(upload, viewer, changes, gallery, examples)


def _viewer() -> tuple[gr.HTML, gr.HTML]:
    """The figure with the text in it, and what the visitor changes of that text."""
    folder = Path(__file__).parent
    viewer = gr.HTML(
        None,
        # A template without places to fill: gradio would run what stands in them as JavaScript. viewer.js fills it.
        html_template=(folder / "viewer.html").read_text(encoding="utf-8"),
        js_on_load="".join((folder / name).read_text(encoding="utf-8") for name in ("viewer.js", "viewer_bar.js")),
        apply_default_css=False,
        padding=False,
        elem_id="viewer",
        colours=COLOURS,
        unsure=UNSURE,
        max_chars=MAX_LINE_CHARS,
        max_added=MAX_ADDED,
    )
    changes = gr.HTML(
        None,
        html_template='<span class="store"></span>',
        js_on_load="element.querySelector('.store').addEventListener('edited', (e) => { props.value = e.detail; });",
        elem_id="edits",
    )
    return viewer, changes


def _examples() -> tuple[gr.Gallery | None, Sequence[ExampleFigure]]:
    """Thumbnails of the packaged figures, if the package has any."""
    try:
        examples = example_figures()
    except FileNotFoundError:
        return None, ()
    gr.HTML("<p>Or try an example</p>", elem_id="examples-label", padding=False)
    gallery = gr.Gallery(
        [(open_image(example.path), example.title) for example in examples],
        label="Examples",
        show_label=False,
        object_fit="contain",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="examples",
    )
    return gallery, examples
