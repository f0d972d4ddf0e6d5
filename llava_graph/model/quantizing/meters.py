"""How much memory is in use, and how much was at most since a moment: of a GPU by torch, of a process by the system."""

from __future__ import annotations

import ctypes
import gc
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Written to clear_refs it sets the peak of resident memory to what is resident now (man 5 proc_pid_clear_refs)."""
SAMPLE_S = 0.001


class Meter(ABC):
    """Bytes in use. A context manager: some watch in a thread."""

    how: str
    """What is measured, in a line."""

    @abstractmethod
    def now(self) -> int:
        """Bytes in use, when what is free was given back."""

    @abstractmethod
    def reset(self) -> None:
        """The peak is now what is in use."""

    @abstractmethod
    def peak(self) -> int:
        """The most since `reset`."""

    def close(self) -> None:  # noqa: B027  (most have nothing to end)
        """End it."""


class CudaMeter(Meter):
    """What torch has allocated on a GPU."""

    how = "torch.cuda.memory_allocated and max_memory_allocated, reset before every question"

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def now(self) -> int:
        """Bytes of tensors that are alive."""
        import torch

        gc.collect()
        torch.cuda.synchronize(self._device)
        return int(torch.cuda.memory_allocated(self._device))

    def reset(self) -> None:
        """See `Meter`."""
        import torch

        torch.cuda.reset_peak_memory_stats(self._device)

    def peak(self) -> int:
        """See `Meter`."""
        import torch

        torch.cuda.synchronize(self._device)
        return int(torch.cuda.max_memory_allocated(self._device))


class ResidentMeter(Meter):
    """The process's resident memory, whose peak Linux itself keeps."""

    how = "resident memory of the process (VmRSS), its peak by the kernel (VmHWM), reset before every question"

    def now(self) -> int:
        """See `Meter`."""
        give_back()
        return _status("VmRSS")

    def reset(self) -> None:
        """See `Meter`. Raises OSError where the system does not allow it."""
        CLEAR.write_text(RESET_PEAK)

    def peak(self) -> int:
        """See `Meter`."""
        return _status("VmHWM")


class SampledMeter(Meter):
    """The process's resident memory, looked at a thousand times a second: what is shorter can be missed."""

    how = "resident memory of the process, looked at every millisecond; shorter peaks can be missed"

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory meter", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self._peak = max(self._peak, self._resident())

    def _resident(self) -> int:
        return int(self._process.memory_info().rss)

    def now(self) -> int:
        """See `Meter`."""
        give_back()
        return self._resident()

    def reset(self) -> None:
        """See `Meter`."""
        self._peak = self._resident()

    def peak(self) -> int:
        """See `Meter`."""
        return max(self._peak, self._resident())

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()


def meter_of(device: torch.device) -> Meter:
    """The exact one of the device, where the system has one."""
    if device.type == "cuda":
        return CudaMeter(device)
    meter = ResidentMeter()
    try:
        meter.reset()
        meter.peak()
    except (OSError, KeyError):
        return SampledMeter()
    return meter


def give_back() -> None:
    """What was freed goes back to the system, so that resident memory is what is in use (glibc; elsewhere it may stay)."""
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(name: str) -> int:
    """Bytes of a line of /proc/self/status, which is in kB. Raises OSError, KeyError."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
    return int(lines[name].split()[0]) * 1024
