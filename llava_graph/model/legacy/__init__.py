"""Checkpoints in the layouts of the published systems: read into folders that plain transformers opens, and written back."""

from llava_graph.model.legacy.conversion import Conversion, convert

__all__ = ["Conversion", "convert"]
