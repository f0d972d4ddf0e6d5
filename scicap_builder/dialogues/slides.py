"""What is known of whole slides, by video: a table of diagnoses and clues, and what was said over a video's other images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llava_graph.errors import DatasetError, did_you_mean
from llava_graph.record import Figure
from scicap_builder.dialogues.parse import Clues
from scicap_builder.sources.cleaning import described
from scicap_builder.sources.tables import ParquetRows, texts

NARRATION_CHARS = 8000
"""Of what was said over one image or one video that a teacher is shown: some 1,500 words, ten minutes of speech."""
COLUMNS = {
    "video": ("video_id", "video", "id"),
    "diagnosis": ("diagnosis", "diagnoses", "diagnosis_list"),
    "clues": ("clues", "clue", "clues_list"),
}
"""Of diagnosis_and_clues.parquet; its publication names the contents, not the columns."""


def narration_of(figure: Figure) -> str:
    """What was said over the figure: its caption, else the answers of its dialogue, else its paragraphs."""
    return (described(figure) or " ".join(figure.mentions)).strip()[:NARRATION_CHARS]


def video_of(figure: Figure) -> str:
    """The video that the figure is from, without our prefix ("youtube:", "video:"); empty where nobody knows."""
    return figure.paper.id.partition(":")[2]


class Slides:
    """Clues by video, and narrations by video for those that the table does not have."""

    def __init__(self, table: Mapping[str, Clues] | None = None) -> None:
        self._table = table or {}
        self._said: dict[str, str] = {}

    def gather(self, figures: Iterable[Figure]) -> None:
        """Note what was said over each video, NARRATION_CHARS at most: memory grows with the videos, not with the images."""
        for figure in figures:
            video = video_of(figure)
            said = self._said.get(video, "")
            if video and self.known(figure) is None and len(said) < NARRATION_CHARS:
                self._said[video] = f"{said} {narration_of(figure)}".strip()[:NARRATION_CHARS]

    def known(self, figure: Figure) -> Clues | None:
        """What the table says of the figure's video, by its id or by the name of its file."""
        video = video_of(figure)
        return self._table.get(video) or self._table.get(video.rpartition("/")[2])

    def narration(self, figure: Figure) -> str:
        """All that was said over the figure's video, or over the figure alone."""
        return self._said.get(video_of(figure)) or narration_of(figure)


def read_table(path: Path) -> dict[str, Clues]:
    """diagnosis_and_clues.parquet -> video -> clues. Raises DatasetError that names a missing column."""
    names = _names(path)
    rows = ParquetRows([path], list(names.values()))
    found: dict[str, Clues] = {}
    for row in (rows[index] for index in range(len(rows))):
        video = str(row[names["video"]] or "").strip()
        one = Clues(diagnosis=_listed(row[names["diagnosis"]]), clues=_listed(row[names["clues"]]))
        before = found.get(video, Clues())
        if video:
            found[video] = Clues(
                diagnosis=tuple(dict.fromkeys((*before.diagnosis, *one.diagnosis))),
                clues=tuple(dict.fromkeys((*before.clues, *one.clues))),
            )
    return found


def _names(path: Path) -> dict[str, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise DatasetError("no such file", where=str(path), next_step="Give --clues diagnosis_and_clues.parquet")
    try:
        present: Sequence[str] = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"cannot be read as parquet ({error})", where=str(path)) from error
    names: dict[str, str] = {}
    for what, known in COLUMNS.items():
        name = next((name for name in known if name in present), None)
        if name is None:
            raise DatasetError(
                f"has no column for the {what} ({' or '.join(known)})",
                where=str(path),
                next_step=did_you_mean(known[0], present),
            )
        names[what] = name
    return names


def _listed(value: Any) -> tuple[str, ...]:
    return tuple(" ".join(one.split()) for one in texts(value if isinstance(value, list) else [value]))
