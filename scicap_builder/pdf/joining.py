"""Lines of text -> one string, cut words mended. Pure functions."""

import re
from collections.abc import Iterable, Sequence

from scicap_builder.pdf.lines import Line

SENTENCE_END = re.compile(r"[.!?:]['\"”’)\]]*$")


def join_lines(lines: Sequence[str], vocabulary: frozenset[str] = frozenset()) -> str:
    """Lines -> one string; a word cut at the end of a line is mended unless the paper writes it with its hyphen."""
    text = ""
    for line in (entry.strip() for entry in lines):
        if not text:
            text = line
            continue
        # looking through all of the text again for each line would cost its square
        cut = re.search(r"([A-Za-z]+)-$", text[text.rfind(" ") + 1 :]) if text.endswith("-") else None
        rest = re.match(r"[a-z]+", line)
        if cut and rest:
            kept = f"{cut[1]}-{rest[0]}".lower() in vocabulary and (cut[1] + rest[0]).lower() not in vocabulary
            text = text + line if kept else text[:-1] + line
        elif text.endswith(("-", "–", "/")) and not text.endswith((" -", " –")):
            text += line
        else:
            text += " " + line
    return re.sub(r"\s+", " ", text)


def vocabulary(lines: Iterable[Line]) -> frozenset[str]:
    """All words within lines (not the cut ones at their ends), lower case: says whether a paper writes a hyphen."""
    text = "\n".join(line.text for line in lines).lower()
    return frozenset(re.findall(r"[a-z]+(?:-[a-z]+)?(?=[^a-z\n-])", text))
