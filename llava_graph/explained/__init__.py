"""Explained figures and papers: what a reader takes home, as Markdown, as one HTML file, or as JSON that can be read back."""

from llava_graph.explained.as_html import to_html
from llava_graph.explained.as_json import from_json, to_json, to_plain
from llava_graph.explained.as_markdown import to_markdown
from llava_graph.explained.records import (
    Answer,
    AskedRegion,
    Explained,
    ExplainedFigure,
    ExplainedPaper,
    as_paper,
    now,
    versions,
    with_evidence,
)

__all__ = [
    "Answer",
    "AskedRegion",
    "Explained",
    "ExplainedFigure",
    "ExplainedPaper",
    "as_paper",
    "from_json",
    "now",
    "to_html",
    "to_json",
    "to_markdown",
    "to_plain",
    "versions",
    "with_evidence",
]
