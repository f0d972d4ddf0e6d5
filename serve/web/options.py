"""How the web page behaves: limits and modes, each with its reason."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serve.papers.options import USUAL, ShelfOptions


@dataclass(frozen=True, kw_only=True)
class WebOptions:
    """How the page behaves."""

    model_list_mode: Literal["once", "reload"] = "reload"
    """ "once": the models are those of the first visit; "reload": looked up on every visit."""
    concurrency_count: int = 16
    """Answers at once for all visitors together (LLaVA's default)."""
    max_queue: int = 64
    """Visitors who may wait; the next one is told that the page is full."""
    max_file_bytes: int = 32 * 2**20
    """Of one upload."""
    papers: ShelfOptions = USUAL
    """Where opened papers lie, and what they may cost."""
    medical: bool = False
    """Whether the page says at all times that it is no medical device; otherwise only beside medical images."""
    table_model: str = ""
    """The served model that reads the data of charts; empty: none does."""
    log_dir: Path | None = None
    """Where conversations of visitors who agree are kept, in FastChat's format; None: nowhere."""
    log_visitors: bool = False
    """Whether lines of the log tell visitors apart, by a salted hash of their address."""
