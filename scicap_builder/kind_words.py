"""What the words of a figure tell of its kind: its caption and the text inside in, numbers of about 0..1 by name out."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from llava_graph.record import OcrLine

_WORDS = {
    "photograph": r"photograph\w*|photos?|pictures?|camera|appearance|zones? of|inhibition zone|plates?|petri",
    "microscope": r"\w*micrographs?|microscop\w*|SEM|TEM|FE-?SEM|EDX|immuno\w*|histolog\w*|histopath\w*|stain\w*|tissues?|"
    r"morpholog\w*|H&E|magnification|cells|scale bars?|microstructure|fluorescen\w*",
    "gel": r"gel|blots?|western|zymograph\w*|electrophores\w*|lanes?|PCR|bands?",
    "radiology": r"radiograph\w*|X-ray of|chest|CT|MRI|MR|tomograph\w*|ultraso\w*|axial|sagittal|coronal|scans?",
    "schematic": r"schem\w*|diagrams?|illustrat\w*|workflow|pipeline|architecture|overview|framework|mechanisms?|flow ?charts?|"
    r"process|protocol|procedure|concept\w*|design|timeline|pathways?|steps|classes|class|disposition|flow",
    "structure": r"structures?|compounds?|synthesis|molecul\w*|crystal|formula\w*|biosynthe\w*",
    "tree": r"trees?|phylogen\w*|dendrogram|cluster analysis|clad\w*",
    "chart": r"curves?|plots?|histograms?|distributions?|versus|vs|spectr\w*|function of|rates?|ROC|box ?plots?|mean|error bars?|"
    r"values?|effects?|comparison|correlation|activity|levels?|number of|percent\w*|%|concentrations?|graph|patterns?|"
    r"chromatogra\w*|survival|Kaplan\S*|scores?|loss|voltage|profiles?|dependence|temporal|series|SD|SEM\)|\bp ?<|n ?=",
    "text": r"code|listing|scripts?|snippet|algorithm|pseudocode|tables?|alignments?|sequences?|layout|example of|output|"
    r"questions?|prompts?|text",
    "screen": r"screen\w*|interface|window|GUI|dashboard|web ?page|homepage|web ?app\w*|module|main page|view of",
}
_PATTERNS = {name: re.compile(rf"(?<![\w-])(?:{words})(?!\w)", re.I) for name, words in _WORDS.items()}
_FIRST_WORDS = 60
"""Characters; what a caption begins with tells more than what it explains later."""
_PANEL = re.compile(r"\(?\b[a-hA-H][).:]|\([a-hA-H][,–-]")


def measure_caption(caption: str) -> dict[str, float]:
    """Which words of each kind the caption has, at its beginning and anywhere; all 0 without a caption."""
    values = {"captioned": float(bool(caption.strip()))}
    for name, pattern in _PATTERNS.items():
        found = len(pattern.findall(caption))
        values[f"says {name}"] = min(found, 4) / 4
        values[f"begins with {name}"] = float(bool(pattern.search(caption[:_FIRST_WORDS])))
    values["panels told"] = min(len(_PANEL.findall(caption)), 6) / 6
    return values


_NUMBER = re.compile(r"[−–+-]?[\d.,]+(?:[eE×^][\d−-]+)?\s*[%kKMG]?")


def measure_lines(lines: Sequence[OcrLine]) -> dict[str, float]:
    """How much text there is, how much of it are numbers, whether those stand in rows and columns, and its roles."""
    numbers = [line.box for line in lines if _NUMBER.fullmatch(line.text.strip())]
    words = [len(line.text.split()) for line in lines]
    count = max(1, len(lines))
    return {
        "has text": float(bool(lines)),
        "lines of text": float(np.log2(1 + len(lines)) / 8),
        "numbers": len(numbers) / count,
        "numbers in a row": min(_aligned([(box[1] + box[3]) / 2 for box in numbers]), 10) / 10,
        "numbers in a column": min(_aligned([box[2] for box in numbers]), 10) / 10,
        "text area": min(1.0, 3 * sum((line.box[2] - line.box[0]) * (line.box[3] - line.box[1]) for line in lines)),
        "sentences": sum(n >= 4 for n in words) / count,
        "letters a line": min(1.0, sum(len(line.text) for line in lines) / count / 40),
        "upright text": sum(line.orientation in (90, 270) for line in lines) / count,
        "lines on the left": _aligned([line.box[0] for line in lines]) / count if len(lines) > 2 else 0.0,
    } | _measure_roles(lines, count)


def _measure_roles(lines: Sequence[OcrLine], count: int) -> dict[str, float]:
    """What `ocr.roles` made of the lines: ticks are numbers that fit a scale, which rows of numbers in a drawing seldom do."""
    roles = Counter(line.role for line in lines)
    level, upright = roles["x-tick"], roles["y-tick"]
    return {
        "ticks": (level + upright) / count,
        "x-ticks": min(level, 10) / 10,
        "y-ticks": min(upright, 10) / 10,
        "both scales": float(level > 1 and upright > 1),
        "x-axis named": float(roles["x-axis"] > 0),
        "y-axis named": float(roles["y-axis"] > 0),
        "legend": roles["legend"] / count,
        "annotations": roles["annotation"] / count,
        "without a role": roles["other"] / count,
        "letters of panels": min(roles["panel"], 6) / 6,
    }


def _aligned(places: Sequence[float], tolerance: float = 0.012) -> int:
    """The largest number of places that lie within `tolerance` of one of them."""
    array = np.array(places)
    return int((np.abs(array[:, None] - array) < tolerance).sum(1).max()) if array.size else 0
