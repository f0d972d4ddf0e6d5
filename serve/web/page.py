"""The page's layout. In: a client that reaches the models. Out: gradio Blocks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes.utils.fonts import LocalFont

from llava_graph.examples import ExampleFigure, example_figures
from llava_graph.images import open_image
from ocr.draw import COLOURS, UNSURE
from serve.client import ModelClient, Sampling
from serve.web.actions import ReadText
from serve.web.lines import MAX_ADDED, MAX_LINE_CHARS
from serve.web.options import WebOptions
from serve.web.session import Session
from serve.web.wiring import Parts, wire_chat, wire_figure, wire_models, wire_preview

TITLE = "LLaVA-Graph"
HEADER = f"""<div class="brand"><h1>{TITLE}</h1><p>Explains figures from scientific papers.</p></div>"""
EMPTY_CHAT = (
    "**Choose a figure, add its caption, press Explain.**\n\nThen ask on: the figure stays in the conversation."
)
PRIVACY = (
    "Figures and questions go to the model above and are not kept: uploads are deleted after an hour. "
    "A model can be wrong; check what it says against the figure."
)
UPLOADS_KEPT_S = 3600


def theme() -> gr.themes.Base:
    """Quiet colours, gradio's own local fonts, no web fonts."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        # Weight 700, because the 600 that gradio ships lacks letters.
        font=(LocalFont("IBM Plex Sans", (400, 700)), "ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=(LocalFont("IBM Plex Mono", (400, 700)), "ui-monospace", "monospace"),
    ).set(
        body_background_fill="*neutral_50",
        block_border_width="1px",
        block_shadow="none",
        # gradio's own grey on white is too faint to read (2.6:1); these have more than 4.5:1.
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_text_color="white",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
    )


def build_page(client: ModelClient, options: WebOptions, read: ReadText) -> gr.Blocks:
    """The page. Everything it shows of a visitor lives in that visitor's own state."""
    with gr.Blocks(
        title=f"{TITLE}: figures explained",
        analytics_enabled=False,
        delete_cache=(UPLOADS_KEPT_S, UPLOADS_KEPT_S),
        fill_width=True,
    ) as page:
        session = gr.State(Session())
        with gr.Row(elem_id="header"):
            gr.HTML(HEADER, elem_id="brand", padding=False)
            model_line = gr.HTML("", elem_id="model-line", padding=False)
        with gr.Row(elem_id="columns", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_id="left"):
                left, gallery, examples = _left()
            with gr.Column(scale=6, min_width=320, elem_id="right"):
                right = _right()
        gr.HTML(f"<p>{PRIVACY}</p>", elem_id="privacy", padding=False)
        parts = Parts(session=session, model_line=model_line, **left, **right)
        wire_models(page, parts, client, options)
        taking = wire_figure(parts, gallery, examples, read)
        wire_chat(parts, client, options, taking)
        wire_preview(parts, client)
    return page


def _left() -> tuple[dict[str, Any], gr.Gallery | None, Sequence[ExampleFigure]]:
    """The figure and all that is known about it."""
    figure = gr.Image(
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
    caption = gr.Textbox(
        label="Caption",
        placeholder="Figure 3: Accuracy over training epochs for …",
        lines=2,
        max_lines=6,
        elem_id="caption",
    )
    with gr.Row(elem_id="actions"):
        explain = gr.Button("Explain", variant="primary", interactive=False, elem_id="explain", scale=3, min_width=140)
        clear = gr.Button("Clear", elem_id="clear", scale=1, min_width=88)
    with gr.Accordion("What the model is given", open=False, elem_id="prompt-section"):
        prompt_note = gr.HTML("", elem_id="prompt-note", padding=False)
        prompt = gr.Textbox(
            label="Word for word: caption, text in the figure, request",
            show_label=False,
            lines=3,
            max_lines=16,
            interactive=False,
            buttons=["copy"],
            placeholder="Choose a figure first.",
            elem_id="prompt",
        )
    with gr.Accordion("Answer settings", open=False, elem_id="settings"):
        model = gr.Dropdown([], label="Model", elem_id="model", visible=False)
        temperature = gr.Slider(0, 1.5, Sampling.temperature, step=0.05, label="Temperature (0: always the likeliest)")
        top_p = gr.Slider(0.05, 1, Sampling.top_p, step=0.05, label="Top p")
        length = gr.Slider(16, 2048, Sampling.max_new_tokens, step=16, label="Longest answer (tokens)")
    found = {
        "figure": figure,
        "viewer": viewer,
        "changes": changes,
        "caption": caption,
        "explain": explain,
        "clear": clear,
    }
    found |= {"prompt": prompt, "prompt_note": prompt_note, "model": model, "sampling": (temperature, top_p, length)}
    return found, gallery, examples


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


def _right() -> dict[str, Any]:
    """The conversation."""
    banner = gr.HTML("", elem_id="banner", padding=False)
    chat = gr.Chatbot(
        label="Conversation",
        show_label=False,
        height=520,
        placeholder=EMPTY_CHAT,
        buttons=["copy"],
        layout="bubble",
        elem_id="chat",
    )
    status = gr.HTML("", elem_id="status", padding=False)
    with gr.Row(elem_id="question-row"):
        question = gr.Textbox(
            label="Question",
            show_label=False,
            container=False,
            placeholder="Ask about the figure …",
            lines=1,
            max_lines=5,
            scale=6,
            elem_id="question",
        )
        ask = gr.Button("Ask", variant="primary", interactive=False, scale=1, min_width=88, elem_id="ask")
        stop = gr.Button("Stop", variant="stop", visible=False, scale=1, min_width=88, elem_id="stop")
    names = ("banner", "chat", "status", "question", "ask", "stop")
    return dict(zip(names, (banner, chat, status, question, ask, stop), strict=True))
