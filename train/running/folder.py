"""One run in an output folder at a time: two would delete each other's unfinished checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llava_graph.durable import FolderLock
from train.batching.checking import as_first_process
from train.running.disk import disk_told

if TYPE_CHECKING:
    from train.flags.arguments import TrainArguments

_held: list[FolderLock] = []


def _let_go() -> None:
    """In a process that was forked off (a data loader's): the lock is its parent's, and must end with that one."""
    for lock in _held:
        lock.forget()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def alone_in(training: TrainArguments) -> Iterator[None]:
    """The output folder, for this run alone; process 0 has the lock. --dry_run and --audit write nothing and need none.

    All processes call it. Raises DatasetError when another run has the folder.
    """
    if training.dry_run or training.audit:
        yield
        return

    out = Path(training.output_dir)
    made = not out.exists()

    def take() -> None:
        with disk_told(str(out)):
            out.mkdir(parents=True, exist_ok=True)
            _held.append(FolderLock(out, work="run", flag="--output_dir"))

    as_first_process(take)
    try:
        yield
    finally:
        if training.process_index == 0:
            _held.pop().close()
            if made:
                with suppress(OSError):  # the run has written something
                    out.rmdir()
