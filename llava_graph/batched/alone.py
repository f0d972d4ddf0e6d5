"""A batch of one row that transformers' own generate() writes: for models that cannot be shown to answer alike in a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from llava_graph.batched.batch import Prompt, Row
from llava_graph.generate import TokenStream

if TYPE_CHECKING:
    from llava_graph.model.load import LoadedModel

ENDED = -2
"""Instead of a token id where generate() has ended by a rule of the checkpoint's own."""


class Alone:
    """As `Batch`, with room for one row."""

    joins_several: bool = False

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._stream: TokenStream | None = None
        self._tokens: Iterator[int] = iter(())
        self._failure: Exception | None = None
        self.rows: list[Row] = []

    def admit(self, prompts: Sequence[Prompt], rows: Sequence[Row]) -> list[int]:
        """See `Batch.admit`. There is one prompt, and no row yet."""
        (prompt,), (row,) = prompts, rows
        self._stream = TokenStream(self._loaded, prompt, row)
        self._tokens = iter(self._stream)
        try:
            token = next(self._tokens, ENDED)
        except BaseException:
            self.clear()
            raise
        self.rows = [row]
        return [token]

    def step(self) -> list[int]:
        """See `Batch.step`; what it raises comes again when it is repeated: generate() does not go on after an error."""
        if self._failure is not None:
            raise self._failure
        try:
            return [next(self._tokens, ENDED)]
        except Exception as error:
            self._failure = error
            raise

    def remove(self, row: Row) -> None:
        """See `Batch.remove`."""
        if row in self.rows:
            self.clear()

    def clear(self) -> None:
        """End it."""
        if self._stream is not None:
            self._stream.close()
        self.rows, self._stream, self._tokens, self._failure = [], None, iter(()), None
