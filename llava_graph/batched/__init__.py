"""Answers to several prompts computed together, each as if it were alone: prompts join and leave between two tokens."""

from llava_graph.batched.batch import Batch, Prompt, Row, prepare

__all__ = ["Batch", "Prompt", "Row", "prepare"]
