"""Keys and values of all rows of a batch, in buffers that grow by half: a token is written in place, nothing is copied for it.

Every row ends at the same column, as with prompts padded on the left; what stands before a row's first token is masked.
Columns that no row needs any more are dropped by moving the beginning.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

ROOM = 64
"""Columns by which a buffer grows at least."""


class RowsLayer(CacheLayerMixin):
    """One layer: `keys` and `values` are buffers (row places, heads, column places, head size), of which a part is in use.

    Each layer keeps its own place in its buffers: when there is no memory for the next layer's larger ones, this one is whole.
    """

    is_sliding = False
    is_initialized: bool
    keys: torch.Tensor | None
    values: torch.Tensor | None

    def __init__(self, rows: "Rows") -> None:
        super().__init__()
        self._in_use = rows
        self._first = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Buffers are made by `reserve`."""

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self._in_use.columns

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that queries see, and the first of them."""
        return self._in_use.columns + query_length, 0

    def get_max_length(self) -> int:
        """No limit of its own."""
        return -1

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write behind the columns in use. They count as used only after `Rows.advance`, so a failed step can be repeated."""
        end = self._first + self._in_use.columns
        last = end + key_states.shape[-2]
        keys, values = self._buffers()
        count = key_states.shape[0]
        keys[:count, :, end:last], values[:count, :, end:last] = key_states, value_states
        return keys[:count, :, self._first : last], values[:count, :, self._first : last]

    def reserve(
        self, rows: int, before: int, after: int, like: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> None:
        """Room for `rows` and for so many columns before and behind those in use. `like`: keys and values that may join."""
        columns = self._in_use.columns
        old = self._buffers() if self.is_initialized else ()
        if old:
            places, room = old[0].shape[0], old[0].shape[2]
            if rows <= places and before <= self._first and self._first + columns + after <= room:
                return
            rows = rows if rows <= places else max(rows, 2 * places)
        more = max(after, ROOM, (before + columns) // 2)
        # Zeros: what is masked still goes into sums, times 0.
        made = [
            source.new_zeros(rows, source.shape[1], before + columns + more, source.shape[3])
            for source in like or self._buffers()
        ]
        for new, source in zip(made, old, strict=False):
            kept = self._in_use.count
            new[:kept, :, before : before + columns] = source[:kept, :, self._first : self._first + columns]
        self.keys, self.values = made
        self._first, self.is_initialized = before, True

    def join(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """New rows behind those in use, ending at the same column; `Rows.join` has made room and counts them afterwards."""
        count, columns = self._in_use.count, self._in_use.columns
        last = self._first + columns
        for buffer, states in zip(self._buffers(), (keys, values), strict=True):
            new = buffer[count : count + states.shape[0]]
            new[:, :, self._first : last - states.shape[2]] = 0
            new[:, :, last - states.shape[2] : last] = states

    def extend(self, columns: int) -> None:
        """Put so many columns, which are masked, before those in use."""
        self._first -= columns
        for buffer in self._buffers():
            buffer[: self._in_use.count, :, self._first : self._first + columns] = 0

    def trim(self, columns: int) -> None:
        """Take so many away at the beginning."""
        self._first += columns

    def move(self, source: int, target: int) -> None:
        """The row `source` also at `target`."""
        used = slice(self._first, self._first + self._in_use.columns)
        for buffer in self._buffers():
            buffer[target, :, used] = buffer[source, :, used]

    def _buffers(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self.keys is None or self.values is None:
            raise RuntimeError("keys came before room was made for them")
        return self.keys, self.values


class Rows(Cache):
    """All layers, and how long each row is. A cache of transformers: the model writes into it."""

    layers: list[Any]

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.lengths: list[int] = []
        """Tokens of each row."""
        self.columns = 0
        """In use: the longest row's length."""

    @property
    def count(self) -> int:
        """Rows in use."""
        return len(self.lengths)

    def reserve(self) -> None:
        """Room for one more token in each row. Raises what torch raises without memory; then nothing has changed."""
        for layer in self.layers:
            layer.reserve(self.count, 0, 1)

    def advance(self) -> None:
        """Every row has one token more."""
        self.lengths = [length + 1 for length in self.lengths]
        self.columns += 1

    def join(self, cache: Cache, lengths: list[int]) -> None:
        """New rows from the cache of their prompts, padded on the left to the longest of `lengths`.

        Raises what torch raises without memory; then the rows are as before.
        """
        if not self.layers:
            self.layers = [RowsLayer(self) for _ in cache.layers]
        longest = max(lengths)
        before = max(0, longest - self.columns)
        rows = self.count + len(lengths)
        for layer, new in zip(self.layers, cache.layers, strict=True):
            layer.reserve(rows, before, 1, like=(new.keys, new.values))
        for layer in self.layers:
            if before:
                layer.extend(before)
        self.columns += before
        for layer, new in zip(self.layers, cache.layers, strict=True):
            layer.join(new.keys, new.values)
        self.lengths = [*self.lengths, *lengths]

    def leave(self, row: int) -> None:
        """Take a row out; the last one takes its place. The last of all frees the memory."""
        last = self.count - 1
        if row != last:
            for layer in self.layers:
                layer.move(last, row)
            self.lengths[row] = self.lengths[last]
        del self.lengths[last]
        longest = max(self.lengths, default=0)
        for layer in self.layers:
            layer.trim(self.columns - longest)
        self.columns = longest
        if not self.lengths:
            self.layers = []
