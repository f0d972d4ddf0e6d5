"""The whole way, once, as a new user walks it: the README's own commands, from a paper to an explanation over HTTP."""

import io
import os
import re
import shlex
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import httpx
import pytest

from llava_graph.dataset import read_dataset

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
LONG = 280  # s: training starts torch twice on a busy machine

PAPER = r"""
\documentclass{article}
\usepackage{graphicx}
\title{Learning slowly}
\begin{document}
\maketitle
\begin{abstract}We train for a long time.\end{abstract}
\section{Results}
As Figure~\ref{fig:acc} shows, the accuracy rises until the tenth epoch and then stays where it is.
\begin{figure}\includegraphics{acc.png}\caption{Accuracy over epochs.}\label{fig:acc}\end{figure}
The loss in Figure~\ref{fig:loss} falls at the same time, which is what one expects.
\begin{figure}\includegraphics{acc.png}\caption{Loss over epochs.}\label{fig:loss}\end{figure}
\end{document}
"""


def commands(language: str) -> list[str]:
    """The commands of all fenced blocks of a language, continued lines joined, comments off."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, png) -> Path:
    """A folder with `arxiv_ids.txt`: a real paper where there is one beside the checkout, and one that we wrote."""
    folder = tmp_path_factory.mktemp("whole-way")
    source = folder / "learning_slowly.tar.gz"
    with tarfile.open(source, "w:gz") as archive:
        for name, data in (("main.tex", PAPER.encode()), ("acc.png", png)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    real = ROOT.parent / "shared" / "papers" / "dev" / "arx2305.03393"
    listed = ["# two papers", str(source), *([str(real)] if real.is_dir() else []), "not a paper"]
    (folder / "arxiv_ids.txt").write_text("\n".join(listed) + "\n")
    return folder


def run(command: str, workplace: Path) -> str:
    """Run one README command with its folders moved to the workplace. Returns what it printed."""
    words = [
        word.replace("arxiv_ids.txt", str(workplace / "arxiv_ids.txt")).replace("out/", f"{workplace}/out/", 1)
        if not word.startswith("scicap")
        else word
        for word in shlex.split(command)
    ]
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "2",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(words, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LONG)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def walked(workplace) -> dict[str, str]:
    """All commands of the README but the set-up and the server, in their order."""
    (workplace / "out").mkdir()
    listed = [line for line in commands("bash") if not line.startswith(("make ", "source ", "llava-graph-serve"))]
    return {command: run(command, workplace) for command in listed}


def test_the_first_screen_has_the_two_commands():
    first_screen = README.splitlines()[:20]
    assert [line.split("  ")[0] for line in first_screen if line.startswith("make ")] == ["make demo", "make test"]


@pytest.mark.timeout(900)
def test_the_papers_become_records_and_the_bad_line_is_counted(walked, workplace):
    figures = list(read_dataset(workplace / "out" / "dataset"))
    captions = {figure.caption for figure in figures}
    assert {"Accuracy over epochs.", "Loss over epochs."} <= captions
    accuracy = next(figure for figure in figures if figure.caption == "Accuracy over epochs.")
    assert accuracy.first_mention.startswith("As Figure 1 shows, the accuracy rises")
    assert accuracy.paper.title == "Learning slowly"
    dropped = (workplace / "out" / "dataset" / "README.md").read_text()
    assert "bad-line" in dropped


@pytest.mark.timeout(900)
def test_training_left_a_checkpoint_that_plain_transformers_opens(walked, workplace):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    checkpoint = workplace / "out" / "checkpoint"
    model, report = AutoModelForImageTextToText.from_pretrained(checkpoint, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert AutoProcessor.from_pretrained(checkpoint).chat_template
    assert model.config.model_type == "llava"


@pytest.mark.timeout(900)
def test_the_terminal_explains(walked):
    answer = next(printed for command, printed in walked.items() if command.startswith("llava-graph explain"))
    assert len(answer.split()) > 5


@pytest.mark.timeout(900)
def test_the_report_explains_every_figure_of_the_example_paper(walked, workplace):
    assert (workplace / "out" / "explained.html").read_text().count("The model explains") == 3


@pytest.mark.timeout(900)
def test_the_checkpoint_is_served_and_explains_over_http(walked, workplace, png):
    """The README's serve command; then an explanation through the controller, as any FastChat client asks for it."""
    import base64
    import json

    command = next(line for line in commands("bash") if line.startswith("llava-graph-serve"))
    web = free_port()
    words = shlex.split(command.replace("out/", f"{workplace}/out/").replace("7860", str(web)))
    words[0] = str(BIN / words[0])
    with (
        (workplace / "serve.log").open("w") as log,
        subprocess.Popen(words, cwd=workplace, stdout=log, stderr=log) as process,
    ):
        try:
            page = f"http://127.0.0.1:{web}/"
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline:
                assert process.poll() is None, (workplace / "serve.log").read_text()[-3000:]
                try:
                    if httpx.get(page).status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.3)
            assert "gradio" in httpx.get(page).text
            controller = re.search(r"controller at (\S+)", (workplace / "serve.log").read_text())[1]
            (model,) = httpx.post(f"{controller}/list_models").json()["models"]
            body = {
                "model": model,
                "prompt": "<|im_start|>user\n<image>\nExplain this figure.<|im_end|>\n<|im_start|>assistant\n",
                "images": [base64.b64encode(png).decode()],
                "temperature": 0,
                "max_new_tokens": 24,
                "echo": False,
            }
            answer = httpx.post(f"{controller}/worker_generate_stream", json=body, timeout=60).content
        finally:
            process.terminate()
            process.wait(timeout=30)
    chunks = [json.loads(piece) for piece in answer.split(b"\0") if piece]
    assert chunks[-1]["error_code"] == 0, chunks[-1]
    assert len(chunks) > 1
    assert chunks[-1]["text"].split()


@pytest.mark.timeout(300)
def test_the_python_of_the_readme_runs(tmp_path, png, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chart.png").write_bytes(png)
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()
