"""LLaVA-Med's images out of the article archives of PubMed Central: only the wanted ones are kept, nothing is asked twice.

In: a folder with llava_med_image_urls.jsonl and the files that name images. Out: images/PAIR_ID.jpg and a ledger.
All archives together are 3.6 TB, the images 69 GB: an archive is a temporary file while it is gone through.
"""

from __future__ import annotations

import re
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from llava_graph.durable import put_in_place
from llava_graph.errors import AccessDenied, FetchError, SampleRefused
from llava_graph.images import MAX_BYTES
from scicap_builder.fetch import FetchOptions
from scicap_builder.fetch.http import PoliteHttp, is_passing
from scicap_builder.fetch.pace import SYSTEM_CLOCK, Clock
from scicap_builder.progress import tell
from scicap_builder.sources.contract import Source
from scicap_builder.sources.ledger import Ledger
from scicap_builder.sources.llava_med import (
    ALIGNMENT,
    ALIGNMENT_SOURCE,
    CAPTIONS,
    CAPTIONS_SOURCE,
    INSTRUCT,
    INSTRUCT_SOURCE,
    QA50,
    QA50_SOURCE,
    URLS,
)
from scicap_builder.sources.pixels import NoImage, opened
from scicap_builder.sources.root import Root
from scicap_builder.sources.tables import json_rows, need_text, record

HOST = "ftp.ncbi.nlm.nih.gov"
BASE_URL = f"https://{HOST}"
DELAY_S = 0.34
"""NCBI asks for no more than three requests a second."""
MAX_ARCHIVE_BYTES = 4 * 2**30
MAX_UNPACKED_BYTES = 32 * 2**30
LEDGER = "llava_med_images.ledger.jsonl"
GIVES_UP_AFTER = 5
"""Archives in a row without an answer: the server is down, not the archives."""
_PAIR = re.compile(r"[\w.\-]{1,100}")

SAVED, NOT_IN_ARCHIVE, BROKEN = "saved", "not-in-archive", "image-broken"


def pmc_options(base_url: str = BASE_URL, contact: str = "") -> FetchOptions:
    """How PubMed Central is asked."""
    return FetchOptions(
        base_url=base_url, contact=contact, delay_s=DELAY_S, max_bytes=MAX_ARCHIVE_BYTES, deadline_s=3600.0
    )


@dataclass(kw_only=True)
class Fetched:
    """What a run came to, image by image."""

    wanted: int
    """Images that the files in the folder name."""
    there: int
    """Of these, on disk before."""
    counts: Counter[str] = field(default_factory=Counter)
    """what became of an image -> how many; earlier runs included"""
    later: int = 0
    """Images of archives that gave no answer now; another run asks again."""

    @property
    def left(self) -> int:
        """Images that nobody has looked for yet."""
        return self.wanted - self.there - sum(self.counts.values()) - self.later


@dataclass(frozen=True, slots=True)
class Job:
    """One archive and the images wanted of it: member -> pair."""

    path: str
    """On the server: "/pub/pmc/…/PMC1.tar.gz"."""
    members: Mapping[str, str]


def fetch_images(
    folder: Path, fetch: FetchOptions, *, archives: int | None = None, retry: bool = False, clock: Clock = SYSTEM_CLOCK
) -> Fetched:
    """Fetch what the files in `folder` name and is not there yet, of at most so many `archives`.

    With `retry` the images that an earlier run did not find are asked for again. Raises DatasetError (no file of addresses,
    none that names images), FetchError (the server forbids it, or is silent); the same call goes on where it stopped.
    """
    root = Root(folder)
    wanted = wanted_pairs(root)
    images = folder / "images"
    images.mkdir(exist_ok=True)
    there = {pair for pair in wanted if (images / f"{pair}.jpg").is_file()}
    ledger = Ledger(folder / LEDGER)
    known = {} if retry else {pair: what for pair, what in _known(ledger).items() if pair in wanted - there}
    done = Fetched(
        wanted=len(wanted), there=len(there), counts=Counter(what for what in known.values() if what != SAVED)
    )
    todo = wanted - there - {pair for pair, what in known.items() if what != SAVED}
    jobs, refused = plan(root, todo)
    for pair, reason in refused.items():
        ledger.add({"archive": "", "status": reason, "images": {pair: reason}})
        done.counts[reason] += 1
    silent = 0
    with PoliteHttp(fetch, clock=clock) as http:
        for number, job in enumerate(jobs[:archives]):
            tell(f"archives ({done.counts[SAVED]} images)", number, len(jobs[:archives]))
            try:
                status, found = _one_archive(http, job, images)
            except AccessDenied as error:
                error.next_step = f"Wait, and mind {HOST}'s rules; then run the same command again"
                raise
            except FetchError as error:
                if is_passing(error):
                    silent, done.later = silent + 1, done.later + len(job.members)
                    if silent >= GIVES_UP_AFTER:
                        raise
                    continue
                status, found = error.reason, dict.fromkeys(job.members.values(), error.reason)
            silent = 0
            ledger.add({"archive": job.path, "status": status, "images": found})
            done.counts.update(found.values())
    return done


