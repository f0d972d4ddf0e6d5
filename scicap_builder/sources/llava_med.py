"""LLaVA-Med (Li et al. 2023): biomedical captions and dialogues about figures of PubMed Central; images are `images/PAIR_ID.jpg`.

llava_med_alignment_500k.json, llava_med_instruct_{10k,60k,60k_inline_mention}.json: conversations (`conversatons` in the first);
llava_med_instruct_fig_captions.json: captions with the sentences of the article that mention the figure;
llava_med_eval_qa50_qa.jsonl: 193 questions with GPT-4's answers. The images are fetched by `scicap_builder images`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from llava_graph.errors import DatasetError, SampleRefused
from llava_graph.record import Figure
from scicap_builder.sources.contract import HASHED, PUBLISHED, Entry, Part, PublishedFile, Source, asked
from scicap_builder.sources.llava_json import conversation_entry, conversation_part
from scicap_builder.sources.names import domain_kind, parted, pmc_paper
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import json_rows, need_text, record, text

HOME = "https://github.com/microsoft/LLaVA-Med"
LICENCE = "CC BY-NC 4.0, research only"
FOLDERS = ("images", "")
ALIGNMENT = "llava_med_alignment_500k.json"
INSTRUCT = {
    "60k_inline_mention": "llava_med_instruct_60k_inline_mention.json",
    "60k": "llava_med_instruct_60k.json",
    "10k": "llava_med_instruct_10k.json",
}
CAPTIONS = "llava_med_instruct_fig_captions.json"
QA50 = "llava_med_eval_qa50_qa.jsonl"
QA50_ROWS = 193
URLS = "llava_med_image_urls.jsonl"
_URLS_FILE = PublishedFile(name=URLS, holds="where each image is; for `scicap_builder images`")
_IMAGES = PublishedFile(name="images", holds="PAIR_ID.jpg")


def _dialogue(row: Any, number: int, *, name: str, subset: str) -> Entry:
    def settle(figure: Figure, row: Mapping[str, Any]) -> Figure:
        pair = text(row, "pair_id", "id")
        return replace(figure, kind=domain_kind(row.get("domain")), paper=pmc_paper(pair), source=subset)

    return conversation_entry(row, number, base=Figure(id=name), folders=FOLDERS, settle=settle)


def _dialogues(root: Root, file: str, name: str, subset: str) -> list[Part]:
    path = root.need(file)
    return [conversation_part(path, file, partial(_dialogue, name=name, subset=subset))]


class DomainLists:
    """The captions' file: an object of lists, one a domain, as one list. A pair can stand in several."""

    def __init__(self, domains: Mapping[str, Any]) -> None:
        self._rows = [(domain, row) for domain, rows in domains.items() if isinstance(rows, list) for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[str, Any]:
        return self._rows[index]


def _caption(found: tuple[str, Any], _: int) -> Entry:
    domain, row = found[0], record(found[1])
    pair = need_text(row, "pair_id")
    label, caption = parted(need_text(row, "fig_caption"), text(row, "fig_label"))
    figure = Figure(
        id=f"llava-med-captions:{pair}",
        kind=domain_kind(row.get("domain")) or domain_kind(domain),
        label=text(row, "fig_label") or label,
        caption=caption,
        mentions=mention_texts(row.get("in_text_mention")),
        paper=pmc_paper(pair),
    )
    return Entry(figure=figure, pictures=(f"images/{pair}.jpg", f"{pair}.jpg"))


def mention_texts(mentions: Any) -> tuple[str, ...]:
    """The sentences that mention a figure: texts, or objects with `tokens`, a text or words."""
    if isinstance(mentions, str | dict):
        mentions = [mentions]
    if not isinstance(mentions, list):
        return ()
    found = []
    for mention in mentions:
        said = mention.get("tokens", mention.get("text")) if isinstance(mention, dict) else mention
        if isinstance(said, list):
            said = " ".join(word for word in said if isinstance(word, str))
        if isinstance(said, str) and said.strip():
            found.append(" ".join(said.split()))
    return tuple(found)


def _captions(root: Root, _: str) -> list[Part]:
    path = root.need(CAPTIONS)
    try:
        domains = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"is no valid JSON ({error})", where=str(path)) from error
    if not isinstance(domains, dict):
        domains = {"": domains}
    return [Part(name=CAPTIONS, rows=DomainLists(domains), read=_caption, path=path)]


def _question(row: Any, number: int) -> Entry:
    """One question of the chat evaluation; caption and mentions are what the published judge is shown, not the model."""
    row = record(row)
    question = need_text(row, "text").replace("<image>", "").strip()
    if not question:
        raise SampleRefused("the question is an image mark alone", reason="no-text")
    pair = text(row, "pair_id")
    label, caption = parted(text(row, "fig_caption"), text(row, "fig_label"))
    figure = Figure(
        id=f"llava-med-qa50:{text(row, 'question_id') or number}",
        kind=domain_kind(row.get("domain")),
        label=text(row, "fig_label") or label,
        caption=caption,
        mentions=mention_texts(row.get("in_text_mention")),
        paper=pmc_paper(pair),
        turns=asked(question, need_text(row, "gpt4_answer")),
        source=f"llava-med-qa50/{text(row, 'type') or 'unknown'}",
        split="test",
    )
    image = text(row, "image") or f"{pair}.jpg"
    return Entry(figure=figure, pictures=(f"images/{image}", f"qa50_images/{image}", image))


def _questions(root: Root, _: str) -> list[Part]:
    path = root.need(QA50)
    rows = json_rows(path, ("question_id", "text", "gpt4_answer"))
    return [Part(name=QA50, rows=rows, read=_question, path=path, published=QA50_ROWS)]


ALIGNMENT_SOURCE = Source(
    name="llava-med-alignment",
    title="LLaVA-Med, alignment 500k",
    home=HOME,
    licence=LICENCE,
    access="public",
    split=HASHED,
    files=(PublishedFile(name=ALIGNMENT, holds="a caption a pair", required=True), _IMAGES, _URLS_FILE),
    parts=lambda root, _: _dialogues(root, ALIGNMENT, "llava-med-alignment", "llava-med-alignment"),
)
INSTRUCT_SOURCE = Source(
    name="llava-med-instruct",
    title="LLaVA-Med, instructions",
    home=HOME,
    licence=LICENCE,
    access="public",
    split=HASHED,
    files=(*(PublishedFile(name=file, holds=f"subset {name}") for name, file in INSTRUCT.items()), _IMAGES, _URLS_FILE),
    parts=lambda root, subset: _dialogues(root, INSTRUCT[subset], "llava-med-instruct", f"llava-med-instruct/{subset}"),
    subsets=tuple(INSTRUCT),
)
CAPTIONS_SOURCE = Source(
    name="llava-med-captions",
    title="LLaVA-Med, captions and in-text mentions",
    home=HOME,
    licence=LICENCE,
    access="public",
    split=HASHED,
    files=(PublishedFile(name=CAPTIONS, holds="captions and mentions", required=True), _IMAGES, _URLS_FILE),
    parts=_captions,
)
QA50_SOURCE = Source(
    name="llava-med-qa50",
    title="LLaVA-Med, chat evaluation (50 images, 193 questions)",
    home=HOME,
    licence=LICENCE,
    access="public",
    split=f"{PUBLISHED} (all of it is test)",
    files=(PublishedFile(name=QA50, holds="questions and GPT-4's answers", required=True), _IMAGES, _URLS_FILE),
    parts=_questions,
)
