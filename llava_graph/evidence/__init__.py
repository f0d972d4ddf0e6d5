"""What in a figure's texts supports each sentence of an answer, and which numbers and names stand nowhere in them.

It compares words, not meanings: a supported sentence has its words in the text given, which does not make it true.
"""

from llava_graph.evidence.found import Mark, Sentence, Support
from llava_graph.evidence.judging import evidence

__all__ = ["Mark", "Sentence", "Support", "evidence"]