def wanted_pairs(root: Root) -> set[str]:
    """The pairs that the files of LLaVA-Med in the folder name."""
    pairs: set[str] = set()
    present = [(ALIGNMENT_SOURCE, ALIGNMENT, ""), (CAPTIONS_SOURCE, CAPTIONS, ""), (QA50_SOURCE, QA50, "")]
    present += [(INSTRUCT_SOURCE, file, subset) for subset, file in INSTRUCT.items()]
    for source, file, subset in present:
        if root.file(file):
            pairs.update(_pairs_of(root, source, subset))
    if not pairs:
        root.need(ALIGNMENT, *INSTRUCT.values(), CAPTIONS, QA50)
    return pairs


def _pairs_of(root: Root, source: Source, subset: str) -> Iterator[str]:
    for part in source.parts(root, subset):
        for index in range(len(part.rows)):
            try:
                pictures = part.read(part.rows[index], index + 1).pictures
            except SampleRefused:  # counted by the import
                continue
            if pictures:
                yield pictures[0].rpartition("/")[2].rpartition(".")[0]


def plan(root: Root, todo: set[str]) -> tuple[list[Job], dict[str, str]]:
    """(an archive each with what is wanted of it, pair -> why no archive is asked for it)."""
    rows = json_rows(root.need(URLS), ("pair_id", "pmc_tar_url", "image_file_path"))
    archives: dict[str, dict[str, str]] = {}
    refused = dict.fromkeys(todo, "no-address")
    for index in range(len(rows)):
        try:
            row = record(rows[index])
            pair = need_text(row, "pair_id")
            if pair not in todo:
                continue
            url, member = urlsplit(need_text(row, "pmc_tar_url")), need_text(row, "image_file_path")
        except (SampleRefused, ValueError):
            continue
        if not _PAIR.fullmatch(pair) or pair.startswith("."):
            refused[pair] = "unsafe-path"
        elif url.hostname != HOST:
            refused[pair] = "other-host"
        else:
            archives.setdefault(url.path, {})[member.removeprefix("./")] = pair
            refused.pop(pair, None)
    return [Job(path, members) for path, members in archives.items()], refused


def _one_archive(http: PoliteHttp, job: Job, images: Path) -> tuple[str, dict[str, str]]:
    """(status of the archive, pair -> what became of it). Raises FetchError."""
    with tempfile.TemporaryFile() as file:
        answer = http.get(http.options.base_url.rstrip("/") + job.path, into=file)
        if answer.status != 200:
            return "not-found", dict.fromkeys(job.members.values(), "archive-not-found")
        file.seek(0)
        found: dict[str, str] = {}
        try:
            for pair, data in wanted_members(file, job.members):
                found[pair] = _save(images / f"{pair}.jpg", data)
                if len(found) == len(job.members):
                    break
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            missing = {pair: "broken-archive" for pair in job.members.values() if pair not in found}
            return f"broken-archive ({error})", found | missing
    missing = {pair: NOT_IN_ARCHIVE for pair in job.members.values() if pair not in found}
    return "done", found | missing


def wanted_members(file: IO[bytes], members: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """(pair, bytes) of each wanted member of a tar.gz; nothing else is unpacked. Raises tarfile.TarError, EOFError, OSError."""
    unpacked = 0
    with tarfile.open(fileobj=file, mode="r|gz") as archive:
        for member in archive:
            unpacked += member.size
            if unpacked > MAX_UNPACKED_BYTES:
                raise tarfile.TarError("it unpacks to more than any article has")
            pair = members.get(member.name.removeprefix("./"))
            if pair is None or not member.isfile() or member.size > MAX_BYTES:
                continue
            content = archive.extractfile(member)
            if content is not None:
                yield pair, content.read()


def _save(place: Path, data: bytes) -> str:
    """Write an image that can be decoded, whole or not at all."""
    try:
        opened(data, place.name)
    except NoImage:
        return BROKEN
    part = place.with_name(place.name + ".part")
    part.write_bytes(data)
    put_in_place(part, place)
    return SAVED


def _known(ledger: Ledger) -> dict[str, str]:
    """pair -> what became of it; the last word counts."""
    known: dict[str, str] = {}
    for line in ledger.lines():
        if isinstance(images := line.get("images"), dict):
            known.update(images)
    return known
