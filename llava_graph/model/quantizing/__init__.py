"""Quantized checkpoints: a checkpoint in, a folder with packed weights out, with what it costs and how well its answers agree."""

from llava_graph.model.quantizing.artefact import quantize_checkpoint

__all__ = ["quantize_checkpoint"]
