"""Papers that the API has to open first: what a caller hears meanwhile, and what when there is none."""

import json

import pytest

from llava_graph.errors import AccessDenied, FetchError, PaperError
from scicap_builder.fetch import FetchOptions
from serve.api import ApiOptions, create_api
from serve.api.errors import refusal_of
from serve.api.paper_figures import LOOK_S
from serve.http.servers import Server, bind
from serve.papers import PaperShelf, ShelfOptions
from tests.arxiv_server import serving
from tests.papers_to_open import TITLE, on_arxiv
from tests.serving import HTTP, ScriptedEngine, eventually, running_controller, running_worker

PAPER = "arxiv:2101.00001v2"
INTERNALS = ("http://", "https://", "Errno", "127.0.0.1", "command", "--", "/tmp")


@pytest.fixture(scope="module")
def controller():
    with running_controller() as server, running_worker(ScriptedEngine(context_length=10_000), server.url):
        eventually(lambda: HTTP.post(server.url + "/list_models").json()["models"])
        yield server


def running(controller, folder, arxiv_url, patience_s=0.0):
    # Between two requests there is time to look: however fast the machine is, a paper is not open at the first look.
    fetch = FetchOptions(base_url=arxiv_url, delay_s=2 * LOOK_S, tries=1)
    app = create_api(
        controller.url,
        ApiOptions(paper_patience_s=patience_s),
        read=lambda _: (),
        shelf=PaperShelf(ShelfOptions(folder=folder, fetch=fetch)),
    )
    return Server(app, bind("127.0.0.1", 0), "API")


def report(server, **body):
    answer = HTTP.post(server.url + "/v1/figures/report", json={"model": "scripted", **body}, timeout=60)
    return answer, [json.loads(line) for line in answer.text.splitlines()]


def test_a_report_tells_what_is_being_done_while_its_paper_is_opened(controller, tmp_path):
    with serving([on_arxiv()]) as arxiv, running(controller, tmp_path, arxiv.url) as server:
        answer, lines = report(server, paper="2101.00001", max_tokens=8)
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        opening = [line for line in lines if line["event"] == "opening"]
        assert opening
        assert all(line["doing"] and line["done"] <= line["total"] for line in opening)
        assert opening == lines[: len(opening)], "before everything else"
        assert [line["event"] for line in lines[len(opening) :]] == ["opened", "explained", "explained", "report"]
        assert lines[len(opening)]["title"] == TITLE
        _, lines = report(server, paper=PAPER, max_tokens=8)
        assert lines[0]["event"] == "opened", "it lies on the shelf now"
        missing, _ = report(server, paper=PAPER, figures=["Figure 9"])
        assert (missing.status_code, missing.json()["error"]["code"]) == (400, "figure_not_found")


def test_what_fails_while_a_paper_is_opened_stands_in_the_last_line(controller, tmp_path):
    with serving([on_arxiv()]) as arxiv, running(controller, tmp_path, arxiv.url) as server:
        _, lines = report(server, paper="2101.00001", figures=["Figure 9"])
        assert {line["event"] for line in lines[:-1]} == {"opening"}
        assert (lines[-1]["event"], lines[-1]["error"]["code"]) == ("failed", "figure_not_found")


def test_without_arxiv_a_caller_hears_when_to_come_back_and_nothing_of_the_server(controller, tmp_path):
    with running(controller, tmp_path, "http://127.0.0.1:9", patience_s=10) as server:
        for path, body in (("/v1/papers", {}), ("/v1/figures/report", {"model": "scripted"})):
            answer = HTTP.post(server.url + path, json={"paper": "hep-th/9901001", **body})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
            error = answer.json()["error"]
            assert (error["code"], error["type"]) == ("paper_not_fetched", "server_error")
            assert error["message"] == "arXiv cannot be reached; try again in a minute"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (FetchError("no connection ([Errno 111])", reason="unreachable", where="https://export.arxiv.org/api/query?x"), 503, "paper_not_fetched"),
        (AccessDenied("403", where="https://arxiv.org/pdf/1"), 503, "paper_not_fetched"),
        (PaperError("https://arxiv.org/pdf/1: arXiv has no PDF for it (404)", reason="no-pdf"), 422, "paper_no_pdf"),
        (PaperError("encrypted", reason="encrypted", where="/tmp/x/paper.pdf", next_step="Run a command"), 422, "paper_encrypted"),
        (PaperError("read but not kept", reason="no-room", next_step="(--papers-cache-mb)"), 503, "paper_no_room"),
        (PaperError("there is no paper 1 on arXiv", reason="not-found", next_step="Look at the number again"), 404, "paper_not_found"),
    ],
)  # fmt: skip
def test_addresses_paths_and_advice_for_operators_stay_in_the_log(error, status, code, caplog):
    refusal = refusal_of(error)
    assert (refusal.status, refusal.code) == (status, code)
    assert not [word for word in INTERNALS if word in refusal.message]
    assert str(error) in caplog.text


def test_a_shelf_that_breaks_tells_nothing_of_the_machine(controller, tmp_path):
    place = tmp_path / "papers"
    place.write_text("no folder")
    with running(controller, place, "http://127.0.0.1:9", patience_s=10) as server:
        answer = HTTP.post(server.url + "/v1/papers", json={"paper": "2101.00001v1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert str(tmp_path) not in answer.text
