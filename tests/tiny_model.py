"""The smallest model of ours, built from scratch in about a second: what tests train, serve and ask."""

from pathlib import Path

from llava_graph.model.build import PRESETS, build_checkpoint

TEXTS = (
    "Explain this figure. What does this figure show? Caption: Text in the figure: x-axis: y-axis: legend: title:",
    "The line chart shows the training loss against the number of epochs for three models.",
    "Accuracy of the proposed method and two baselines as a function of the sample size, 0.5 1.0 1.5 2.0.",
    "user assistant system",
) * 3


def build_tiny_model(out: Path, template: str = "chatml") -> Path:
    """A complete checkpoint of 0.15 M random parameters in the new folder `out`; returns `out`."""
    build_checkpoint(out, shape=PRESETS["nano"], texts=TEXTS, template=template, name="test-nano")
    return out
