"""How a data set is built: frozen options, each with its unit and its reason, checked when they are made."""

from dataclasses import dataclass
from typing import Any

from llava_graph.errors import InputError, did_you_mean
from scicap_builder.one_paper import DEFAULT_READING, NO_OCR, ReadOptions
from scicap_builder.workers import Limits

ENGINES = ("processes", "ray")
MIN_MEMORY_GB = 0.25
"""The readers alone take about 0.15 GB."""


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How a data set is built. Only `read` is part of the data set; the rest may change when a build goes on."""

    read: ReadOptions = DEFAULT_READING
    workers: int = 1
    engine: str = "processes"
    """ "processes" of this machine, or "ray": the same work on a Ray cluster."""
    address: str = ""
    """Of the Ray cluster ("auto", "host:6379", "ray://host:10001"); empty: RAY_ADDRESS, or a Ray of our own on this machine."""
    paper_timeout_s: float = 900.0
    """s for one paper. Routes take seconds, OCR about 1-3 s a figure on one core; a hundred figures do occur."""
    paper_memory_gb: float = 4.0
    """GiB resident for one paper, measured over its whole process."""
    papers_per_shard: int = 32
    """What is lost of a killed build is at most so much reading; downloads are kept in the cache."""
    max_shard_bytes: int = 256 * 2**20
    overwrite: bool = False
    """Begin anew where `out` holds a data set."""

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise InputError(f"unknown engine {self.engine!r}", next_step=did_you_mean(self.engine, ENGINES))
        if self.address and self.engine != "ray":
            raise InputError("an address is Ray's", next_step="Add --engine ray, or leave --address out")
        if self.workers < 1:
            raise InputError(f"workers must be at least 1, got {self.workers}")
        if self.paper_timeout_s <= 0 or self.papers_per_shard < 1:
            raise InputError("paper_timeout_s and papers_per_shard must be positive")
        if self.paper_memory_gb < MIN_MEMORY_GB:
            raise InputError(f"paper_memory_gb must be at least {MIN_MEMORY_GB}, got {self.paper_memory_gb}")

    @property
    def recorded(self) -> dict[str, Any]:
        """What build.json keeps, and what must be the same when a build goes on."""
        return {"builder": "papers", "route": self.read.route, "dpi": self.read.dpi, "ocr": self.read.ocr}

    @property
    def limits(self) -> Limits:
        """What one paper may use."""
        return Limits(seconds=self.paper_timeout_s, memory_bytes=int(self.paper_memory_gb * 2**30))


DEFAULT_BUILD = BuildOptions()


def check_ocr(name: str) -> None:
    """Refuse an OCR engine that does not exist before any work is done. Raises InputError."""
    from ocr import engines

    known = {*engines(), NO_OCR}
    if name not in known:
        raise InputError(f"unknown OCR engine {name!r}", next_step=did_you_mean(name, known))
