"""How well `llava_graph.evidence` tells supported sentences and unsupported numbers, on papers with known truth, and how fast.

python -m benchmarks evidence
"""

import argparse
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.evidence_items import Item, made_from_papers, read_figures, written_by_hand
from benchmarks.truth import PAPERS, folders_in
from llava_graph.evidence import Sentence, evidence
from llava_graph.evidence.found import SUPPORTED, VERDICTS
from llava_graph.evidence.judging import _judge
from llava_graph.evidence.sources import _sources
from llava_graph.record import Figure

WORDS_OF_AN_ANSWER, PARAGRAPHS = 300, 10
ROUNDS = 20


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks evidence", description=__doc__)
    parser.add_argument("--papers", type=Path, default=PAPERS, help="folder with dev/, gold/ and figures/")
    parser.add_argument("--wrong", type=int, default=0, help="print so many misjudged sentences of each label")
    args = parser.parse_args(argv)
    folders_in(args.papers)
    figures = read_figures(args.papers)
    groups = {
        "written by hand": list(written_by_hand(figures, "sentences")),
        "written by hand, unseen": list(written_by_hand(figures, "unseen")),
        "made": list(made_from_papers(figures)),
    }
    for name, items in groups.items():
        judged = [(item, evidence(item.text, item.figure)) for item in items]
        print(f"\n{name}\n")
        _print_verdicts(judged)
        _print_scores(judged)
        _print_wrong(judged, args.wrong)
    print(f"\n{_speed(figures)}")


Judged = Sequence[tuple[Item, tuple[Sentence, ...]]]


def _verdict(found: Iterable[Sentence]) -> str:
    """Of an item that the splitter has cut into several sentences the worst."""
    return max((sentence.verdict for sentence in found), key=VERDICTS.index, default=VERDICTS[-1])


def _print_verdicts(judged: Judged) -> None:
    print("| label | sentences | " + " | ".join(f"{verdict}, %" for verdict in VERDICTS) + " |")
    print("|---|---|" + "---|" * len(VERDICTS))
    for label in dict.fromkeys(item.label for item, _ in judged):
        verdicts = [_verdict(found) for item, found in judged if item.label == label]
        shares = (f"{100 * verdicts.count(verdict) / len(verdicts):.0f}" for verdict in VERDICTS)
        print(f"| {label} | {len(verdicts)} | " + " | ".join(shares) + " |")


def _print_scores(judged: Judged) -> None:
    told = [item.label == "supported" for item, found in judged if _verdict(found) == SUPPORTED]
    true = sum(item.label == "supported" for item, _ in judged)
    print(f'\n- "supported": precision {_share(sum(told), len(told))}, recall {_share(sum(told), true)}')
    flagged = [
        (item, mark.start, mark.end)
        for item, found in judged
        for one in found
        for mark in one.marks
        if mark.kind == "number"
    ]
    own = [one for one in flagged if one[0].label in ("supported", "number")]
    right = {item for item, start, end in own if _is_the_changed(item, start, end)}
    wrong = [item for item, start, end in own if not _is_the_changed(item, start, end)]
    changed = sum(item.label == "number" for item, _ in judged)
    print(
        f'- "unsupported number": precision {_share(len(right), len(right) + len(wrong))}, recall {_share(len(right), changed)}'
    )


def _is_the_changed(item: Item, start: int, end: int) -> bool:
    """Whether a marked number is the one that was changed; in a sentence written by hand any is."""
    if item.label != "number":
        return False
    return item.changed is None or (start < item.changed[1] and end > item.changed[0])


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % of {whole}" if whole else "none"


def _print_wrong(judged: Judged, most: int) -> None:
    for label in dict.fromkeys(item.label for item, _ in judged) if most else ():
        wrong = [
            (item, found)
            for item, found in judged
            if item.label == label and (_verdict(found) == SUPPORTED) != (label == "supported")
        ]
        for item, found in wrong[:most]:
            marks = [item.text[mark.start : mark.end] for one in found for mark in one.marks]
            print(f"    {label}: {_verdict(found)} {marks} {item.figure.id}: {item.text}")


def _speed(figures: dict[str, list[Figure]]) -> str:
    """Time of a whole answer over many paragraphs: anew, and of the update that brings its last sentence."""
    mentions = [one for some in figures.values() for figure in some for one in figure.mentions]
    answer = " ".join(" ".join(mentions[PARAGRAPHS:]).split()[:WORDS_OF_AN_ANSWER])
    figure = Figure(id="a", caption=figures[min(figures)][0].caption, mentions=tuple(mentions[:PARAGRAPHS]))
    anew, known, last = [], [], []
    for _ in range(ROUNDS):
        _sources.cache_clear()
        _judge.cache_clear()
        anew.append(_timed(answer, figure))
        _judge.cache_clear()
        known.append(_timed(answer, figure))
        last.append(_timed(answer, figure))
    return (
        f"{WORDS_OF_AN_ANSWER} words over {PARAGRAPHS} paragraphs of {sum(map(len, figure.mentions)):,} characters, "
        f"median of {ROUNDS}: {statistics.median(anew):.1f} ms for a new figure, "
        f"{statistics.median(known):.1f} ms for a known one, "
        f"{statistics.median(last):.2f} ms where every sentence is known"
    )


def _timed(answer: str, figure: Figure) -> float:
    begun = time.perf_counter()
    evidence(answer, figure)
    return 1000 * (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
