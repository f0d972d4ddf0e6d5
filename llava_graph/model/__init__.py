"""Models: built from scratch (`build`), their tokenizers (`tokenizer`), and loaded from a checkpoint folder (`load`)."""

from llava_graph.model.load import PACKAGED, LoadedModel, load

__all__ = ["PACKAGED", "LoadedModel", "load"]
