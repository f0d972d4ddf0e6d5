"""Texts -> words, in the two ways that captions are scored. The rule is pinned: another tokenizer gives other scores."""

import re

PINNED = "words-1"
"""Name of `caption_words`' rule, written beside every score. Changing the rule needs another name."""
PIECE = re.compile(
    r"\d+(?:[.,:/]\d+)*%?"  # 1,200  0.5  3:1  45%
    r"|(?:[^\W\d_]\.){2,}"  # e.g.  i.e.
    r"|[^\W_]+(?:[-'’][^\W_]+)*"  # words, with hyphens and apostrophes inside
    r"|[=<>±×°+*/%$€£&#@^~]"
)
CLITIC = re.compile(r"(?<=\w)(n['’]t|['’](?:s|re|ve|ll|d|m))$")


def caption_words(text: str) -> list[str]:
    """Words in lower case, in the manner of the Penn treebank and without its punctuation: "doesn't 0.5%" -> does n't 0.5%.

    As COCO's captions are scored, but for one thing: their script drops neither brackets ("-lrb-") nor slashes.
    """
    words: list[str] = []
    for piece in PIECE.findall(text.lower()):
        clitic = CLITIC.search(piece)
        words += [piece[: clitic.start()], clitic[0].replace("’", "'")] if clitic else [piece]
    return words


def spaced_words(text: str) -> list[str]:
    """What stands between white space, as SciGraphQA's notebooks hand texts to pycocoevalcap: case and punctuation count."""
    return text.split()
