"""The verdict on each sample of a collection, and all of them as one table that is kept on disk between runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

import llava_graph
from llava_graph.durable import put_in_place
from train.sources.pictures import is_image_trouble

ROW = np.dtype(
    [("tokens", "i4"), ("answers", "i4"), ("images", "i4"), ("answer_cut", "?"), ("turns_cut", "?"), ("repairs", "u8")]
)
MAX_REPAIRS = 64
"""Kinds of repairs are bits of one number; a file with more kinds than that has its rarest counted as one."""
OTHER_REPAIR = "other repairs"


class Verdict(NamedTuple):
    """What was found out about one sample."""

    number: int
    tokens: int = 0
    """Images included."""
    answers: int = 0
    """Tokens that are learnt."""
    images: int = 0
    answer_cut: bool = False
    turns_cut: bool = False
    repairs: tuple[str, ...] = ()
    refused: tuple[str, str, str] | None = None
    """(what the sample is called, a countable reason, what was wrong); None: it is good."""


@dataclass(frozen=True)
class Verdicts:
    """Verdicts by number of the sample. Not every sample has one before the first look is done."""

    rows: np.ndarray
    """(seen,) of `ROW`"""
    refused: dict[int, tuple[str, str, str]]
    repairs: list[str]
    """Kind of repair -> its bit."""

    @classmethod
    def empty(cls, seen: int) -> Verdicts:
        """Room for so many."""
        return cls(np.zeros(seen, dtype=ROW), {}, [])

    def record(self, verdicts: Iterable[Verdict]) -> None:
        """Write them down; a later one replaces an earlier one."""
        for verdict in verdicts:
            self.refused.pop(verdict.number, None)
            if verdict.refused is not None:
                self.refused[verdict.number] = verdict.refused
            self.rows[verdict.number] = (*verdict[1:6], sum(1 << self._bit(kind) for kind in {*verdict.repairs}))

    def _bit(self, kind: str) -> int:
        if kind not in self.repairs and len(self.repairs) >= MAX_REPAIRS - 1:
            kind = OTHER_REPAIR
        if kind not in self.repairs:
            self.repairs.append(kind)
        return self.repairs.index(kind)

    def kept(self) -> np.ndarray:
        """(n,) numbers of the good samples, in order."""
        good = np.ones(len(self.rows), dtype=bool)
        good[list(self.refused)] = False
        return np.flatnonzero(good)

    def count_repairs(self, kept: np.ndarray) -> dict[str, int]:
        """kind -> how many of the samples `kept` were mended so"""
        bits = self.rows["repairs"][kept]
        counts = {kind: int((bits >> np.uint64(bit) & np.uint64(1)).sum()) for bit, kind in enumerate(self.repairs)}
        return {kind: count for kind, count in counts.items() if count}

    def image_trouble(self) -> list[int]:
        """Numbers of the samples with an image that could not be opened: somebody may have put it there since."""
        mask = sum(1 << bit for bit, kind in enumerate(self.repairs) if is_image_trouble(kind))
        mended = np.flatnonzero(self.rows["repairs"] & np.uint64(mask)).tolist()
        return sorted({*mended, *(index for index, (_, reason, _) in self.refused.items() if is_image_trouble(reason))})


def verdict_file(identity: Mapping[str, Any]) -> Path:
    """Where the verdicts on samples of this identity are kept: $LLAVA_GRAPH_CACHE, else beside Hugging Face's cache."""
    from huggingface_hub.constants import HF_HOME

    root = Path(os.environ.get("LLAVA_GRAPH_CACHE") or Path(HF_HOME) / "llava-graph")
    told = json.dumps(identity, sort_keys=True, default=str)
    return root / "checked" / f"{hashlib.sha256(f'{code_digest()}{told}'.encode()).hexdigest()[:32]}.npz"


def code_digest() -> str:
    """A digest of the code that decides about a sample: a new version of it looks again."""
    digest = hashlib.sha256()
    for package in (Path(llava_graph.__file__).parent, Path(__file__).parent, Path(__file__).parent.parent / "sources"):
        for file in sorted(package.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def save_verdicts(verdicts: Verdicts, file: Path) -> None:
    """Write the table at once or not at all."""
    told = json.dumps({"repairs": verdicts.repairs, "refused": list(verdicts.refused.items())})
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.stem}-{os.getpid()}.npz")
    np.savez_compressed(part, rows=verdicts.rows, told=np.frombuffer(told.encode(), dtype=np.uint8))
    put_in_place(part, file)


def read_verdicts(file: Path, seen: int) -> Verdicts | None:
    """A table of earlier verdicts on `seen` samples; None when there is none that can be used."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as saved:
            rows, told = saved["rows"], json.loads(saved["told"].tobytes())
        refused = {int(index): tuple(one) for index, one in told["refused"]}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # none yet, or spoilt: it is made anew
        return None
    return Verdicts(rows, refused, told["repairs"]) if rows.dtype == ROW and len(rows) == seen else None
