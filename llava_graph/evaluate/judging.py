"""A judge behind an OpenAI-compatible server, asked at the same time, its words kept so that no case is paid for twice.

In: cases. Out: verdicts and failures. On disk: JSON lines {"key", "judge", "item", "order", "text"}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from llava_graph.durable import try_lock
from llava_graph.errors import InputError, LlavaGraphError, ServeError
from llava_graph.evaluate.answers import encodable
from llava_graph.evaluate.judge import Case
from llava_graph.explain import Answerer
from llava_graph.prompt import text_message
from llava_graph.record import Dropped
from llava_graph.sampling import GenerationOptions
from llava_graph.sources import reason_of, told

GENERATION = GenerationOptions(max_new_tokens=512, temperature=0)
FAILURES_IN_A_ROW = 3


class Cache:
    """Verdicts in a file. A context manager; one process at a time."""

    def __init__(self, path: Path) -> None:
        """Raises InputError: another process has it, it cannot be written, or it is something else.

        A spoilt line among others costs its own verdict, which is asked for again.
        """
        try:
            self._file = path.open("a+b")
            if not try_lock(self._file, wait=False):
                self._file.close()
                raise InputError("another process is judging here", where=str(path))
            self._file.seek(0)
            data = self._file.read()
            whole = data.rfind(b"\n") + 1
            self._file.truncate(whole)
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", where=str(path)) from error
        lines = data[:whole].splitlines()
        read = [_verdict(line) for line in lines]
        self._texts: dict[str, str] = dict(one for one in read if one)
        if lines and not self._texts:
            self._file.close()
            raise InputError("holds no verdicts", where=str(path), next_step="Move it away")

    def get(self, key: str) -> str | None:
        """The judge's words, if it was asked before."""
        return self._texts.get(key)

    def add(self, key: str, judge: str, case: Case, text: str) -> None:
        """Keep one verdict."""
        self._texts[key] = text
        row = {"key": key, "judge": judge, "item": case.item, "order": case.order, "text": text}
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._file.flush()

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _verdict(line: bytes) -> tuple[str, str] | None:
    """Key and words of a line; None where it is no verdict."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    key, text = (row.get("key"), row.get("text")) if isinstance(row, dict) else (None, None)
    return (key, text) if isinstance(key, str) and isinstance(text, str) else None


def judge_cases(
    judge: Answerer, cases: Sequence[Case], cache: Cache, *, at_once: int = 8
) -> Iterator[tuple[Case, str | Dropped]]:
    """Each case with the judge's words or why there are none. Raises ServeError when the server is gone."""
    left: list[Case] = []
    for case in cases:
        known = cache.get(case.key(judge.name))
        if known is None:
            left.append(case)
        else:
            yield case, known
    failures = 0
    with ThreadPoolExecutor(at_once) as pool:
        for start in range(0, len(left), 4 * at_once):
            some = left[start : start + 4 * at_once]
            for case, said in zip(some, pool.map(lambda one: _asked(judge, one), some), strict=True):
                if isinstance(said, str):
                    failures = 0
                    cache.add(case.key(judge.name), judge.name, case, said)
                    yield case, said
                    continue
                failures = failures + 1 if isinstance(said, ServeError) else 0
                if failures >= FAILURES_IN_A_ROW:
                    raise said
                yield case, Dropped(item=case.item, reason=reason_of(said), detail=told(said))


def _asked(judge: Answerer, case: Case) -> str | LlavaGraphError:
    try:
        chunks = judge.generate_stream([text_message("user", case.prompt)], [], GENERATION)
        return encodable("".join(chunk.text for chunk in chunks))
    except LlavaGraphError as error:
        return error
