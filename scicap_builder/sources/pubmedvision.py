"""PubMedVision (Chen et al. 2024): 1.3 M dialogues about figures of PubMed Central, with body part and modality.

PubMedVision_Alignment_VQA.json and PubMedVision_InstructionTuning_VQA.json; `image` is a list of paths below the folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from llava_graph.record import Figure, Paper
from scicap_builder.sources.contract import HASHED, Entry, Part, PublishedFile, Source
from scicap_builder.sources.llava_json import conversation_entry, conversation_part
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import text

FILES = {
    "instruction": "PubMedVision_InstructionTuning_VQA.json",
    "alignment": "PubMedVision_Alignment_VQA.json",
}
KINDS = {
    "computed tomography": "ct",
    "magnetic resonance imaging": "mri",
    "digital photography": "photo",
    "microscopy images": "pathology",
    "x-ray": "radiograph",
    "x-rays": "radiograph",
    "ultrasound": "ultrasound",
    "endoscopy": "endoscopy",
    "fundus photography": "fundus",
}
_FIGURE = re.compile(r"(pmc_\d+)_\d+\.\w+$")
"""Images of one figure are pmc_4_0.jpg, pmc_4_1.jpg."""


def entry(row: Any, number: int, *, subset: str) -> Entry:
    """One dialogue. Raises SampleRefused (several-images)."""

    def settle(figure: Figure, row: Mapping[str, Any]) -> Figure:
        modality = text(row, "modality").lower()
        images = row.get("image")
        first = images[0] if isinstance(images, list) and images else images
        found = _FIGURE.search(first) if isinstance(first, str) else None
        paper = Paper(id=f"pubmedvision:{found[1]}") if found else Paper()
        return replace(figure, kind=KINDS.get(modality, modality), paper=paper)

    base = Figure(id=f"pubmedvision:{subset}", source=f"pubmedvision/{subset}")
    return conversation_entry(row, number, base=base, folders=("", "images"), settle=settle)


def _parts(root: Root, subset: str) -> list[Part]:
    path = root.need(FILES[subset])
    return [conversation_part(path, FILES[subset], partial(entry, subset=subset))]


SOURCE = Source(
    name="pubmedvision",
    title="PubMedVision",
    home="https://huggingface.co/datasets/FreedomIntelligence/PubMedVision",
    hub="FreedomIntelligence/PubMedVision",
    licence="per article, PMC Open Access",
    access="public",
    split=f"{HASHED} (of the figure: articles are not named)",
    files=tuple(PublishedFile(name=file, holds=f"subset {name}") for name, file in FILES.items()),
    parts=_parts,
    subsets=tuple(FILES),
)
