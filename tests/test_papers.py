"""What a person lists: ids in every form, paths, folders, and lines that name nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.errors import InputError
from scicap_builder.arxiv_id import ArxivId, parse_arxiv_id
from scicap_builder.papers import list_papers, paper_at


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1706.03762", "1706.03762"),
        ("1706.03762v7", "1706.03762v7"),
        ("0704.0001", "0704.0001"),
        ("1412.9999", "1412.9999"),
        ("1501.00001", "1501.00001"),
        ("arXiv:1706.03762", "1706.03762"),
        ("ARXIV: 1706.03762v2 [cs.CL]", "1706.03762v2"),
        ("1706.03762v7.pdf", "1706.03762v7"),
        ("https://arxiv.org/abs/1706.03762", "1706.03762"),
        ("http://www.arxiv.org/abs/1706.03762v1?context=cs", "1706.03762v1"),
        ("https://arxiv.org/pdf/1706.03762v7.pdf#page=3", "1706.03762v7"),
        ("https://arxiv.org/html/1706.03762v7", "1706.03762v7"),
        ("export.arxiv.org/src/1706.03762/", "1706.03762"),
        ("https://arxiv.org/e-print/hep-th/9901001", "hep-th/9901001"),
        ("https://ar5iv.labs.arxiv.org/html/1706.03762", "1706.03762"),
        ("https://doi.org/10.48550/arXiv.1706.03762", "1706.03762"),
        ("10.48550/arXiv.1706.03762", "1706.03762"),
        ("hep-th/9901001", "hep-th/9901001"),
        ("HEP-TH/9901001V3", "hep-th/9901001v3"),
        ("math.GT/0309136v1", "math/0309136v1"),
        ("cs/0012007", "cs/0012007"),
    ],
)
def test_ids_in_every_form_people_have(text, canonical):
    assert str(parse_arxiv_id(text)) == canonical


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1713.00001", "no month"),
        ("99999.99999", "no such id can exist: '99' is no month"),
        ("1706.037621", "no such id can exist: a number has four or five digits, not 6"),
        ("17061.03762", "no such id can exist: year and month have four digits"),
        ("1706.3762", "5 digits"),
        ("1401.00001", "4 digits"),
        ("0703.0001", "April 2007"),
        ("1706.00000", "begin at 1"),
        ("1706.03762v0", "neither"),
        ("hepth/9901001", "hep-th"),
        ("hep-th/9001001", "July 1991"),
        ("hep-th/0704001", "March 2007"),
        ("https://example.org/abs/1706.03762", "neither"),
        ("https://arxiv.org.example.org/abs/1706.03762", "neither"),
        ("", "neither"),
        ("1706.03762; rm -rf /", "neither"),
        ("../../1706.03762", "neither"),
    ],
)
def test_what_is_no_id_is_refused_with_the_reason(text, why):
    with pytest.raises(InputError, match=why):
        parse_arxiv_id(text)


@given(st.text(max_size=60))
def test_any_text_is_an_id_or_an_input_error(text):
    try:
        found = parse_arxiv_id(text)
    except InputError:
        return
    assert parse_arxiv_id(str(found)) == found


def test_the_file_key_is_arxivs_own():
    assert ArxivId(base="hep-th/9901001", version=2).file_key == "hep-th9901001v2"


@pytest.fixture
def corpus(tmp_path):
    """A folder of papers in every layout that people keep them in."""
    for name in ("one/paper.pdf", "one/source.tar.gz", "one/meta.json", "only-pdf/article.pdf", "only-source/src.tgz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "one" / "meta.json").write_text(json.dumps({"license": "CC-BY-4.0", "id": "ignored"}))
    tree = tmp_path / "unpacked"
    tree.mkdir()
    for name in ("main.tex", "main.pdf", "figure1.pdf"):
        (tree / name).write_bytes(b"x")
    loose = tmp_path / "loose"
    loose.mkdir()
    for name in ("a.pdf", "a.tar.gz", "b.pdf", "2305.03393v1.gz", "notes.txt", ".hidden.pdf"):
        (loose / name).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    return tmp_path


def by_key(listed):
    return {paper.key: paper for paper in listed.papers}


def test_a_folder_of_papers_in_every_layout(corpus):
    found = by_key(list_papers(corpus))
    assert set(found) == {
        "local:one", "local:only-pdf", "local:only-source", "local:unpacked", "local:a", "local:b", "local:2305.03393v1",
    }  # fmt: skip
    assert found["local:one"].pdf.name == "paper.pdf"
    assert found["local:one"].source.name == "source.tar.gz"
    assert found["local:one"].licence == "CC-BY-4.0"
    assert (found["local:only-pdf"].pdf.name, found["local:only-pdf"].source) == ("article.pdf", None)
    assert (found["local:only-source"].pdf, found["local:only-source"].source.name) == (None, "src.tgz")
    assert found["local:unpacked"].source == corpus / "unpacked"
    assert found["local:unpacked"].pdf.name == "main.pdf"
    assert (found["local:a"].pdf.name, found["local:a"].source.name) == ("a.pdf", "a.tar.gz")
    assert (found["local:b"].pdf.name, found["local:b"].source) == ("b.pdf", None)


def test_files_that_are_named_after_ids_are_papers_of_their_own(tmp_path):
    names = ("1706.03762v7.tex", "arXiv-1706.03762v7.pdf", "2305.03393v1.tar.gz", "notes.tex", "hep-th/9901001v2.pdf",
             "hep-th/9901002v1.tar.gz", "deep/2101.00001v1.pdf", "deep/more/2101.00002v1.pdf", "deep/more/index.html",
             "own/1801.00001v1.pdf", "own/main.tex", "own/img/plot.pdf")  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert set(by_key(list_papers(tmp_path))) == {
        "local:1706.03762v7", "local:arXiv-1706.03762v7", "local:2305.03393v1", "local:notes", "local:9901001v2",
        "local:9901002v1", "local:2101.00001v1", "local:more", "local:own",
    }  # fmt: skip


def test_one_papers_folder_directly(corpus):
    [paper] = list_papers(corpus / "one").papers
    assert paper.key == "local:one"


def test_a_list_file_with_comments_and_bad_lines(corpus):
    (corpus / "ids.txt").write_text(
        "\ufeff# my papers\n\n1706.03762  # attention\r\nloose/b.pdf\nno such thing\n1713.00001\nloose/notes.txt\n"
        "hep-th/9901001v2\n"
    )
    listed = list_papers(corpus / "ids.txt")
    assert [paper.key for paper in listed.papers] == ["arxiv:1706.03762", "local:b", "arxiv:hep-th/9901001v2"]
    assert [(line.item, line.reason) for line in listed.dropped] == [
        ("ids.txt:5", "bad-line"),
        ("ids.txt:6", "bad-line"),
        ("ids.txt:7", "bad-line"),
    ]
    assert "no month" in listed.dropped[1].detail
    assert listed.papers[0].where == "ids.txt:3"


def test_duplicates_are_one_paper_and_counted(corpus):
    (corpus / "ids.txt").write_text(
        "1706.03762\narXiv:1706.03762\nhttps://arxiv.org/abs/1706.03762v3\nloose/b.pdf\n./loose/../loose/b.pdf\n"
    )
    listed = list_papers(corpus / "ids.txt")
    assert [paper.key for paper in listed.papers] == ["arxiv:1706.03762", "local:b"]
    assert [(line.item, line.reason) for line in listed.dropped] == [
        ("ids.txt:2", "duplicate"),
        ("ids.txt:3", "duplicate"),
        ("ids.txt:5", "duplicate"),
    ]
    assert "ids.txt:1" in listed.dropped[0].detail


def test_a_pdf_and_its_source_on_two_lines_are_one_paper(corpus):
    (corpus / "ids.txt").write_text("loose/a.tar.gz\nloose/a.pdf\n")
    [paper] = list_papers(corpus / "ids.txt").papers
    assert (paper.pdf.name, paper.source.name) == ("a.pdf", "a.tar.gz")


def test_papers_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    for name in ("x/paper.pdf", "y/paper.pdf", "y/z/paper.pdf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "ids.txt").write_text("x/paper.pdf\ny/paper.pdf\ny/z/paper.pdf\n")
    assert [paper.key for paper in list_papers(tmp_path / "ids.txt").papers] == [
        "local:x/paper",
        "local:y/paper",
        "local:z/paper",
    ]


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [("list.txt", b"# nothing\n\n", "no paper is named"), ("list.bin", b"\0\1\2", "not a text file")],
)
def test_a_list_that_names_nothing(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=why):
        list_papers(tmp_path / name)


def test_a_list_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        list_papers(tmp_path / "ids.txt")
    with pytest.raises(InputError, match="no such file"):
        paper_at("./paper.pdf")


def test_an_id_can_stand_for_a_list():
    assert [paper.key for paper in list_papers("1706.03762v7").papers] == ["arxiv:1706.03762v7"]


def test_an_empty_folder_is_dropped_with_a_reason(tmp_path):
    [line] = list_papers(tmp_path).dropped
    assert line.reason == "no-papers"


def test_the_papers_beside_the_checkout(papers_dir):
    listed = list_papers(papers_dir / "dev")
    assert len(listed.papers) == 23
    assert not listed.dropped
    assert all(paper.pdf for paper in listed.papers)
    assert sum(paper.source is not None for paper in listed.papers) == sum(
        1 for _ in papers_dir.glob("dev/*/source.tar.gz")
    )
