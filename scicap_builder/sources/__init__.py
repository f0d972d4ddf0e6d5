"""Published data sets as figure records: one file each, `SOURCES` by name (`docs/sources.md`)."""

from collections.abc import Mapping
from types import MappingProxyType

from llava_graph.errors import InputError, did_you_mean
from scicap_builder.sources import (
    class_folders,
    llava_json,
    llava_med,
    mimic_cxr,
    pa_llava,
    path_vqa,
    pmc_oa,
    pmc_vqa,
    pubmedvision,
    quilt,
    quilt_cursor,
    scicap,
    scicap_challenge,
    scicap_plus,
    scigraphqa,
    slake,
    textvqa,
    vqa_rad,
)
from scicap_builder.sources.contract import Source

_ALL = (
    llava_json.SOURCE,
    scicap.SOURCE,
    scicap_plus.SOURCE,
    scicap_challenge.SOURCE,
    scigraphqa.SOURCE,
    vqa_rad.SOURCE,
    slake.SOURCE,
    path_vqa.SOURCE,
    textvqa.SOURCE,
    pmc_vqa.SOURCE,
    llava_med.ALIGNMENT_SOURCE,
    llava_med.INSTRUCT_SOURCE,
    llava_med.CAPTIONS_SOURCE,
    llava_med.QA50_SOURCE,
    quilt.PAIRS_SOURCE,
    quilt.PRETRAIN_SOURCE,
    quilt.INSTRUCT_SOURCE,
    quilt.VQA_SOURCE,
    quilt.RED_SOURCE,
    quilt_cursor.SOURCE,
    pubmedvision.SOURCE,
    pmc_oa.SOURCE,
    mimic_cxr.SOURCE,
    pa_llava.SOURCE,
    class_folders.BACH_SOURCE,
    class_folders.OSCC_SOURCE,
    class_folders.COLON_SOURCE,
)
SOURCES: Mapping[str, Source] = MappingProxyType({source.name: source for source in _ALL})


def source_of(name: str) -> Source:
    """The source of this name. Raises InputError that names the known ones."""
    if name not in SOURCES:
        raise InputError(f"unknown data set {name!r}", next_step=did_you_mean(name, SOURCES))
    return SOURCES[name]


__all__ = ["SOURCES", "Source", "source_of"]
