"""Where the PDFs of a data set's papers lie: a paper's id in, the path of its PDF out."""

from collections import Counter
from functools import cached_property
from pathlib import Path

from llava_graph.errors import InputError
from scicap_builder.papers import bare_name, list_papers


class PaperPdfs:
    """The PDFs in and below a folder: the papers as `build` was given them, or arXiv's cache (`<id>/paper.pdf`)."""

    def __init__(self, folder: Path | None) -> None:
        """Raises InputError if there is no such folder. None: no PDF is known."""
        if folder is not None and not folder.is_dir():
            raise InputError("no such folder of PDFs", where=str(folder))
        self._folder = folder

    def find(self, paper_id: str) -> Path | None:
        """The PDF of a paper. Found by the id's own name, "1706.03762v7" or "hep-th9901001v1"; versions are never mixed."""
        return self._known.get(paper_id) or self._known.get(_plain(paper_id))

    @cached_property
    def _known(self) -> dict[str, Path]:
        if self._folder is None:
            return {}
        found = [(paper.key, paper.pdf) for paper in list_papers(self._folder).papers if paper.pdf is not None]
        # A folder's only PDF is named after the folder; the paper may have been listed by the file itself.
        stems = Counter(bare_name(pdf) for _, pdf in found)
        by_file = {bare_name(pdf): pdf for _, pdf in found if stems[bare_name(pdf)] == 1}
        return {**by_file, **{_plain(key): pdf for key, pdf in found}, **dict(found)}


def _plain(paper_id: str) -> str:
    """ "arxiv:hep-th/9901001v1" and "local:cache/hep-th9901001v1" -> "hep-th9901001v1"."""
    kind, _, name = paper_id.rpartition(":")
    return name.replace("/", "") if kind == "arxiv" else name.rpartition("/")[2]
