"""E-prints in every form arXiv serves them are unpacked; unsafe ones are refused by name."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from llava_graph.errors import ArchiveError
from scicap_builder.archive import Limits, unpack

TEX = b"% a comment\n\\documentclass{article}\\begin{document}Hello\\end{document}\n"
PDF = b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n"


def packed_bytes(data: bytes) -> bytes:
    """gzip without the time of day, which would stand in the names of the tests: each process would know others."""
    return gzip.compress(data, mtime=0)


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar(
    *members: tuple[tarfile.TarInfo, bytes], packed: bool = True, encoding: str = "utf-8", fmt: int = tarfile.PAX_FORMAT
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", encoding=encoding, format=fmt) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue()) if packed else buffer.getvalue()


def unpacked(tmp_path: Path, data: bytes, **options: object):
    path = tmp_path / "eprint.bin"
    path.write_bytes(data)
    return unpack(path, tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("data", "kind", "name"),
    [
        (TEX, "tex", "main.tex"),
        (packed_bytes(TEX), "tex", "main.tex"),
        (packed_bytes(packed_bytes(TEX)), "tex", "main.tex"),
        (PDF, "pdf", "paper.pdf"),
        (packed_bytes(b"%!PS-Adobe-2.0\n"), "postscript", "paper.ps"),
        (packed_bytes(b"<!DOCTYPE html>\n<html></html>"), "html", "paper.html"),
        (b"\xf7\x02\x01\x83", "dvi", "paper.dvi"),
        (b"%auto-ignore\nThis paper has been withdrawn by the authors.\n", "withdrawn", "paper.txt"),
    ],
)
def test_single_files_are_told_by_their_bytes(tmp_path, data, kind, name):
    result = unpacked(tmp_path, data)
    assert (result.kind, result.files) == (kind, (Path(name),))
    assert (result.root / name).stat().st_size > 0


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("fmt", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_archives_keep_their_folders(tmp_path, packed, fmt):
    result = unpacked(tmp_path, tar(member("ms.tex", TEX), member("figs/a.pdf", PDF), packed=packed, fmt=fmt))
    assert result.kind == "tex"
    assert result.files == (Path("figs/a.pdf"), Path("ms.tex"))
    assert (result.root / "figs/a.pdf").read_bytes() == PDF


def test_kind_of_an_archive_without_tex(tmp_path):
    assert unpacked(tmp_path, tar(member("paper.docx", b"PK"), member("paper.pdf", PDF))).kind == "pdf"


def test_text_file_that_is_tex(tmp_path):
    assert unpacked(tmp_path, tar(member("paper.txt", TEX))).kind == "tex"


def test_side_files_are_skipped_with_a_reason(tmp_path):
    result = unpacked(
        tmp_path,
        tar(member("ms.tex", TEX), member("._ms.tex", b"\0"), member("anc/data.csv", b"1"), member(".git/HEAD", b"x")),
    )
    assert result.files == (Path("ms.tex"),)
    assert {(item.item, item.reason) for item in result.skipped} == {
        ("._ms.tex", "resource-fork"),
        ("anc/data.csv", "ancillary"),
        (".git/HEAD", "version-control"),
    }


def test_latin1_names_become_readable(tmp_path):
    data = tar(
        member("ms.tex", TEX), member("schr\xf6dinger.eps", b"%!PS"), encoding="latin-1", fmt=tarfile.USTAR_FORMAT
    )
    assert Path("schr\xf6dinger.eps") in unpacked(tmp_path, data).files


@pytest.mark.parametrize(
    "bad",
    [
        member("../evil.tex", TEX),
        member("figs/../../evil.tex", TEX),
        member("/etc/evil.tex", TEX),
        member("C:\\evil.tex", TEX),
        member("..\\evil.tex", TEX),
        member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("figs/link", type=tarfile.SYMTYPE, linkname="../../etc/passwd"),
        member("hard", type=tarfile.LNKTYPE, linkname="../outside"),
        member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("pipe", type=tarfile.FIFOTYPE),
    ],
    ids=lambda bad: bad[0].name,
)
def test_unsafe_members_refuse_the_archive(tmp_path, bad):
    with pytest.raises(ArchiveError) as caught:
        unpacked(tmp_path, tar(member("ms.tex", TEX), bad))
    assert caught.value.reason == "unsafe-archive"
    assert bad[0].name in str(caught.value)
    assert not list(tmp_path.glob("**/evil*"))


def test_link_inside_is_left_out(tmp_path):
    result = unpacked(
        tmp_path, tar(member("ms.tex", TEX), member("a/l.tex", type=tarfile.SYMTYPE, linkname="../ms.tex"))
    )
    assert [item.reason for item in result.skipped] == ["link"]


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (tar(*(member(f"{i}.tex", TEX) for i in range(12))), Limits(files=10)),
        (tar(member("big.tex", TEX * 100)), Limits(file_bytes=1000)),
        (tar(member("big.tex", TEX * 100), packed=False), Limits(total_bytes=1000)),
        (packed_bytes(b"\\input x" + bytes(10**6)), Limits(free_bytes=1000)),
        (packed_bytes(b"\\input x" + bytes(10**6)), Limits(total_bytes=1000)),
    ],
    ids=["files", "one file", "total", "ratio", "gz total"],
)
def test_bombs_are_refused(tmp_path, data, limits):
    with pytest.raises(ArchiveError) as caught:
        unpacked(tmp_path, data, limits=limits)
    assert caught.value.reason == "archive-too-large"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not-an-eprint"),
        (b"\x00\x01\x02", "not-an-eprint"),
        (packed_bytes(TEX * 50)[:-20], "broken-archive"),
        (tar(member("ms.tex", TEX * 50), packed=False)[:1024], "broken-archive"),
        (tar(member("anc/x", b"1")), "empty-archive"),
    ],
    ids=["empty", "noise", "cut gzip", "cut tar", "nothing left"],
)
def test_broken_input_says_why(tmp_path, data, reason):
    with pytest.raises(ArchiveError) as caught:
        unpacked(tmp_path, data)
    assert caught.value.reason == reason


def test_a_hostile_file_where_a_folder_should_be(tmp_path):
    with pytest.raises(ArchiveError):
        unpacked(tmp_path, tar(member("a", b"x"), member("a/b.tex", TEX)))
