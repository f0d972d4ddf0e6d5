"""Reading a paper in a process of its own: a hostile PDF costs itself, never the page. Files in, a folder of the shelf out."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from llava_graph.errors import LlavaGraphError, PaperError
from scicap_builder.one_paper import ReadOptions, default_readers, read_paper
from scicap_builder.paper_ref import PaperFiles
from scicap_builder.progress import Step, listening
from scicap_builder.workers import Failure, Limits, Workers
from serve.papers.entry import write_entry

PATIENCE_S = 0.15
"""s between two looks at the process."""
NOTE = "progress"


@dataclass(frozen=True, kw_only=True)
class ReadJob:
    """What the process is given."""

    files: PaperFiles
    options: ReadOptions
    folder: Path
    """Empty; the paper is written into it. What is being done stands in the file `NOTE` beside it."""

    @property
    def note(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{NOTE}")


def read_apart(job: ReadJob, limits: Limits, tell: Callable[[Step], None]) -> None:
    """Read a paper in another process. `tell` hears what is being done, and ends the process by raising.

    Raises PaperError when the paper cannot be read within `limits`, or what the reader has raised.
    """
    tell(Step(what="starting the reader"))
    try:
        with Workers(_read, 1, limits=limits) as workers:
            workers.give(job)
            told = None
            while True:
                for _, result in workers.results(PATIENCE_S):
                    if isinstance(result, Failure):
                        raise _error(result, limits)
                    return
                step = _noted(job.note) or told
                # Told again and again, also where nothing has changed: this is where somebody who waits may leave.
                tell(step or Step(what="starting the reader"))
                told = step
    finally:
        job.note.unlink(missing_ok=True)


def _read(job: ReadJob) -> int:
    """In the process. Gives back how many figures were written (`Workers` takes None for "not yet")."""
    last = 0.0

    def note(step: Step) -> None:
        nonlocal last
        if time.monotonic() - last > PATIENCE_S:
            last = time.monotonic()
            part = job.note.with_suffix(".part")
            part.write_text(json.dumps([step.what, step.done, step.total]), encoding="utf-8")
            part.replace(job.note)

    with listening(note):
        records = read_paper(job.files, job.options, default_readers())
        write_entry(job.folder, records, _pdf(job.files))
    return len(records.figures)


def _pdf(files: PaperFiles) -> Path | None:
    """The PDF; some papers were given to arXiv as a PDF, which then stands in for their source."""
    if files.pdf is None and files.source is not None and files.source.is_file():
        with files.source.open("rb") as opened:
            return files.source if opened.read(5) == b"%PDF-" else None
    return files.pdf


def _noted(note: Path) -> Step | None:
    with suppress(OSError, ValueError):
        what, done, total = json.loads(note.read_text(encoding="utf-8"))
        return Step(what=str(what), done=int(done), total=int(total))
    return None


def _error(failure: Failure, limits: Limits) -> LlavaGraphError:
    if failure.error is not None and isinstance(failure.error, LlavaGraphError):
        return failure.error
    what = {
        "timeout": f"reading this paper takes longer than {limits.seconds:.0f} s",
        "memory": f"reading this paper takes more than {limits.memory_bytes / 2**30:.1f} GB of memory",
        "crashed": "this file makes the reader crash: it is damaged, or made to do harm",
    }.get(failure.reason, f"the reader failed on this paper ({failure.detail})")
    return PaperError(what, reason=failure.reason, next_step="Crop the figure out of the page and drop it as a picture")
