"""The field that takes figures, the viewer that shows one with its text, and the packaged examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from llava_graph.examples import ExampleFigure, example_figures
from llava_graph.images import open_image
from ocr.draw import COLOURS, UNSURE
from serve.papers.obtaining import TAKEN
from serve.web.figure.choosing import Choices
from serve.web.figure.lines import MAX_ADDED, MAX_LINE_CHARS
from serve.web.figure.regions import MAX_REGIONS


@dataclass(frozen=True)
class FigureParts:
    """One figure, and where it comes from."""

    upload: gr.HTML
    """Takes files. Events: `upload` {path, name, choice} for a picture, `paper` {path, name} for a paper."""
    viewer: gr.HTML
    """Shows `view_of` a figure."""
    changes: gr.HTML
    """What the visitor changed of its lines, see `OnPage.changes`; written by the viewer, in the browser."""
    regions: gr.HTML
    """The regions to ask about, see `OnPage.regions`; written by the viewer too."""
    choices: gr.State
    """Which figure was asked for last: `serve.web.figure.choosing.Choices`."""
    gallery: gr.Gallery | None
    examples: Sequence[ExampleFigure]


def build_figure(max_upload_bytes: int) -> FigureParts:
    """From top to bottom: the upload field or the viewer, and the examples."""
    upload = _drop_zone(max_upload_bytes)
    viewer = _viewer()
    changes, regions = _told_by_the_viewer("edits", "edited"), _told_by_the_viewer("regions", "told")
    gallery, examples = _examples()
    return FigureParts(upload, viewer, changes, regions, gr.State(Choices()), gallery, examples)


def _drop_zone(max_bytes: int) -> gr.HTML:
    """Where files are dropped; it also takes those that are dropped or pasted elsewhere on the page."""
    folder = Path(__file__).parent
    return gr.HTML(
        None,
        html_template=(folder / "drop.html").read_text(encoding="utf-8"),
        js_on_load=(folder / "drop.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        padding=False,
        elem_id="figure",
        papers=list(TAKEN),
        max_bytes=max_bytes,
    )


VIEWER = ("viewer.js", "viewer_regions.js", "viewer_zoom.js", "viewer_bar.js")
"""One script in the browser; the last file starts it."""


def _viewer() -> gr.HTML:
    """The figure with the text in it."""
    folder = Path(__file__).parent
    return gr.HTML(
        None,
        # A template without places to fill: gradio would run what stands in them as JavaScript. viewer.js fills it.
        html_template=(folder / "viewer.html").read_text(encoding="utf-8"),
        js_on_load="".join((folder / name).read_text(encoding="utf-8") for name in VIEWER),
        apply_default_css=False,
        padding=False,
        elem_id="viewer",
        colours=COLOURS,
        unsure=UNSURE,
        max_chars=MAX_LINE_CHARS,
        max_added=MAX_ADDED,
        max_regions=MAX_REGIONS,
    )


def _told_by_the_viewer(name: str, event: str) -> gr.HTML:
    """A component that shows nothing; its value is the detail of the last `event` that reached its store."""
    return gr.HTML(
        None,
        html_template='<span class="store"></span>',
        js_on_load=f"element.querySelector('.store').addEventListener('{event}', (e) => {{ props.value = e.detail; }});",
        elem_id=name,
    )


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
