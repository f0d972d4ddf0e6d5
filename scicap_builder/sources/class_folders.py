"""Pathology images in a folder a class, as PA-LLaVA's zero-shot classification uses them: BACH, OSCC, ColonPath.

The question lists the labels, the answer is one of them: any folder of such folders is read the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from llava_graph.record import Figure
from scicap_builder.sources.contract import PUBLISHED, Entry, Part, Source, asked
from scicap_builder.sources.root import Root

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class Classes:
    """What a set's folders are called, in lower case -> the label as the question names it."""

    labels: Mapping[str, str]
    tops: tuple[str, ...]
    """Where its class folders may lie below the root."""


BACH = Classes(
    {
        "normal": "normal tissue",
        "benign": "benign lesion",
        "insitu": "in situ carcinoma",
        "invasive": "invasive carcinoma",
    },
    ("", "Photos", "ICIAR2018_BACH_Challenge/Photos"),
)
OSCC = Classes({"normal": "normal oral epithelium", "oscc": "oral squamous cell carcinoma"}, ("",))
COLON = Classes(
    {
        "normal": "normal colon tissue",
        "negative": "normal colon tissue",
        "tumor": "colon tumor",
        "positive": "colon tumor",
    },
    ("", "ColonPath", "colon"),
)


def question(labels: tuple[str, ...]) -> str:
    """ "Which of these does the image show: …, … or …? Answer with it alone." """
    return f"Which of these does the image show: {', '.join(labels[:-1])} or {labels[-1]}? Answer with it alone."


def entry(found: tuple[str, str, str], _: int, *, name: str, classes: Classes) -> Entry:
    """One image: (its path below the root, folder of its class, its split)."""
    path, folder, split = found
    labels = tuple(dict.fromkeys(classes.labels.values()))
    stem = path.rpartition("/")[2].rpartition(".")[0]
    figure = Figure(
        id=f"{name}:{folder.lower()}/{stem}",
        kind="pathology",
        turns=asked(question(labels), classes.labels[folder.lower()]),
        source=f"{name}/class",
        split=split,
    )
    return Entry(figure=figure, pictures=(path,))


def _images(root: Path, classes: Classes) -> Iterator[tuple[str, str, str]]:
    for top in classes.tops:
        base = root / top if top else root
        if not base.is_dir():
            continue
        for folder in sorted(base.iterdir()):
            split = SPLITS.get(folder.name.lower())
            for inner in sorted(folder.iterdir()) if split and folder.is_dir() else [folder]:
                if inner.is_dir() and inner.name.lower() in classes.labels:
                    names = sorted(file.name for file in inner.iterdir() if file.suffix.lower() in IMAGES)
                    yield from (
                        ((inner / name).relative_to(root).as_posix(), inner.name, split or "test") for name in names
                    )


def _parts(root: Root, _: str, *, name: str, classes: Classes) -> list[Part]:
    rows = list(_images(root.folder, classes))
    if not rows:
        root.need(*(key.capitalize() for key in classes.labels))
    missing = set(classes.labels.values()) - {classes.labels[folder.lower()] for _, folder, _ in rows}
    root.notes.extend(f"no image of {label}" for label in sorted(missing))
    return [Part(name="images", rows=rows, read=partial(entry, name=name, classes=classes), path=root.folder)]


def _source(name: str, title: str, home: str, classes: Classes, *, licence: str, access: str) -> Source:
    return Source(
        name=name,
        title=title,
        home=home,
        licence=licence,
        access=access,
        split=f"{PUBLISHED} where folders are called train, val, test; else all is test",
        files=(),
        parts=partial(_parts, name=name, classes=classes),
    )


BACH_SOURCE = _source(
    "bach", "BACH", "https://zenodo.org/records/3632035", BACH, licence="CC BY-NC-ND 4.0", access="public"
)
OSCC_SOURCE = _source(
    "oscc", "OSCC", "https://www.kaggle.com/datasets/ashenafifasilkebede/dataset", OSCC, licence="", access="public"
)
COLON_SOURCE = _source(
    "colonpath", "ColonPath (MedFMC)", "https://github.com/openmedlab/MedFM", COLON, licence="", access="on request"
)
