"""How much memory a process and those that it started really use, and how a process makes itself the first to go.

Resident memory, not address space: onnxruntime and thread stacks reserve far more than they ever touch, and PDFium aborts where
an allocation is refused (RLIMIT_AS), so that a limit on address space would kill papers that fit.
"""

import os
from contextlib import suppress
from pathlib import Path


def resident_bytes(process: int) -> int:
    """Of the process and all below it; 0 where the system does not say (anything but Linux) or it is gone."""
    total, todo = 0, [str(process)]
    while todo:
        folder = Path("/proc") / todo.pop()
        with suppress(OSError, ValueError, IndexError):  # it may end while we look
            total += int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in (folder / "task").iterdir():
                todo += (task / "children").read_text().split()
    return total


def expendable() -> None:
    """Ask Linux to end this process first when memory runs out, and to write no core file when it crashes."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def die_with_parent() -> None:
    """Ask Linux to kill this process with the thread that started it, even while foreign code holds the interpreter."""
    with suppress(OSError, AttributeError):
        import ctypes

        pr_set_pdeathsig, sigkill = 1, 9
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, sigkill)
