"""The fold with the chart's data."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr


@dataclass(frozen=True)
class TableParts:
    """The data of the figure that is shown."""

    fold: gr.Accordion
    """Hidden where there is no table and no model that reads one."""
    note: gr.HTML
    read: gr.Button
    data: gr.HTML
    """Shows `table_view`."""


def build_table(model: str) -> TableParts:
    """The button (with a table model) and the table."""
    with gr.Accordion("The chart's data as a table", open=False, visible=False, elem_id="data-section") as fold:
        note = gr.HTML("", elem_id="data-note", padding=False)
        read = gr.Button(
            f"Read the data with {model}", interactive=False, visible=bool(model), size="sm", elem_id="data-read"
        )
        data = gr.HTML(
            None,
            html_template=_file("table.html"),
            js_on_load=_file("table.js"),
            apply_default_css=False,
            padding=False,
            elem_id="data-table",
        )
    return TableParts(fold, note, read, data)


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
