"""Annotates reports with the package `radgraph`: `python radgraph_process.py MODEL TEXTS.json GRAPHS.json`.

It runs in another environment, which has radgraph and not this package. In: a list of texts. Out: {place: annotation}.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def main(model: str, asked: str, answered: str) -> None:
    """`model`: the package's name for it, or a folder of that name that holds it."""
    package: Any = importlib.import_module("radgraph")
    place = Path(model)
    own = {"model_cache_dir": str(place.parent)} if place.is_dir() else {}
    annotate = package.RadGraph(model_type=place.name, **own)
    texts = json.loads(Path(asked).read_text(encoding="utf-8"))
    Path(answered).write_text(json.dumps(annotate(texts)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
