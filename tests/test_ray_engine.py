"""The same build on a local Ray: same records, same limits. Skips itself where Ray is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest
from stand_ins import stand_ins

from llava_graph.dataset import read_dataset, read_dropped
from llava_graph.errors import InputError, MissingExtra
from scicap_builder import build
from scicap_builder.pipeline import BuildOptions

TESTS = Path(__file__).parent


@pytest.fixture
def papers(tmp_path):
    folder = tmp_path / "papers"
    (folder / "tree").mkdir(parents=True)
    for number in range(3):
        (folder / f"p{number}.pdf").write_text(f"%PDF\nfigure {number} | c | m\ndrop 9")
    (folder / "tree" / "main.tex").write_text("figure 7 | from a folder of files")
    return folder


def rows(out):
    return sorted(map(repr, read_dataset(out))), sorted(map(repr, read_dropped(out)))


@pytest.mark.long
def test_a_local_ray_makes_the_same_data_set_and_keeps_the_limits(papers, tmp_path):
    pytest.importorskip("ray")
    build(papers, tmp_path / "here", BuildOptions(workers=2), readers=stand_ins())
    (papers / "hang.pdf").write_text("%PDF\nhang")
    (papers / "hog.pdf").write_text("%PDF\nhog 60")
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "from stand_ins import stand_ins\nfrom scicap_builder import build\n"
        "from scicap_builder.pipeline import BuildOptions\n"
        "if __name__ == '__main__':\n"
        "    options = BuildOptions(workers=2, engine='ray', paper_timeout_s=10, paper_memory_gb=0.6)\n"
        f"    build({str(papers)!r}, {str(tmp_path / 'there')!r}, options, readers=stand_ins())\n"
    )
    (tmp_path / "run.py").write_text(code)
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py"], capture_output=True, text=True, check=True, timeout=240
    )
    assert not done.stderr.strip()
    figures, dropped = rows(tmp_path / "there")
    limits = [item for item in read_dropped(tmp_path / "there") if item.reason != "no-region"]
    assert sorted((item.item, item.reason) for item in limits) == [("local:hang", "timeout"), ("local:hog", "memory")]
    assert (figures, [row for row in dropped if "no-region" in row]) == rows(tmp_path / "here")


def test_without_ray_the_extra_is_named(papers, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"--engine ray needs the package 'ray'.*llava-graph\[ray\]"):
        build(papers, tmp_path / "out", BuildOptions(engine="ray"), readers=stand_ins())


def test_an_unknown_engine_and_an_address_without_ray_are_refused():
    with pytest.raises(InputError, match="Did you mean 'ray'"):
        BuildOptions(engine="rya")
    with pytest.raises(InputError, match="--engine ray"):
        BuildOptions(address="auto")
