"""Scores of explanations against references. In: texts. Out: numbers, and the words or numbers that made them."""

from llava_graph.evaluate.numbers import Fidelity, Number, find_numbers, number_fidelity
from llava_graph.evaluate.rouge import Rouge, rouge_l

__all__ = ["Fidelity", "Number", "Rouge", "find_numbers", "number_fidelity", "rouge_l"]
