"""PA-LLaVA's alignment pairs (Dai et al. 2024): a JSON list of {"image", "caption"} about pathology, short captions left out.

Its two other cleaning steps (is it a pathology image? is it human?) ask a model: `scicap_builder clean`.
"""

from __future__ import annotations

import hashlib
from typing import Any

from llava_graph.errors import SampleRefused
from llava_graph.record import Figure
from scicap_builder.sources.contract import HASHED, Entry, Part, PublishedFile, Source, asked
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import json_rows, need_text, record

MIN_WORDS = 20
MAX_PIXELS = 4096**2
"""Larger images are skipped by the published converter."""
REQUESTS = (
    "Describe the image.",
    "Convey the essential details of the image.",
    "Summarize the visual content of the image.",
)
"""Of the 21 published lines those that are known to us."""


def entry(row: Any, _: int) -> Entry:
    """One pair: the caption is the answer to a request drawn by its image's name. Raises SampleRefused (short-caption)."""
    row = record(row)
    image, caption = need_text(row, "image"), need_text(row, "caption")
    if len(caption.split()) < MIN_WORDS:
        raise SampleRefused(f"the caption has fewer than {MIN_WORDS} words", reason="short-caption")
    request = REQUESTS[hashlib.sha256(image.encode()).digest()[0] % len(REQUESTS)]
    name = image.rpartition(".")[0] or image
    figure = Figure(id=f"pa-llava:{name}", kind="pathology", turns=asked(request, caption))
    return Entry(figure=figure, pictures=(image, f"images/{image}"), max_pixels=MAX_PIXELS)


def _parts(root: Root, _: str) -> list[Part]:
    names = [name for name in root.listing if name.endswith((".json", ".jsonl"))]
    if not names:
        root.need("pairs.json")
    paths = [root.need(name) for name in names]
    return [Part(name=path.name, rows=json_rows(path, ("image", "caption")), read=entry, path=path) for path in paths]


SOURCE = Source(
    name="pa-llava",
    title="PA-LLaVA's pairs, or pairs of your own",
    home="https://github.com/ddw2AIGROUP2CQUPT/PA-LLaVA",
    licence="per article and video",
    access="public",
    split=HASHED,
    files=(PublishedFile(name="images", holds="images, by the paths that the pairs name"),),
    parts=_parts,
)
