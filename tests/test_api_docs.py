"""docs/api.md, executed: its Python as it stands, its curl commands, and the words of its tables."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
from PIL import Image

from llava_graph.images import encode_png
from llava_graph.record import Figure, Paper
from scicap_builder.one_paper import PaperRecords
from serve.api import create_api
from serve.api.app import ROUTES
from serve.api.figure_request import _FIELDS, INCLUDABLE
from serve.cli import app
from serve.http.servers import Server, bind
from serve.papers import PaperShelf, ShelfOptions
from serve.papers.entry import write_entry
from tests.serving import HTTP, ScriptedEngine, eventually, running_controller, running_worker

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:7860"


def api_command():
    return typer.main.get_command(app).commands["api"]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A shelf on which the paper of the examples lies already."""
    options = ShelfOptions(folder=tmp_path_factory.mktemp("shelf"))
    key = "arxiv:1706.03762v7"
    figure = Figure(
        id=f"{key}#fig1",
        image=encode_png(Image.new("RGB", (90, 60), "white")),
        width=90,
        height=60,
        label="Figure 1",
        caption="The model architecture.",
        paper=Paper(id=key, title="Attention is all you need"),
    )
    folder = options.place / "papers" / "arxiv-1706.03762v7"
    folder.mkdir(parents=True)
    write_entry(folder, PaperRecords(id=key, title=figure.paper.title, figures=(figure,)))
    return PaperShelf(options)


@pytest.fixture(scope="module")
def url(shelf):
    engine = ScriptedEngine(words=("Perplexity", "falls", "with", "longer", "sequences", "."), context_length=10_000)
    with running_controller() as controller, running_worker(engine, controller.url):
        eventually(lambda: HTTP.post(controller.url + "/list_models").json()["models"])
        with Server(create_api(controller.url, read=lambda _: (), shelf=shelf), bind("127.0.0.1", 0), "API") as server:
            yield server.url


def test_the_python_runs_from_top_to_bottom(url, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    code = "\n".join(blocks("python"))
    assert ADDRESS in code
    names = {}
    try:
        exec(compile(code.replace(ADDRESS, url), "docs/api.md", "exec"), names)
    finally:
        names["client"].close()
    said = capsys.readouterr().out
    assert said.count("Perplexity falls with longer sequences .") >= 3
    assert "supported ['paragraph" in said or "supported ['caption" in said
    assert "model_not_found" in said


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_curl_commands_answer(url):
    answers = []
    listed = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    for command in filter(None, listed):
        words = shlex.split(command.replace(ADDRESS, url).replace("MODEL", "scripted"))
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
        assert '"error"' not in done.stdout, (command, done.stdout)
        answers.append(done.stdout)
    models, chat, paper, explained, report = answers
    assert json.loads(models)["data"][0]["id"] == "scripted"
    assert json.loads(chat)["choices"][0]["message"]["content"].startswith("Perplexity")
    assert json.loads(paper)["figures"][0]["id"] == "arxiv:1706.03762v7#fig1"
    assert "Figure 1" in explained
    assert [json.loads(line)["event"] for line in report.splitlines()] == ["opened", "explained", "report"]


def test_every_route_option_and_field_is_told():
    for route in ROUTES:
        assert route in PAGE, route
    for name in (*_FIELDS, *INCLUDABLE):
        assert f"`{name}`" in PAGE, name
    known = {option for parameter in api_command().params for option in parameter.opts}
    for option in set(re.findall(r"`(--[a-z-]+)`", PAGE)):
        assert option in known, option
