"""A file that says, a line each, what became of what was fetched; a kill costs at most its last line."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llava_graph.durable import flush_to_disk


class Ledger:
    """JSON lines that are only ever added to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> Iterator[dict[str, Any]]:
        """What was written down, in its order; a line that a kill cut off is passed over."""
        if not self.path.is_file():
            return
        for text in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line

    def add(self, line: Mapping[str, Any]) -> None:
        """Write one down; it is on the disk when this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(dict(line))}\n")  # the line break before it ends what a kill cut off
        flush_to_disk(self.path)
