"""The line that says which model answers, and the settings of its answers."""

from dataclasses import dataclass

import gradio as gr

from serve.client import Sampling


@dataclass(frozen=True)
class ModelHeader:
    """Which model answers, and a choice where there are several."""

    line: gr.HTML
    model: gr.Dropdown


@dataclass(frozen=True)
class ModelParts:
    """The model and how it is sampled."""

    line: gr.HTML
    model: gr.Dropdown
    cards: gr.HTML
    """What each model is; empty for one."""
    sampling: tuple[gr.Slider, gr.Slider, gr.Slider]


def build_model_line() -> ModelHeader:
    """Stands in the header."""
    with gr.Column(elem_id="model-choice", min_width=200, scale=0):
        line = gr.HTML("", elem_id="model-line", padding=False)
        model = gr.Dropdown([], label="Model", show_label=False, container=False, elem_id="model", visible=False)
        _take_any(model)
    return ModelHeader(line, model)


def _take_any(model: gr.Dropdown) -> None:
    """gradio refuses, as an error without words, what is no choice of its process: after a restart that is every model. Ours is
    asked for by its name, and one that is not served is told in words."""
    setattr(model, "preprocess", lambda name: name if isinstance(name, str) else None)  # noqa: B010


def build_models(header: ModelHeader) -> ModelParts:
    """The settings, folded."""
    with gr.Accordion("Answer settings", open=False, elem_id="settings"):
        cards = gr.HTML("", elem_id="model-cards", padding=False)
        temperature = gr.Slider(0, 1.5, Sampling.temperature, step=0.05, label="Temperature (0: always the likeliest)")
        top_p = gr.Slider(0.05, 1, Sampling.top_p, step=0.05, label="Top p")
        length = gr.Slider(16, 2048, Sampling.max_new_tokens, step=16, label="Longest answer (tokens)")
    return ModelParts(header.line, header.model, cards, (temperature, top_p, length))
