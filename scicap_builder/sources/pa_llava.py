"""PA-LLaVA's alignment pairs (Dai et al. 2024): a JSON list of {"image", "caption"} about pathology, short captions left out.

An image folder's metadata.jsonl ("file_name", "caption") is read too, so that captions of other data sets become pairs.
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
    "Create a narrative representing the image presented.",
    "Offer an overview of the image.",
    "Summarize the main elements of the picture.",
    "Describe the key features of the image.",
    "Provide a summary of the image's content.",
    "Share a depiction of the visual elements in the photo.",
    "Deliver an explanation of what is seen in the image.",
    "Give a description of the picture's main aspects.",
    "State the principal components of the image.",
    "Present a depiction of what the image portrays.",
    "Convey the essential details of the image.",
    "Describe the image.",
    "Provide a description of the given image.",
    "Offer an explanation of the picture presented.",
    "Summarize the visual content of the image.",
    "Give an explanation of the provided image.",
    "Share an interpretation of the image provided.",
    "Present a description of the photo's key features.",
    "Relay an account of the picture shown.",
    "Render a summary of the photo.",
    "Write an informative summary of the picture.",
)
"""The published lines (pt_prompt.txt). Theirs puts the image before or after one by chance; xtuner then moves it to the front."""


def entry(row: Any, _: int) -> Entry:
    """One pair: the caption is the answer to a request drawn by its image's name. Raises SampleRefused (short-caption)."""
    row = record(row)
    image, caption = need_text(row, "image", "file_name"), need_text(row, "caption")
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
    return [Part(name=path.name, rows=json_rows(path, ("caption",)), read=entry, path=path) for path in paths]


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
