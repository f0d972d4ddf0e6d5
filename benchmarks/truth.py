"""Papers with known truth: read by a route, scored paper by paper with the scorer that lies beside them.

A folder of papers holds `dev/NAME/paper.pdf` (with a source or an HTML page beside it), `gold/NAME.json` and `score.py`.
"""

import contextlib
import importlib.util
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from llava_graph.errors import PaperError
from scicap_builder.one_paper import ReadOptions, default_readers, read_files
from scicap_builder.paper_ref import PaperFiles
from scicap_builder.papers import paper_at
from scicap_builder.pdf import read_pdf
from scicap_builder.reading import PaperReading

PAPERS = Path(__file__).resolve().parent.parent.parent / "shared" / "papers"
MEASURES = {
    "recall": ("found", ("gold",)),
    "precision": ("found", ("found", "extra")),
    "caption exact": ("exact", ("captions",)),
    "caption ≥.95": ("c95", ("captions",)),
    "page": ("page", ("pages",)),
    "region": ("region", ("region_known",)),
    "mentions recall": ("mentions_hit", ("mentions_gold",)),
    "mentions precision": ("mentions_good", ("mentions_found",)),
    "first mention": ("first", ("first_known",)),
}
"""Name -> the scorer's counts: numerator, and what sums to the denominator."""
DRAWS = 2000
"""Bootstrap samples; the ends of a 95 % interval move by a tenth of a per cent."""

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Scored:
    """The scorer's counts for one paper."""

    name: str
    group: str
    """Kind of truth: jats, latex, jose."""
    counts: Counts


def folders_in(papers: Path) -> list[Path]:
    """The folders of all papers. Exits with a hint where there are none."""
    found = sorted(path.parent for path in (papers / "dev").glob("*/paper.pdf"))
    if not found:
        sys.exit(f"no papers with truth under {papers}: give --papers")
    return found


def read(route: str, folder: Path, *, images: bool) -> PaperReading | None:
    """One paper by one route as `scicap_builder build` reads it; None where the folder lacks what the route reads.

    `images=False` renders no picture of the PDF route; those of a source are part of reading it.
    """
    readers = replace(default_readers(), read_pdf=partial(read_pdf, images=images))
    paper = paper_at(str(folder))
    files = PaperFiles(key=paper.key, id=paper.key, pdf=paper.pdf, source=paper.source, html=paper.html)
    needed = {"pdf": files.pdf, "latex": files.source, "html": files.html}
    if route in needed and needed[route] is None:
        return None
    try:
        return read_files(files, ReadOptions(route=route), readers)
    except PaperError as error:
        print(f"{folder.name}: {error}", file=sys.stderr)
        return None


def rows(name: str, reading: PaperReading | None) -> list[str]:
    """The figures of a reading as lines of the scorer's format."""
    figures = reading.figures if reading else ()
    return [
        json.dumps(
            {
                "label": figure.label,
                "caption": figure.caption,
                "mentions": figure.mentions,
                "paper": {"id": name, "page": figure.page, "box": figure.box},
            }
        )
        for figure in figures
    ]


def score(papers: Path, lines: Iterable[str], only: Sequence[str] = ()) -> list[Scored]:
    """Counts for each paper, or for those of `only` (names)."""
    spec = importlib.util.spec_from_file_location("papers_score", papers / "score.py")
    if spec is None or spec.loader is None:
        sys.exit(f"no score.py under {papers}")
    scorer: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    seen: list[Counts] = []

    class Remembering(Counter[str]):
        """The scorer adds up the papers one by one in Counters and prints sums only: this keeps what was added."""

        def update(self, other: Any = None, /, **more: int) -> None:
            if other and "extra" in other:  # a paper without numbered figures has no "gold"
                seen.append({"gold": 0, **other})
            super().update(other, **more)

    scorer.Counter = Remembering
    gold = {path.stem: path for path in sorted((papers / "gold").glob("*.json")) if not only or path.stem in only}
    with tempfile.TemporaryDirectory() as place:
        for name, path in gold.items():
            (Path(place) / f"{name}.json").write_bytes(path.read_bytes())
        predictions = Path(place) / "predictions.jsonl"
        predictions.write_text("".join(f"{line}\n" for line in lines))
        arguments = [str(predictions), "--gold", place, "--pdfs", str(papers / "dev")]
        before, sys.argv = sys.argv, [str(papers / "score.py"), *arguments]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                scorer.main()
        finally:
            sys.argv = before
    # Each paper is added twice: to all, and to its group.
    groups = {name: json.loads(path.read_text())["reader"] for name, path in gold.items()}
    return [Scored(name, groups[name], counts) for name, counts in zip(gold, seen[::2], strict=True)]


def share(counts: Iterable[Counts], measure: str) -> float | None:
    """Per cent over the papers together; None where there is nothing to count."""
    top, bottom = MEASURES[measure]
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    below = sum(total[name] for name in bottom)
    if measure == "region" and not total["pages"]:
        return None  # a route that knows no pages: the scorer counts it as all wrong
    return 100 * total[top] / below if below else None


def interval(scored: Sequence[Scored], measure: str) -> tuple[float, float] | None:
    """95 % of the share when the papers are drawn again and again with replacement."""
    top, bottom = MEASURES[measure]
    pairs = np.array([(s.counts.get(top, 0), sum(s.counts.get(name, 0) for name in bottom)) for s in scored])
    sums = pairs[np.random.default_rng(0).integers(len(pairs), size=(DRAWS, len(pairs)))].sum(1)
    sums = sums[sums[:, 1] > 0]
    if not len(sums):
        return None
    low, high = np.percentile(100 * sums[:, 0] / sums[:, 1], (2.5, 97.5))
    return float(low), float(high)
