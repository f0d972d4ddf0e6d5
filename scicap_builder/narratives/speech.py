"""What was said and when: a transcript as JSON (Quilt's, Whisper's), WebVTT or SRT in, utterances in order out.

Read here and not by a library: those that are kept lose YouTube's word-timed captions, or refuse a file for one damaged cue.
"""

from __future__ import annotations

import codecs
import html
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from llava_graph.errors import SampleRefused, did_you_mean

FORMS = (".json", ".vtt", ".srt")
MAX_BYTES = 64 * 2**20
"""A day of speech has less than 2 MB."""
NO_SPEECH, BAD_SPEECH = "no-transcript", "bad-transcript"
LISTS = ("segments", "utterances", "chunks")
"""Where JSON objects hold the utterances: Whisper's `segments`, transformers' `chunks`."""
TEXTS, STARTS, ENDS = ("utterance", "text"), ("start_time", "start"), ("end_time", "end")
_STAMP = r"((?:\d+:)?\d{1,2}:\d{1,2}(?:[.,]\d{1,3})?)"
_CUE = re.compile(rf"\s*{_STAMP}\s*-->\s*{_STAMP}")
_TAG = re.compile(r"<[^>]*>|\{\\[^}]*\}|\[(?:music|applause|laughter|[ _]+)\]|[\u2669-\u266c]", re.IGNORECASE)
"""What is not said: marks, YouTube's sounds and its `[ __ ]`, notes of music."""
_WORD_TIME = re.compile(r"<\d[\d:.]+>")


@dataclass(frozen=True, slots=True)
class Utterance:
    """Some words, from `start` to `end` in s of the video."""

    text: str
    start: float
    end: float

    @property
    def middle(self) -> float:
        """s"""
        return (self.start + self.end) / 2


@dataclass(frozen=True, slots=True)
class Speech:
    """The utterances of a video by time, and how many entries of the transcript could not be used."""

    utterances: tuple[Utterance, ...]
    bad: int = 0


def read_speech(path: Path) -> Speech:
    """The transcript in a file, told by its ending. Raises SampleRefused (no-transcript, bad-transcript)."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SampleRefused(f"has more than {MAX_BYTES // 2**20} MB", reason=BAD_SPEECH, where=str(path))
        data = _decoded(path.read_bytes())
    except OSError as error:
        raise SampleRefused(f"cannot be read ({error.strerror})", reason=NO_SPEECH, where=str(path)) from error
    if path.suffix.lower() == ".json":
        try:
            return spoken(json.loads(data), str(path))
        except (ValueError, RecursionError) as error:
            raise SampleRefused(f"is no JSON ({error})", reason=BAD_SPEECH, where=str(path)) from error
    if path.suffix.lower() not in FORMS:
        raise SampleRefused(
            f"a transcript of an unknown form {path.suffix!r}",
            reason=BAD_SPEECH,
            where=str(path),
            next_step=did_you_mean(path.suffix, FORMS),
        )
    return _settled(_cues(data), str(path))


def _decoded(data: bytes) -> str:
    """UTF-8 or UTF-16 by their marks; what is no UTF-8 is Windows-1252, as subtitle programs wrote it."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def spoken(value: Any, where: str = "") -> Speech:
    """A list of {utterance, start_time, end_time} or {text, start, end}, or an object that holds one. Raises SampleRefused."""
    if isinstance(value, Mapping):
        value = next((value[name] for name in LISTS if isinstance(value.get(name), list)), None)
    if not isinstance(value, list):
        raise SampleRefused(
            "holds no list of utterances",
            reason=BAD_SPEECH,
            where=where,
            next_step=f"Write [{{utterance, start_time, end_time}}, …], or such a list under {' or '.join(LISTS)}",
        )
    return _settled((_entry(entry) for entry in value), where)


def _entry(entry: Any) -> Utterance | None:
    """One utterance of a JSON list; None where it says nothing, or not when."""
    if not isinstance(entry, Mapping):
        return None
    timestamp = entry.get("timestamp")  # transformers: [start, end]
    pair = timestamp if isinstance(timestamp, list | tuple) and len(timestamp) == 2 else (None, None)
    text = next((entry[name] for name in TEXTS if isinstance(entry.get(name), str)), "")
    start: Any = next((entry[name] for name in STARTS if entry.get(name) is not None), pair[0])
    end: Any = next((entry[name] for name in ENDS if entry.get(name) is not None), pair[1])
    try:
        return Utterance(" ".join(text.split()), float(start), float(end))
    except (TypeError, ValueError):
        return None


def _cues(data: str) -> Iterator[Utterance | None]:
    """The cues of WebVTT or SRT. A line that YouTube's rolling captions show again is said once."""
    rolling = bool(_WORD_TIME.search(data))
    before: list[str] = []
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    timings = [number for number, line in enumerate(lines) if "-->" in line]
    for number, following in pairwise([*timings, len(lines)]):
        found = _CUE.match(lines[number])
        if found is None:
            yield None
            continue
        words = _words(_cue_lines(lines[number + 1 : following], last=following == len(lines)))
        fresh = [line for line in words if line not in before] if rolling else words
        before = words
        if fresh:
            yield Utterance(" ".join(fresh), _seconds(found[1]), _seconds(found[2]))


def _cue_lines(lines: list[str], *, last: bool) -> list[str]:
    """The text under a timing: up to an empty line. YouTube's have a blank in them, which is none."""
    if "" in lines:
        return lines[: lines.index("")]
    return lines if last or not lines[-1:] or not lines[-1].strip().isdigit() else lines[:-1]  # the next cue's number


def _words(lines: list[str]) -> list[str]:
    texts = (" ".join(html.unescape(_TAG.sub("", line)).split()) for line in lines)
    return [text for text in texts if text]


def _seconds(stamp: str) -> float:
    """ "1:02:03.5" or "02:03,500" -> s."""
    total = 0.0
    for part in stamp.replace(",", ".").split(":"):
        total = total * 60 + float(part)
    return total


def _settled(found: Iterator[Utterance | None], where: str) -> Speech:
    """In the order of time, without what cannot be. Raises SampleRefused where nothing is left."""
    kept: list[Utterance] = []
    bad = 0
    for one in found:
        if one and one.text and math.isfinite(one.start) and math.isfinite(one.end) and 0 <= one.start <= one.end:
            kept.append(one)
        else:
            bad += 1
    if not kept:
        what = f"none of its {bad} utterances has words and times" if bad else "nothing is said in it"
        raise SampleRefused(what, reason=BAD_SPEECH if bad else NO_SPEECH, where=where)
    return Speech(tuple(sorted(kept, key=lambda one: (one.start, one.end))), bad)
