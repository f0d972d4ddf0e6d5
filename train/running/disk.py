"""Disks that are full, read-only or in the way. In: what the operating system says. Out: one line with a next step."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llava_graph.errors import CheckpointError, InputError

NEXT = {
    errno.ENOSPC: "Free some space; the same command goes on from the last whole checkpoint",
    errno.EDQUOT: "Free some space; the same command goes on from the last whole checkpoint",
    errno.ENOENT: "Is the path right, and can a folder be made there?",
    errno.EROFS: "Choose another folder: this disk is read-only",
    errno.EACCES: "Choose a folder that you may write to",
    errno.EPERM: "Choose a folder that you may write to",
    errno.ENOTDIR: "A file stands where a folder is needed: choose another name",
    errno.EEXIST: "A file stands where a folder is needed: choose another name",
    errno.ENAMETOOLONG: "Choose a shorter name",
}
"""What a person can do, by the system's error number."""

FULL = "No space left on device"
TORCH_WRITES = ("PytorchStreamWriter", "inline_container", "unexpected pos")
"""In the RuntimeError of torch.save when a write fails; it does not say why."""


@contextmanager
def disk_told(out: str) -> Iterator[None]:
    """The part of a run that reads and writes files. `out`: where it writes, for errors that name no file.

    Raises InputError, or CheckpointError for weights that cannot be read or written, in place of the system's errors.
    """
    from safetensors import SafetensorError

    try:
        yield
    except BrokenPipeError:  # the reader of our output has gone
        raise
    except OSError as error:
        what = error.strerror or " ".join(str(error).split()) or type(error).__name__
        place = str(error.filename or (out if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""))
        next_step = NEXT.get(error.errno or 0, "LLAVA_GRAPH_DEBUG=1 shows where it happened")
        raise InputError(what, where=place, next_step=next_step) from error
    except SafetensorError as error:
        text = " ".join(str(error).split())
        next_step = NEXT[errno.ENOSPC] if FULL in text else "LLAVA_GRAPH_DEBUG=1 shows which file it is"
        raise CheckpointError(f"weights cannot be read or written ({text})", where=out, next_step=next_step) from error
    except RuntimeError as error:
        if not any(mark in str(error) for mark in TORCH_WRITES):
            raise
        raise CheckpointError(
            f"a checkpoint cannot be written ({' '.join(str(error).split())[:200]})",
            where=out,
            next_step="Is the disk full? With free space the same command goes on from the last whole checkpoint",
        ) from error


def check_writable(out: Path) -> None:
    """Write a file into `out` and take it away again, with the folders that were made for it. Raises OSError."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass
    for folder in missing:
        with suppress(OSError):  # another process has begun to use it
            folder.rmdir()
