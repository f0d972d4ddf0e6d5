"""What pairing writes down beside the records: a note a figure in `data/shard-*/pairing.parquet`, their sums in `pairing.json`.

A note says what was found or why not, and keeps the published texts as they were, with how far ours agree with them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from llava_graph.shards import read_rows, write_parquet
from scicap_builder.pairing.matching import NUMBER

FILE = "pairing.parquet"
REPORT = "pairing.json"
PAPER, PUBLISHED, ENGINE = "paper", "published", "engine"
"""Where a record's mentions come from (PAPER, PUBLISHED), and the text in it (ENGINE, PUBLISHED); empty: it has none."""
SAME_PARAGRAPH = 0.8
"""F1 of words from which two readings of a paragraph are the same: maths and citations differ, sentences do not."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """One published figure."""

    id: str
    """Of the record, or of the one that it would have been."""
    row: str
    """Its row in the published table."""
    kept: bool
    """Whether there is a record: `--unpaired drop` leaves out those with a reason."""
    reason: str = ""
    """Why the paper gave it no paragraph; empty where it gave some."""
    detail: str = ""
    paper_read: str = ""
    """The paper that was read, with its version; empty where none was."""
    by: str = ""
    """By which the figure was found there: "number" or "caption"; empty: it was not."""
    label_read: str = ""
    """The figure's label there."""
    likeness: float = 0.0
    """0..1 of the two captions, `agreement.similarity`."""
    mentions_from: str = ""
    ocr_from: str = ""
    published_ocr: tuple[str, ...] = ()
    published_sentences: tuple[str, ...] = ()
    published_paragraphs: tuple[str, ...] = ()
    published_first: int | None = None
    """The paragraph of ours (from 0) that the first published one is; -1: none of them. None: one side has none."""
    first_f1: float | None = None
    """F1 of the words of both first paragraphs; None: one side has none."""
    ocr_words: tuple[int, int, int] | None = None
    """Words in the image: published, ours, in both. None: one side has none."""


_TEXT, _TEXTS = pa.string(), pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        ("id", _TEXT),
        ("row", _TEXT),
        ("kept", pa.bool_()),
        ("reason", _TEXT),
        ("detail", _TEXT),
        ("paper_read", _TEXT),
        ("by", _TEXT),
        ("label_read", _TEXT),
        ("likeness", pa.float64()),
        ("mentions_from", _TEXT),
        ("ocr_from", _TEXT),
        ("published_ocr", _TEXTS),
        ("published_sentences", _TEXTS),
        ("published_paragraphs", _TEXTS),
        ("published_first", pa.int32()),
        ("first_f1", pa.float64()),
        ("ocr_words", pa.list_(pa.int32())),
    ]
)

TEXTS = frozenset(["published_ocr", "published_sentences", "published_paragraphs"])


def write_notes(notes: Sequence[Note], folder: Path) -> None:
    """The notes of one shard, into its folder."""
    write_parquet(folder / FILE, [asdict(note) for note in notes], SCHEMA)


def read_notes(out: Path, *, texts: bool = True) -> Iterator[Note]:
    """The notes of a paired data set, shard by shard; without `texts` what was published stays on disk. Raises DatasetError."""
    for file in sorted((out / "data").glob(f"shard-*/{FILE}")):
        for _, row in read_rows(file, without=frozenset() if texts else TEXTS):
            settled: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
            yield Note(**settled)


def compared_mentions(ours: Sequence[str], published: Sequence[str]) -> dict[str, Any]:
    """`published_first` and `first_f1` of a note."""
    if not ours or not published:
        return {}
    wanted = _words(published[0])
    shares = [_f1(_words(paragraph), wanted) for paragraph in ours]
    first = next((place for place, share in enumerate(shares) if share >= SAME_PARAGRAPH), -1)
    return {"published_first": first, "first_f1": round(shares[0], 4)}


def compared_ocr(ours: Iterable[str], published: Iterable[str]) -> dict[str, Any]:
    """`ocr_words` of a note."""
    mine, theirs = _words(" ".join(ours)), _words(" ".join(published))
    if not mine or not theirs:
        return {}
    return {"ocr_words": (theirs.total(), mine.total(), (mine & theirs).total())}


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.lower()))


def _f1(mine: Counter[str], theirs: Counter[str]) -> float:
    return 2 * (mine & theirs).total() / (mine.total() + theirs.total() or 1)


@dataclass(kw_only=True)
class PairingReport:
    """Sums over the notes of a data set."""

    figures: int = 0
    """Published figures that were looked for; `paired` + the sum of `reasons`."""
    paired: int = 0
    """Those with citing paragraphs out of their paper."""
    renumbered: int = 0
    """Those found by their caption, under another number; also of figures that are never cited."""
    found: int = 0
    """Those found in their paper, cited or not."""
    reasons: Counter[str] = field(default_factory=Counter)
    paragraphs_compared: int = 0
    """Figures with first paragraphs on both sides."""
    same_first: int = 0
    """Those whose first paragraphs are the same."""
    first_is_later: int = 0
    """Those whose first published paragraph is one of ours, not the first."""
    kept_published: int = 0
    """Records whose mentions are the published ones."""
    ocr_compared: int = 0
    """Figures with words in the image on both sides."""
    ocr_published: int = 0
    """Words published for them."""
    ocr_ours: int = 0
    ocr_both: int = 0

    def add(self, note: Note) -> None:
        """Count one more."""
        self.figures += 1
        self.paired += not note.reason
        self.found += bool(note.by)
        self.renumbered += bool(note.by) and note.by != NUMBER
        self.kept_published += note.kept and note.mentions_from == PUBLISHED
        if note.reason:
            self.reasons[note.reason] += 1
        if note.published_first is not None:
            self.paragraphs_compared += 1
            self.same_first += note.published_first == 0
            self.first_is_later += note.published_first > 0
        if note.ocr_words:
            published, ours, both = note.ocr_words
            self.ocr_compared += 1
            self.ocr_published += published
            self.ocr_ours += ours
            self.ocr_both += both

    def as_json(self) -> dict[str, Any]:
        """What `pairing.json` holds."""
        return {**asdict(self), "reasons": dict(self.reasons.most_common())}

    def lines(self) -> Iterator[str]:
        """The report as a person reads it."""
        yield f"paired: {self.paired} of {self.figures} figures have citing paragraphs out of their paper" + (
            f" ({self.renumbered} were found under another number)" if self.renumbered else ""
        )
        if self.reasons:
            yield "not paired: " + ", ".join(f"{reason} {count}" for reason, count in self.reasons.most_common())
        if self.kept_published:
            yield f"{self.kept_published} records keep the published paragraphs"
        if self.paragraphs_compared:
            yield (
                f"first paragraph beside the published one: the same in {self.same_first} of {self.paragraphs_compared}, "
                f"a later one of ours in {self.first_is_later}"
            )
        if self.ocr_compared:
            yield (
                f"words in the image beside the published ones: {self.ocr_both} of {self.ocr_published} are read, "
                f"{self.ocr_ours - self.ocr_both} more are ours, in {self.ocr_compared} figures"
            )


def sums(out: Path) -> PairingReport:
    """The report of a data set, from all its notes, one shard in memory."""
    report = PairingReport()
    for note in read_notes(out, texts=False):
        report.add(note)
    return report
