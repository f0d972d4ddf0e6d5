"""Where the PDFs of a data set's papers lie: a paper's id in, the path of its PDF out."""

from collections import Counter
from functools import cached_property
from pathlib import Path

from llava_graph.errors import InputError
from scicap_builder.folders import bare_name
from scicap_builder.papers import list_papers


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
        """Names -> PDFs: the names that `build` gives, and those of files and of folders with one PDF, where only one has it."""
        if self._folder is None:
            return {}
        pdfs = sorted(path for path in self._folder.rglob("*") if path.suffix.lower() == ".pdf" and path.is_file())
        alone = Counter(pdf.parent for pdf in pdfs)
        names = [(bare_name(pdf), pdf) for pdf in pdfs]
        names += [(pdf.parent.name, pdf) for pdf in pdfs if alone[pdf.parent] == 1 and pdf.stem != pdf.parent.name]
        counts = Counter(name for name, _ in names)
        known = {name: pdf for name, pdf in names if counts[name] == 1}
        listed = list_papers(self._folder).papers if pdfs else ()
        return known | {paper.key: paper.pdf for paper in listed if paper.pdf is not None}


def _plain(paper_id: str) -> str:
    """ "arxiv:hep-th/9901001v1" and "local:cache/hep-th9901001v1" -> "hep-th9901001v1"."""
    kind, _, name = paper_id.rpartition(":")
    return name.replace("/", "") if kind == "arxiv" else name.rpartition("/")[2]
