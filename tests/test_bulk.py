"""arXiv's bulk archives and metadata files as inputs."""

import io
import json
import tarfile

import pytest
from stand_ins import stand_ins

from llava_graph.dataset import read_dataset, read_dropped
from llava_graph.errors import InputError
from scicap_builder import build
from scicap_builder.metadata import MetadataFile
from scicap_builder.papers import list_papers

SOURCE = b"figure 1 | from the source | Figure 1 shows it."
PDF = b"%PDF\nfigure 1 | from the PDF"
CC = "http://creativecommons.org/licenses/by/4.0/"


def bulk(path, members):
    """A bulk archive as arXiv's: a folder of the month, and one file a paper."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        month = tarfile.TarInfo("1706")
        month.type = tarfile.DIRTYPE
        archive.addfile(month)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def archives(tmp_path):
    folder = tmp_path / "bulk"
    bulk(
        folder / "arXiv_src_1706_001.tar",
        {"1706/1706.03762.gz": SOURCE, "1706/1706.00002.gz": SOURCE, "1706/1706.00003.pdf": PDF, "1706/readme": b"hi"},
    )
    bulk(folder / "arXiv_pdf_1706_001.tar", {"1706/1706.03762.pdf": PDF, "1706/1706.00003.pdf": PDF})
    bulk(folder / "arXiv_src_9901_001.tar", {"9901/hep-th9901001.gz": SOURCE})
    return folder


def test_source_and_pdf_of_one_id_are_one_paper(archives):
    listed = list_papers(archives)
    found = {paper.key: sorted(part.field for part in paper.parts) for paper in listed.papers}
    assert found == {
        "arxiv:1706.03762": ["pdf", "source"],
        "arxiv:1706.00002": ["source"],
        "arxiv:1706.00003": ["pdf"],
        "arxiv:hep-th/9901001": ["source"],
    }
    assert [(item.item, item.reason) for item in listed.dropped] == [
        ("arXiv_src_1706_001.tar:1706/readme", "bad-member")
    ]
    assert not any(paper.remote for paper in listed.papers)


def test_a_bulk_archive_is_read_with_what_a_metadata_file_says(archives, tmp_path):
    rows = [
        {"id": "1706.03762", "title": "Attention\n  is", "abstract": "All", "categories": "cs.CL cs.LG", "license": CC},
        {"id": "hep-th/9901001", "title": "Old", "license": None},
    ]
    (tmp_path / "known.json").write_text("\n".join(map(json.dumps, [*rows, {"id": "9999.99999"}])))
    result = build(archives, tmp_path / "out", readers=stand_ins(), metadata=tmp_path / "known.json")
    figures = {figure.paper.id: figure for figure in read_dataset(tmp_path / "out")}
    assert set(figures) == {"arxiv:1706.03762", "arxiv:1706.00002", "arxiv:1706.00003", "arxiv:hep-th/9901001"}
    one = figures["arxiv:1706.03762"]
    assert (one.caption, one.source, one.licence) == ("from the source", "arxiv", CC)
    assert (one.paper.title, one.paper.categories) == ("Attention is", ("cs.CL", "cs.LG"))
    assert figures["arxiv:1706.00003"].paper.route == "pdf"
    assert result.summary.licences == {CC: 1, "unknown": 3}
    assert build(archives, tmp_path / "out", readers=stand_ins()).summary.figures == 4


def test_an_id_in_a_list_is_taken_from_the_archive_beside_it(archives):
    (archives.parent / "ids.txt").write_text("1706.03762\nbulk/arXiv_src_1706_001.tar\n")
    listed = list_papers(archives.parent / "ids.txt")
    assert (listed.papers[0].key, listed.papers[0].remote) == ("arxiv:1706.03762", False)


def test_an_archive_that_is_cut_off_gives_what_it_holds(archives, tmp_path):
    path = archives / "arXiv_src_1706_001.tar"
    path.write_bytes(path.read_bytes()[: 512 * 4 + 10])
    build(path, tmp_path / "out", readers=stand_ins())
    assert [figure.paper.id for figure in read_dataset(tmp_path / "out")] == ["arxiv:1706.03762"]
    assert [item.reason for item in read_dropped(tmp_path / "out")] == ["broken-archive"]


def test_a_metadata_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("id,licence\n")
    with pytest.raises(InputError, match="neither JSON lines nor OAI-PMH"):
        MetadataFile(tmp_path / "x.csv", set())
    with pytest.raises(InputError, match="No such file"):
        MetadataFile(tmp_path / "none", set())


def test_an_oai_answer_is_a_metadata_file_too(tmp_path):
    (tmp_path / "x.xml").write_text(
        '<?xml version="1.0"?><OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><ListRecords><record><metadata>'
        '<arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>1706.03762</id><title>A</title>'
        f"<license>{CC}</license></arXiv></metadata></record></ListRecords></OAI-PMH>"
    )
    assert MetadataFile(tmp_path / "x.xml", {"1706.03762"}).get("1706.03762").licence == CC
