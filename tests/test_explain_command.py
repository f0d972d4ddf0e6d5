"""`llava-graph explain` and `report` as a person runs them: answers on stdout, the rest on stderr, an exit status that says it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from explained_papers import a_paper
from tiny_model import build_tiny_model
from upstream_server import saying

from llava_graph.cli import main
from llava_graph.explained import ExplainedFigure, from_json

BIN = Path(sys.executable).parent / "llava-graph"
ANSWER = "## What is plotted\nGrowth of the colony over time in garden 1. It reaches 93.5 ants."


@pytest.fixture
def server(api_server):
    api_server.script = saying(ANSWER)
    return api_server


@pytest.fixture(scope="module")
def places(tmp_path_factory, png) -> Path:
    folder = tmp_path_factory.mktemp("places")
    (folder / "chart.png").write_bytes(png)
    (folder / "broken.png").write_bytes(b"nothing")
    a_paper(folder / "gardens.pdf")
    return folder


@pytest.fixture
def command(server, monkeypatch, capsys, places):
    """Runs a command with the model behind the server; gives its exit status, stdout and stderr."""

    def run(*words, api=True):
        monkeypatch.chdir(places)
        asked = [*words, "--api", server.url] if api else list(words)
        monkeypatch.setattr("sys.argv", ["llava-graph", *map(str, asked)])
        with pytest.raises(SystemExit) as caught:
            main()
        told = capsys.readouterr()
        return caught.value.code or 0, told.out, told.err

    return run


def test_one_image_is_its_answer_alone(command):
    status, out, err = command("explain", "chart.png", "--no-ocr", "--caption", "Loss.")
    assert (status, err) == (0, "")
    assert out == ANSWER.removeprefix("## ") + "\n"


def test_a_paper_is_its_figures_under_their_names(command, server):
    status, out, _ = command("explain", "gardens.pdf", "--no-ocr", "--figure", "2", "--level", "lay")
    assert status == 0
    assert out.splitlines()[0].startswith("Figure 2 · page 3 · ")
    (body,) = server.bodies
    assert "everyday words" in body["messages"][0]["content"][1]["text"]
    assert "garden 2 grows is shown" in body["messages"][0]["content"][1]["text"]
    command("explain", "gardens.pdf", "--no-ocr", "--figure", "2", "--no-mentions", "--no-sections")
    without = server.bodies[-1]["messages"][0]["content"][1]["text"]
    assert "garden 2 grows is shown" not in without
    assert "##" not in without


def test_evidence_stands_behind_its_sentence(command, server):
    _, out, _ = command("explain", "gardens.pdf", "--no-ocr", "--figure", "1", "--evidence")
    assert "Growth of the colony over time in garden 1. [caption" in out
    assert "93.5 (?) ants. [not found]" in out
    assert "\x1b" not in out
    server.script = saying("Growth of the colony")
    _, out, _ = command("explain", "gardens.pdf", "--no-ocr", "--figure", "1", "--evidence")
    assert out.count("Growth of the colony [") == 1


def test_json_is_a_line_a_figure_that_reads_back(command, server):
    status, out, _ = command("explain", "gardens.pdf", "chart.png", "--no-ocr", "--json")
    lines = [from_json(line) for line in out.splitlines()]
    assert status == 0
    assert [type(line) for line in lines] == [ExplainedFigure] * 3
    assert [line.source.rpartition("/")[2] for line in lines] == ["gardens.pdf", "gardens.pdf", "chart.png"]
    (answer,) = lines[0].answers
    assert answer.question == "Explain this figure to a student (medium)."
    assert answer.model == "figures"
    assert lines[0].prompt == server.bodies[0]["messages"][0]["content"][1]["text"]
    assert lines[0].figure.caption.startswith("Growth of the colony")


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["chart.png", "broken.png"], 1, "left out: broken.png: bad-image"),
        (["broken.png"], 2, "left out: broken.png: bad-image"),
        (["nowhere.png"], 2, "error: nowhere.png: no such file"),
        (["gardens.pdf", "--figure", "9"], 2, "it has Figure 1, Figure 2"),
        (["chart.png", "--level", "child"], 2, "unknown level 'child'"),
        (["chart.png", "--region", "0,0,2,1"], 2, "in 0..1"),
        (["chart.png", "--region", "a,b"], 2, "not four numbers"),
        (["chart.png", "--question", " "], 2, "the question is empty"),
        (["chart.png", "--out", "x.pdf"], 2, "no document ends in '.pdf'"),
        (["chart.png", "--out", "chart.md"], 2, "is no report of ours"),
        (["chart.png", "--quiet"], 2, "--quiet needs --out"),
        (["chart.png", "--device", "cpu"], 2, "--device is for a model in this process"),
    ],
)
def test_what_fails_is_told_and_has_its_status(command, places, words, status, told):
    (places / "chart.md").write_text("mine")
    found, _, err = command("explain", "--no-ocr", *words)
    assert (found, told in " ".join(err.split())) == (status, True), err
    assert (places / "chart.md").read_text() == "mine"


def test_a_server_that_breaks_off_leaves_a_line_and_a_reason(command, server):
    server.script = saying("The curve rises.")[:2]
    status, out, err = command("explain", "chart.png", "--no-ocr")
    assert status == 2
    assert out == "The curve\n"
    assert "stopped in the middle" in err


def test_a_document_is_written_and_goes_on(command, server, tmp_path):
    out = tmp_path / "report.html"
    words = ["gardens.pdf", "chart.png", "--no-ocr", "--out", out]
    status, _, err = command("report", *words)
    assert status == 0
    assert "written:" in err
    assert "3 figures explained" in err
    page = out.read_text()
    assert page.count("The model explains") == 3
    assert len(server.bodies) == 3
    status, _, err = command("report", *words)
    assert "3 figures explained (3 before)" in err
    assert len(server.bodies) == 3
    assert out.read_text() == page
    status, printed, err = command("explain", *words, "--length", "short")
    assert "something else was asked before" in err
    assert len(server.bodies) == 6
    assert printed.count("What is plotted") == 3


def test_a_folder_gets_all_forms_and_the_pictures(command, tmp_path):
    status, _, _ = command("report", "gardens.pdf", "--no-ocr", "--out", tmp_path / "all", "--at-once", "4")
    assert status == 0
    names = {file.name for file in (tmp_path / "all").iterdir()}
    assert names == {"report.html", "report.md", "report.json", "report.pictures", "report.answers.jsonl"}
    markdown = (tmp_path / "all" / "report.md").read_text()
    pictures = list((tmp_path / "all" / "report.pictures").iterdir())
    assert len(pictures) == 2
    assert all(f"](<report.pictures/{picture.name}>)" in markdown for picture in pictures)
    document = from_json((tmp_path / "all" / "report.json").read_text())
    assert len(document.figures) == 2
    assert document.options["level"] == "student"
    assert "api" not in json.dumps(dict(document.options))


def test_figures_are_asked_about_at_the_same_time(command, server, tmp_path, png):
    server.script = saying("word " * 5, 0.02)
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(png)
    status, out, _ = command("explain", tmp_path, "--no-ocr", "--at-once", "3")
    assert status == 0
    assert 2 <= server.most_open <= 3
    assert [line.split(" · ")[0] for line in out.splitlines() if ".png" in line] == [f"{n}.png" for n in range(6)]


@pytest.mark.parametrize("at_once", ["1", "3"])
def test_ctrl_c_keeps_what_is_done(server, tmp_path, png, at_once):
    server.script = saying("word " * 5, 0.1)
    (tmp_path / "in").mkdir()
    for number in range(9):
        (tmp_path / "in" / f"{number}.png").write_bytes(png)
    out, kept = tmp_path / "r.html", tmp_path / "r.html.answers.jsonl"
    command = [BIN, "report", tmp_path / "in", "--no-ocr", "--out", out, "--api", server.url, "--at-once", at_once]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not (kept.exists() and kept.read_bytes().count(b'"explained"')):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        err = process.stderr.read()
        assert process.wait(30) == 130, err
    assert "stopped: the same command goes on" in " ".join(err.split())
    done = out.read_text().count("The model explains")
    assert 1 <= done < 9
    assert kept.read_bytes().count(b'"explained"') == done


def test_a_paper_cannot_command_the_terminal(command, server, places, png):
    server.script = saying("A \x1b[2Jcurve\x07 \x9b31m\u202eserif")
    _, out, _ = command("explain", "chart.png", "--no-ocr")
    assert out == "A [2Jcurve 31mserif\n"
    evil = places / "evil\x1b[31m\u202e\x9b.png"
    evil.write_bytes(b"nothing")
    for words in (["explain"], ["report", "--out", "evil.md"]):
        _, _, err = command(*words, evil.name, "no\x1bwhere.png", "--no-ocr")
        assert "left out: evil[31m.png: bad-image" in err
        assert not {"\x1b", "\x9b", "\u202e"} & set(err)
    server.script = saying(" ")
    evil.write_bytes(png)
    _, _, err = command("explain", evil.name, "--no-ocr")
    assert "note: the model gave no text for evil[31m.png" in err
    assert not {"\x1b", "\x9b", "\u202e"} & set(err)
    evil.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_a_name_that_is_no_utf8_is_a_figure_like_others(command, tmp_path, png):
    for name in (b"a.png", b"b\xff.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(png)
    for new in (True, False):
        for ending in ("html", "md", "json"):
            status, _, err = command("report", tmp_path, "--no-ocr", "--out", f"{tmp_path}.{ending}")
            assert status == 0
            assert ("2 before" in err) is not new
    assert "b\\\\xff.png" in Path(f"{tmp_path}.json").read_text()
    status, out, _ = command("explain", tmp_path / os.fsdecode(b"b\xff.png"), "--no-ocr", "--json")
    assert json.loads(out)["figure"]["id"] == r"b\xff.png"


@pytest.mark.parametrize("option", ["--caption", "--question"])
def test_options_that_are_no_utf8_are_one_line(command, option):
    status, _, err = command("explain", "chart.png", "--no-ocr", option, os.fsdecode(b"caf\xe9"))
    assert status == 2
    assert err.count("\n") == 1
    assert r"caf\xe9" in err


def test_a_name_that_is_empty_is_told_in_words(command):
    assert command("explain", "")[::2] == (
        2,
        "error: a name is empty. Name an image, a paper, a folder or an arXiv id\n",
    )


def test_a_device_that_is_not_there_is_one_line(command):
    status, _, err = command("explain", "chart.png", "--no-ocr", "--device", "banana", api=False)
    assert (status, err) == (2, "error: there is no device 'banana'. Give cpu, cuda, cuda:1, …, or leave it out\n")


def test_a_checkpoint_answers_the_same_way(command, tmp_path, capsys):
    model = build_tiny_model(tmp_path / "nano")
    capsys.readouterr()
    words = ["chart.png", "--no-ocr", "--caption", "Loss.", "--model", model, "--max-new-tokens", "8", "--json"]
    _, out, _ = command("explain", *words, api=False)
    explained = from_json(out)
    assert explained.answers[0].model == "test-nano"
    assert explained.prompt.startswith("Caption: Loss.\n")
    assert explained.answers[0].completion_tokens <= 8


def test_a_model_in_this_process_answers_one_at_a_time(command):
    status, _, err = command("explain", "chart.png", "--at-once", "2", api=False)
    assert (status, "--at-once needs --api" in err) == (2, True)


def test_an_empty_answer_is_told(command, server):
    server.script = saying("")
    assert command("explain", "chart.png", "--no-ocr")[2] == "note: the model gave no text for chart.png\n"
