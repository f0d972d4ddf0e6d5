"""An explained paper as files: one document by its ending, or a folder with all three forms and the pictures."""

import os
import re
from pathlib import Path
from urllib.parse import quote

from llava_graph.durable import put_in_place, write_text
from llava_graph.errors import ImageError, InputError, did_you_mean
from llava_graph.explained.as_html import to_html
from llava_graph.explained.as_json import to_json
from llava_graph.explained.as_markdown import to_markdown
from llava_graph.explained.records import ExplainedPaper
from llava_graph.images import encode_png, open_image

STORE_ENDING = ".answers.jsonl"
"""Beside a document: what was asked and answered, so that the next run goes on."""
NAME = "report"
"""Of the documents in a folder."""
FORMS = (".html", ".md", ".json")


def store_path(out: Path) -> Path:
    """Where the answers of `out` are kept. Raises InputError for an ending that we do not write."""
    if is_folder(out):
        return out / f"{NAME}{STORE_ENDING}"
    if out.suffix.lower() not in FORMS:
        raise _no_form(out)
    return out.with_name(out.name + STORE_ENDING)


def is_folder(out: Path) -> bool:
    """Whether `out` means a folder: it is one, or has no ending."""
    return out.is_dir() or not out.suffix


def check_place(out: Path) -> None:
    """Refuse to write over a document that is not ours. Raises InputError."""
    store = store_path(out)
    for document in [out / f"{NAME}{form}" for form in FORMS] if is_folder(out) else [out]:
        if document.exists() and not store.exists():
            raise InputError("it exists and is no report of ours", where=str(document), next_step="Give another --out")


def write_documents(document: ExplainedPaper, out: Path) -> list[Path]:
    """Write `document` to the file or folder `out`. Gives what was written. Raises InputError where the disk does not take it."""
    outs = [out / f"{NAME}{form}" for form in FORMS] if is_folder(out) else [out]
    for file in outs:
        write_document(document, file)
    return outs


def write_document(document: ExplainedPaper, file: Path) -> None:
    """One document in the form that its ending says. Raises InputError: another ending, a disk that does not take it."""
    ending = file.suffix.lower()
    if ending not in FORMS:
        raise _no_form(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if ending == ".md":
            text = to_markdown(document, images=write_pictures(document, file))
        else:
            text = to_html(document) if ending == ".html" else to_json(document)
        write_text(file, text)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", where=str(file)) from error


def _no_form(file: Path) -> InputError:
    what = f"no document ends in {file.suffix!r}" if file.suffix else "the name has no ending"
    return InputError(what, where=str(file), next_step=did_you_mean(file.suffix, FORMS))


def write_pictures(document: ExplainedPaper, file: Path) -> dict[str, str]:
    """The figures' pictures in a folder beside `file`: figure id -> address from there. A broken picture is left out."""
    folder = file.with_name(f"{file.stem}.pictures")
    addresses: dict[str, str] = {}
    taken: set[str] = set()
    for explained in document.figures:
        figure = explained.figure
        if figure.image is None or figure.id in addresses:
            continue
        try:
            data = encode_png(open_image(figure.image, where=figure.id))
        except ImageError:
            continue
        name = _unused(re.sub(r"[^\w.-]+", "_", figure.id).strip("._") or "figure", taken)
        folder.mkdir(exist_ok=True)
        part = folder / f"{name}.png.part"
        part.write_bytes(data)
        put_in_place(part, folder / f"{name}.png")
        addresses[figure.id] = f"{quote(os.fsencode(folder.name))}/{name}.png"
    return addresses


def _unused(name: str, taken: set[str]) -> str:
    count, free = 1, name
    while free.casefold() in taken:
        count += 1
        free = f"{name}-{count}"
    taken.add(free.casefold())
    return free
