"""A video's frames, one by one, decoded by OpenCV (FFmpeg in its LGPL build): a local file in, RGB frames and their times out.

Never more than one frame is held here. Only containers of frames are opened: FFmpeg also reads playlists and scripts, which name
other files and addresses.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llava_graph.errors import ImageError, SampleRefused
from llava_graph.images import check_size

if TYPE_CHECKING:
    import cv2

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".3gp", ".webm", ".mkv", ".avi", ".wmv", ".asf", ".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts",
    ".flv", ".ogv",
)  # fmt: skip
"""What is taken of a folder; a file that is named may be called anything."""
_MAGIC = (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"FLV\x01", b"OggS", b"0&\xb2u\x8ef\xcf\x11")
"""Beginnings of Matroska and WebM, MPEG, FLV, Ogg, ASF (WMV). MP4 and AVI are told by what follows their first four bytes."""
_TS_PACKETS = ((0, 188), (4, 196))
"""Places of the first two packets of MPEG-TS, and of a camera's (M2TS); each begins with b"G"."""
_DAMAGED_IN_A_ROW = 100
"""So many frames may be damaged, about 3 s; then the file has ended. OpenCV does not tell one from the other."""
_MAX_RATE = 1000.0
"""Frames/s; what a header states beyond it is wrong."""


@dataclass(frozen=True, slots=True)
class Frame:
    """(height, width, 3) uint8 RGB, shown from `time` (s) on."""

    time: float
    pixels: np.ndarray


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What the container states; 0 where it does not."""

    width: int
    """px"""
    height: int
    fps: float
    seconds: float


def video_facts(path: Path) -> VideoFacts:
    """Raises SampleRefused (no-video, not-a-video, video-broken, bad-size)."""
    with _opened(path) as capture:
        return _facts(capture)


def read_frames(path: Path, rate: float) -> Iterator[Frame]:
    """The frames in order, at most `rate` a second. Ends where the file ends or is cut off.

    Frames that are damaged are left out. Raises SampleRefused as `video_facts`.
    """
    import cv2

    step = 1 / rate
    with _opened(path) as capture:
        last, due = -math.inf, 0.0
        nominal = 1 / (_facts(capture).fps or _MAX_RATE)
        damaged = 0
        while damaged < _DAMAGED_IN_A_ROW:
            if not capture.grab():
                damaged += 1
                continue
            damaged = 0
            stated = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            # A time that stands still or goes back is no time: the stated rate counts on.
            time = stated if stated > last else last + nominal
            last = time
            if time < due - nominal / 2:
                continue
            read, pixels = capture.retrieve()
            if read and pixels is not None:
                due = max(due + step, time)
                yield Frame(time, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


class Spans:
    """Frames of one span of time after the other, in order, of frames that are read once.

    Read on and never sought: where frames come at a variable rate, or as MPEG-TS, OpenCV finds others, or none.
    """

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._waiting: Frame | None = None

    def span(self, start: float, end: float) -> Iterator[Frame]:
        """Those shown from `start` to `end` (s); each span begins where the one before ended, or later."""
        while frame := self._waiting or next(self._frames, None):
            self._waiting = frame if frame.time >= end else None
            if self._waiting:
                return
            if frame.time >= start:
                yield frame


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    _check_container(path)
    # FFmpeg and OpenCV write their complaints into the terminal; ours name the file.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    finally:
        cv2.utils.logging.setLogLevel(level)
    try:
        if not capture.isOpened():
            raise SampleRefused(
                "the video cannot be opened (broken, cut off, or in a format that this OpenCV does not decode)",
                reason="video-broken",
                where=str(path),
            )
        facts = _facts(capture)
        try:
            check_size((facts.width, facts.height), str(path))
        except ImageError as error:
            raise SampleRefused(error.what, reason="bad-size", where=str(path)) from error
        yield capture
    finally:
        capture.release()


def _facts(capture: Any) -> VideoFacts:
    import cv2

    fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    fps = fps if math.isfinite(fps) and 0 < fps <= _MAX_RATE else 0.0
    return VideoFacts(
        width=int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        height=int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        fps=fps,
        seconds=count / fps if fps and math.isfinite(count) and count > 0 else 0.0,
    )


def _check_container(path: Path) -> None:
    """Refuse what is no file of frames, by its first bytes. Raises SampleRefused."""
    try:
        with path.open("rb") as file:
            head = file.read(_TS_PACKETS[-1][-1] + 1)
    except OSError as error:
        raise SampleRefused(f"cannot be read ({error.strerror})", reason="no-video", where=str(path)) from error
    if head.startswith(_MAGIC) or head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return
    if any(all(head[at : at + 1] == b"G" for at in places) for places in _TS_PACKETS):
        return
    raise SampleRefused(
        "no video (MP4, MOV, Matroska, WebM, AVI, WMV, MPEG, FLV, Ogg)", reason="not-a-video", where=str(path)
    )
