"""MIMIC-CXR(-JPG) (Johnson et al. 2019) as the X-ray report system reads it: frontal views with their reports.

mimic-cxr-2.0.0-metadata.csv[.gz]  mimic-cxr-2.0.0-split.csv[.gz]
mimic_cxr_sectioned.csv, or reports: files/p10/p10000032/s50414267.txt, reports/s50414267.txt
images: files/p10/p10000032/s50414267/DICOM.jpg, or images/{study_id}-{image_id}.png
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from llava_graph.errors import SampleRefused
from llava_graph.record import Figure, Paper
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, PublishedFile, Source, asked
from scicap_builder.sources.reports import mgca_sentences, sections, told
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import csv_rows, need_text, record, text

METADATA = ("mimic-cxr-2.0.0-metadata.csv", "mimic-cxr-2.0.0-metadata.csv.gz")
SPLIT = ("mimic-cxr-2.0.0-split.csv", "mimic-cxr-2.0.0-split.csv.gz")
SECTIONED = ("mimic_cxr_sectioned.csv", "mimic_cxr_sectioned.csv.gz")
FRONTAL = ("PA", "AP")
"""Lateral views are left out, as in the published baseline."""
SPLITS = {"train": "train", "validate": "validation", "test": "test"}
REQUEST = "Illustrate the image through a detailed medical report"
"""The X-ray system's one prompt."""
Sections = Callable[[str, str], Mapping[str, str] | None]
"""(subject, study) -> its sections; None where there is no report."""


def entry(row: Any, _: int, *, splits: Mapping[str, str], reports: Sections, form: str) -> Entry:
    """One image. Raises SampleRefused (other-view, no-split, no-report, no-section, short-report)."""
    row = record(row)
    dicom, subject, study = need_text(row, "dicom_id"), need_text(row, "subject_id"), need_text(row, "study_id")
    view = text(row, "ViewPosition")
    if view not in FRONTAL:
        raise SampleRefused(f"the view is {view or 'not stated'}, not {' or '.join(FRONTAL)}", reason="other-view")
    split = SPLITS.get(splits.get(dicom, ""))
    if split is None:
        raise SampleRefused(f"{dicom} is in no split", reason="no-split")
    figure = Figure(
        id=f"mimic-cxr:s{study}-{dicom}",
        kind="radiograph",
        paper=Paper(id=f"mimic-cxr:p{subject}"),
        turns=asked(REQUEST, _report(reports(subject, study), study, form)),
        source=f"mimic-cxr/{view}",
        split=split,
    )
    place = f"p{subject[:2]}/p{subject}/s{study}/{dicom}.jpg"
    return Entry(
        figure=figure, pictures=(f"files/{place}", f"images/{study}-{dicom}.png", f"images/s{study}-{dicom}.png")
    )


def _report(found: Mapping[str, str] | None, study: str, form: str) -> str:
    if found is None:
        raise SampleRefused(f"study {study} has no report", reason="no-report")
    impression, findings = text(found, "impression"), text(found, "findings")
    if not impression and not findings:
        raise SampleRefused(f"the report of study {study} has neither impression nor findings", reason="no-section")
    if form == "sections":
        named = [
            f"{name}: {' '.join(words.split())}"
            for name, words in (("FINDINGS", findings), ("IMPRESSION", impression))
            if words
        ]
        return "\n".join(named)
    sentences = mgca_sentences(impression, findings)
    if not sentences:
        raise SampleRefused(f"the report of study {study} has fewer than three words", reason="short-report")
    return told(sentences)


def _parts(root: Root, form: str) -> list[Part]:
    path = root.need(*METADATA)
    rows = csv_rows(path, ("dicom_id", "subject_id", "study_id", "ViewPosition"), only=True)
    listed = csv_rows(root.need(*SPLIT), ("dicom_id", "split"), only=True)
    splits = {row["dicom_id"]: row["split"] for row in listed}
    read = partial(entry, splits=splits, reports=_reports(root), form=form)
    return [Part(name=path.name, rows=rows, read=read, path=path)]


def _reports(root: Root) -> Sections:
    """From the section file, else from the reports themselves."""
    path = root.file(*SECTIONED)
    if path is None:
        root.need("reports", "files")
        return partial(_from_file, root)
    rows = csv_rows(path, ("study", "impression", "findings"), only=True)
    by_study: dict[str, Mapping[str, Any]] = {row["study"].removeprefix("s"): row for row in rows}
    return lambda _, study: by_study.get(study)


def _from_file(root: Root, subject: str, study: str) -> Mapping[str, str] | None:
    if not (subject.isalnum() and study.isalnum()):
        raise SampleRefused("a subject or study with other signs than letters and digits", reason="unsafe-path")
    path: Path | None = root.file(
        f"files/p{subject[:2]}/p{subject}/s{study}.txt", f"reports/s{study}.txt", f"reports/{study}.txt"
    )
    return sections(path.read_text(encoding="utf-8", errors="replace")) if path else None


SOURCE = Source(
    name="mimic-cxr",
    title="MIMIC-CXR, frontal views with reports",
    home="https://physionet.org/content/mimic-cxr-jpg/",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    access="credentialed",
    split=f"{PUBLISHED} (train, validate, test: by patient)",
    files=(
        PublishedFile(name=METADATA[0], holds="view, study and patient of each image (or .gz)"),
        PublishedFile(name=SPLIT[0], holds="the split of each image (or .gz)"),
        PublishedFile(
            name=SECTIONED[0], holds="sections, by MIMIC's own create_section_files.py; else reports are read"
        ),
        PublishedFile(name="files", holds="images, and reports, by patient and study"),
        PublishedFile(name="images", holds="images as STUDY-IMAGE.png"),
    ),
    parts=_parts,
    subsets=("mgca", "sections"),
)
