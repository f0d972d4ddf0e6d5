"""Answers to several prompts computed together, each as if it were alone: prompts join and leave between two tokens."""

from llava_graph.batched.alone import ENDED, Alone
from llava_graph.batched.batch import Batch, Prompt, Row, prepare, row_of

__all__ = ["ENDED", "Alone", "Batch", "Prompt", "Row", "prepare", "row_of"]
