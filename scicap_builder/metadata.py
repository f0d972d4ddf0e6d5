"""What a file says of many papers: Kaggle's `arxiv-metadata-oai-snapshot.json` (JSON lines) or OAI-PMH answers in XML.

Millions of papers fit in no memory: the file is gone through once for the papers wanted, and only their places are kept.
"""

import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from llava_graph.errors import FetchError, InputError

_ID = re.compile(rb'"id"\s*:\s*"([^"\\]+)"')
OAI = "{http://www.openarchives.org/OAI/2.0/}"
ARXIV = "{http://arxiv.org/OAI/arXiv/}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What arXiv's catalogue says of a paper, whatever its version."""

    base: str
    title: str = ""
    abstract: str = ""
    categories: tuple[str, ...] = ()
    licence: str = ""

    def row(self) -> dict[str, str]:
        """As Kaggle's file has it."""
        return {
            "id": self.base,
            "title": self.title,
            "abstract": self.abstract,
            "categories": " ".join(self.categories),
            "license": self.licence,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Known":
        """From a line of Kaggle's file; what is missing or null stays empty."""

        def text(name: str) -> str:
            return " ".join(str(row.get(name) or "").split())

        return cls(
            base=text("id"),
            title=text("title"),
            abstract=text("abstract"),
            categories=tuple(text("categories").split()),
            licence=text("license"),
        )


class MetadataFile:
    """The wanted papers of a metadata file, by their id without version."""

    def __init__(self, path: Path, wanted: Set[str]) -> None:
        """Raises InputError: no such file, or neither of the two layouts."""
        self.path = path
        self._places: dict[str, int] = {}
        self._records: dict[str, Known] = {}
        try:
            with path.open("rb") as file:
                head = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n")
            if head.startswith(b"<"):
                found, _ = parse_records(path.read_bytes())
                self._records = {known.base: known for known in found if known.base in wanted}
            elif head.startswith(b"{"):
                self._index(wanted)
            else:
                raise InputError("neither JSON lines nor OAI-PMH XML", where=str(path), next_step="Unpack it first")
        except OSError as error:
            raise InputError(f"the metadata cannot be read ({error.strerror})", where=str(path)) from error
        except FetchError as error:
            raise InputError(error.what, where=str(path)) from error

    def get(self, base: str) -> Known | None:
        """What the file says of a paper; None where it says nothing, or nothing that can be read."""
        if base in self._records or base not in self._places:
            return self._records.get(base)
        with self.path.open("rb") as file:
            file.seek(self._places[base])
            try:
                row = json.loads(file.readline())
            except ValueError:
                return None
        return Known.from_row(row) if isinstance(row, dict) else None

    def _index(self, wanted: Set[str]) -> None:
        place = 0
        with self.path.open("rb") as file:
            for line in file:
                found = _ID.search(line, 0, 200)
                if found and (base := found[1].decode("utf-8", "replace")) in wanted:
                    self._places[base] = place
                place += len(line)


def parse_records(answer: bytes) -> tuple[list[Known], str]:
    """(records, resumption token; "" at the end) of an OAI-PMH answer in arXiv's own format. Raises FetchError."""
    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    try:
        root: Element = ElementTree.fromstring(answer)
    except (ParseError, DefusedXmlException) as error:
        raise FetchError(f"the OAI-PMH answer is no XML of ours ({error})", reason="bad-answer") from error
    if root.tag != f"{OAI}OAI-PMH":
        raise FetchError("this is no OAI-PMH answer", reason="bad-answer")
    failure = root.find(f"{OAI}error")
    if failure is not None and failure.get("code") != "noRecordsMatch":
        raise FetchError(f"OAI-PMH: {failure.get('code')}: {failure.text}", reason=failure.get("code") or "bad-answer")
    records = [_record(about) for about in root.iter(f"{ARXIV}arXiv")]
    return [known for known in records if known.base], (root.findtext(f".//{OAI}resumptionToken") or "").strip()


def _record(about: Element) -> Known:
    return Known.from_row(
        {name: about.findtext(f"{ARXIV}{name}") for name in ("id", "title", "abstract", "categories", "license")}
    )
