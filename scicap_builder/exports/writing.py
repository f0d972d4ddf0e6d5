"""Text files that are there whole or not at all, and JSON lists that are never in memory at once."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def whole(path: Path) -> Iterator[IO[str]]:
    """A text file to write; it gets its name when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def json_line(row: Any) -> str:
    """A value as one line of JSON."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """A small value as a JSON file."""
    with whole(path) as file:
        file.write(json_line(value))


def write_list(file: IO[str], items: Iterable[Any]) -> None:
    """A JSON list, an item a line, written as the items come."""
    file.write("[")
    for number, item in enumerate(items):
        file.write(",\n" if number else "\n")
        file.write(json.dumps(item, ensure_ascii=False))
    file.write("\n]")


def write_lists(path: Path, lists: Iterable[tuple[str, Iterable[Any]]]) -> None:
    """A JSON object of lists, each written as its items come."""
    with whole(path) as file:
        file.write("{")
        for number, (name, items) in enumerate(lists):
            file.write(f"{', ' if number else ''}{json.dumps(name)}: ")
            write_list(file, items)
        file.write("}\n")
