"""What models that read charts are asked, and how long their answers may be."""

from llava_graph.errors import InputError, did_you_mean

DEPLOT = "Generate underlying data table of the figure below:"
"""DePlot's header text (Liu et al. 2023, "DePlot: One-shot visual language reasoning by plot-to-table translation"), and plain
words to any other model."""
CHART_TO_CSV = "<chart2csv>"
"""Granite 4 Vision's tag: CSV in a fence."""
REQUESTS = {"deplot": DEPLOT, "chart2csv": CHART_TO_CSV}
BY_MODEL_TYPE = {"granite4_vision": CHART_TO_CSV}
"""model_type of a checkpoint's config.json -> what it was trained with, where that is not DePlot's."""
DEPLOT_TOKENS = 512
"""DePlot's own limit; an answer that reaches it is nearly always a loop."""
TABLE_TOKENS = 1024
"""Of other models, whose vocabularies cut numbers into digits."""


def request_named(name: str) -> str:
    """The request with that name, or words of one's own (several, or a tag). Raises InputError for an unknown name."""
    if name in REQUESTS:
        return REQUESTS[name]
    if " " in name.strip() or name.strip().startswith("<"):
        return name.strip()
    raise InputError(f"there is no request {name!r}", next_step=f"{did_you_mean(name, REQUESTS)}, or words of your own")
