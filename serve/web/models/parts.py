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
        # Without `allow_custom_value` gradio ends every step, without words for a visitor, whose model is no choice any more:
        # after a restart, or when its worker has gone. Ours says which model is not served.
        model = gr.Dropdown(
            [],
            label="Model",
            show_label=False,
            container=False,
            elem_id="model",
            visible=False,
            allow_custom_value=True,
        )
    return ModelHeader(line, model)


def build_models(header: ModelHeader) -> ModelParts:
    """The settings, folded."""
    with gr.Accordion("Answer settings", open=False, elem_id="settings"):
        cards = gr.HTML("", elem_id="model-cards", padding=False)
        temperature = gr.Slider(0, 1.5, Sampling.temperature, step=0.05, label="Temperature (0: always the likeliest)")
        top_p = gr.Slider(0.05, 1, Sampling.top_p, step=0.05, label="Top p")
        length = gr.Slider(16, 2048, Sampling.max_new_tokens, step=16, label="Longest answer (tokens)")
    return ModelParts(header.line, header.model, cards, (temperature, top_p, length))
