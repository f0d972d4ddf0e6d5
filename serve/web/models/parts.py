"""The line that says which model answers, and the settings of its answers."""

from dataclasses import dataclass

import gradio as gr

from serve.client import Sampling


@dataclass(frozen=True)
class ModelParts:
    """The model and how it is sampled."""

    line: gr.HTML
    model: gr.Dropdown
    sampling: tuple[gr.Slider, gr.Slider, gr.Slider]


def build_model_line() -> gr.HTML:
    """Stands in the header."""
    return gr.HTML("", elem_id="model-line", padding=False)


def build_models(line: gr.HTML) -> ModelParts:
    """The settings, folded."""
    with gr.Accordion("Answer settings", open=False, elem_id="settings"):
        model = gr.Dropdown([], label="Model", elem_id="model", visible=False)
        temperature = gr.Slider(0, 1.5, Sampling.temperature, step=0.05, label="Temperature (0: always the likeliest)")
        top_p = gr.Slider(0.05, 1, Sampling.top_p, step=0.05, label="Top p")
        length = gr.Slider(16, 2048, Sampling.max_new_tokens, step=16, label="Longest answer (tokens)")
    return ModelParts(line, model, (temperature, top_p, length))
