"""kill -9 at any moment: the restarted build makes the same data set as one that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from arxiv_server import Submission, serving

from llava_graph.dataset import read_dataset, read_dropped

TESTS = Path(__file__).parent
FIGURE = b"figure 1 | A curve. | Figure 1 shows it."
PAPER = Submission(base="1706.03762", latest=7, sources={7: FIGURE}, pdfs={7: b"%PDF-1.5\nfigure 1"})


@pytest.fixture
def papers(tmp_path):
    """Nine local papers of which one is broken, and a list of them with a bad line."""
    for number in range(8):
        (tmp_path / f"p{number}.pdf").write_text(f"%PDF\nsleep 0.05\nfigure {number} | c | m\nfigure 9\ndrop {number}")
    (tmp_path / "broken.pdf").write_text("%PDF\nbroken")
    (tmp_path / "ids.txt").write_text("\n".join([*(f"p{n}.pdf" for n in range(8)), "broken.pdf", "nonsense"]))
    return tmp_path


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_before_touches_of_files(tmp_path):
    """Every ninth touch; STRIDE=1 takes every one (some minutes)."""
    stride = os.environ.get("STRIDE", "9")
    for number in range(2):
        (tmp_path / f"p{number}.pdf").write_text(f"%PDF\nfigure {number} | c | m\ndrop {number}")
    (tmp_path / "ids.txt").write_text("p0.pdf\n1706.03762v7\nnonsense\np1.pdf\n")
    (tmp_path / "work").mkdir()
    with serving([PAPER]) as server:
        command = [
            sys.executable,
            TESTS / "killed_build.py",
            tmp_path / "ids.txt",
            tmp_path / "work",
            server.url,
            stride,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    touches, kills = map(int, done.stdout.split())
    assert touches > 60
    assert kills >= touches // int(stride) - 1


@pytest.mark.long
def test_killed_at_random_with_real_processes(papers):
    """Whole runs with their workers, killed after a random time, again and again, until one comes to its end."""
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "from stand_ins import stand_ins\nfrom scicap_builder import build\n"
        "from scicap_builder.pipeline import BuildOptions\n"
        "if __name__ == '__main__':\n"
        f"    build({str(papers / 'ids.txt')!r}, {str(papers / 'out')!r}, BuildOptions(workers=2, papers_per_shard=2),\n"
        "        readers=stand_ins())\n"
    )
    (papers / "run.py").write_text(code)
    chance, kills = random.Random(3), 0
    while True:
        process = subprocess.Popen([sys.executable, papers / "run.py"], start_new_session=True)
        # After six kills it may go on: a slow machine must not be killed for ever before it has begun.
        patience = 0.4 + chance.random() * 1.8 if kills < 6 else 60
        try:
            process.wait(timeout=patience)
            break
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL) if kills % 2 else os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
    assert process.returncode == 0
    figures = Counter(figure.id for figure in read_dataset(papers / "out"))
    assert figures == Counter([f"local:p{n}#fig{k}" for n in range(8) for k in (n, 9)])
    dropped = sorted((item.item, item.reason) for item in read_dropped(papers / "out"))
    assert dropped == sorted(
        [(f"local:p{n} Figure {n}", "no-region") for n in range(8)]
        + [("local:broken", "encrypted"), ("ids.txt:10", "bad-line")]
    )


def test_two_builds_into_one_folder(papers):
    code = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "from stand_ins import stand_ins\nfrom scicap_builder import build\n"
        "if __name__ == '__main__':\n"
        f"    build({str(papers / 'slow.pdf')!r}, {str(papers / 'out')!r}, readers=stand_ins())\n"
    )
    (papers / "slow.pdf").write_text("%PDF\nsleep 60\nfigure 1")
    (papers / "run.py").write_text(code)
    first = subprocess.Popen([sys.executable, papers / "run.py"])
    deadline = time.monotonic() + 60
    while not (papers / "out" / "build.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    command = [
        sys.executable,
        "-m",
        "scicap_builder.cli",
        "build",
        "--papers",
        papers / "p0.pdf",
        "--out",
        papers / "out",
    ]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (second.returncode, len(second.stderr.splitlines())) == (2, 1)
    assert f"another build is writing here (process {first.pid} on" in second.stderr
    first.kill()
    first.wait()
    (papers / "slow.pdf").write_text("%PDF\nfigure 1")
    third = subprocess.run([sys.executable, papers / "run.py"], check=False)
    assert third.returncode == 0
    assert [figure.id for figure in read_dataset(papers / "out")] == ["local:slow#fig1"]
