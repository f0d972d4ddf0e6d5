"""Papers, explained figures and reports over the API."""

import base64
import json

import pytest
from PIL import Image

from llava_graph.explained import from_json
from llava_graph.images import encode_png
from llava_graph.record import Dropped, Figure, Paper
from scicap_builder.one_paper import PaperRecords
from serve.api import create_api
from serve.http.servers import Server, bind
from serve.papers import PaperShelf, ShelfOptions
from serve.papers.entry import write_entry
from tests.serving import HTTP, ScriptedEngine, eventually, png, running_controller, running_worker

PAPER = "arxiv:2101.00001v1"
URI = "data:image/png;base64," + base64.b64encode(png(120, 90)).decode()


WORDS = ("The", "loss", "falls", "<b>fast</b>", ".")


@pytest.fixture(scope="module")
def scripted():
    return ScriptedEngine(words=WORDS, context_length=10_000)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A shelf with one paper of three figures, one of which has no pixels any more."""
    options = ShelfOptions(folder=tmp_path_factory.mktemp("shelf"))
    paper = Paper(id=PAPER, title="Learning slowly", abstract="We wait.", page=3)
    shade = encode_png(Image.new("RGB", (120, 90), "white"))
    figures = tuple(
        Figure(id=f"{PAPER}#fig{n}", image=shade, width=120, height=90, label=f"Figure {n}", caption=f"Loss {n}.",
               mentions=(f"Figure {n} shows the loss.",), paper=paper)
        for n in (1, 2, 3)
    )  # fmt: skip
    folder = options.place / "papers" / "arxiv-2101.00001v1"
    folder.mkdir(parents=True)
    dropped = (Dropped(item=f"{PAPER}#fig4", reason="no-image", detail="it is empty"),)
    records = PaperRecords(id=PAPER, title=paper.title, abstract=paper.abstract, figures=figures, dropped=dropped)
    write_entry(folder, records)
    return PaperShelf(options)


@pytest.fixture(scope="module")
def api(scripted, shelf):
    with running_controller() as controller, running_worker(scripted, controller.url):
        eventually(lambda: HTTP.post(controller.url + "/list_models").json()["models"])
        with Server(create_api(controller.url, read=lambda _: (), shelf=shelf), bind("127.0.0.1", 0), "API") as server:
            yield server


@pytest.fixture
def engine(scripted):
    scripted.requests.clear()
    scripted.words, scripted.fail_with, scripted.pause, scripted.cancelled = WORDS, None, 0.0, 0
    return scripted


def post(api, path, **body):
    return HTTP.post(api.url + path, json=body)


def events(answer):
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_paper_tells_its_figures(api):
    told = post(api, "/v1/papers", paper=PAPER).json()
    assert (told["id"], told["object"], told["title"]) == (PAPER, "paper", "Learning slowly")
    assert [(figure["label"], figure["page"]) for figure in told["figures"]] == [(f"Figure {n}", 3) for n in (1, 2, 3)]
    assert told["figures"][0]["mentions"] == ["Figure 1 shows the loss."]
    assert told["dropped"][0]["reason"] == "no-image"
    for wrong, status in (({"paper": ""}, 400), ({}, 400), ({"paper": "no id"}, 400), ({"papers": PAPER}, 400)):
        answer = post(api, "/v1/papers", **wrong)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


def test_one_figure_is_explained_as_json_that_reads_back(api, engine):
    answer = post(api, "/v1/figures/explain", model="scripted", image=URI, figure={"caption": "The loss falls."}).json()
    assert answer.pop("object") == "figure.explanation"
    explained = from_json(json.dumps(answer))
    assert explained.text == "The loss falls <b>fast</b> ."
    assert explained.figure.caption == "The loss falls."
    assert explained.answers[0].question.startswith("Explain this figure.")
    assert explained.answers[0].sentences[0].supports[0].source == "caption"
    asked = post(api, "/v1/figures/explain", model="scripted", figure={"figure_id": f"{PAPER}#fig2"}, question="Why?")
    assert asked.json()["answers"][0]["question"] == "Why?"
    assert asked.json()["prompt"].startswith("Caption: Figure 2: Loss 2.")


def test_an_explanation_is_a_page_or_markdown_too_and_its_text_stays_text(api, engine):
    body = {"model": "scripted", "image": URI, "figure": {"caption": "<script>alert(1)</script>"}}
    page = post(api, "/v1/figures/explain", **body, format="html")
    assert "&lt;script&gt;alert(1)" in page.text
    assert "<script>alert(1)" not in page.text
    assert "<b>fast" not in page.text
    assert page.headers["content-disposition"].startswith("attachment")
    text = post(api, "/v1/figures/explain", **body, format="markdown")
    assert text.headers["content-type"].startswith("text/markdown")
    assert "The loss falls" in text.text


@pytest.mark.parametrize("form", ["json", "markdown", "html"])
def test_all_figures_of_a_paper_become_a_report_line_by_line(api, engine, form):
    opened, *explained, report = events(post(api, "/v1/figures/report", model="scripted", paper=PAPER, format=form))
    assert opened == {"event": "opened", "paper": PAPER, "title": "Learning slowly", "figures": 3}
    assert sorted(one["label"] for one in explained) == ["Figure 1", "Figure 2", "Figure 3"]
    assert (report["event"], report["explained"], report["failed"]) == ("report", 3, 0)
    document = report["document"]
    if form == "json":
        read = from_json(json.dumps(document))
        assert [one.figure.label for one in read.figures] == ["Figure 1", "Figure 2", "Figure 3"], (
            "in the paper's order"
        )
        assert [one.reason for one in read.dropped] == ["no-image"], "explained + dropped = seen"
    else:
        assert "Learning slowly" in document
        assert document.index("Figure 1") < document.index("Figure 3")


def test_a_report_of_some_figures_and_for_a_reader(api, engine):
    body = {"model": "scripted", "paper": PAPER, "figures": ["fig. 3", f"{PAPER}#fig1"], "explain": {"level": "lay"}}
    lines = events(post(api, "/v1/figures/report", **body, max_tokens=50))
    assert lines[0]["figures"] == 2
    assert all("everyday words" in request.messages[0]["content"][-1]["text"] for request in engine.requests)
    assert {request.max_new_tokens for request in engine.requests} == {50}
    missing = post(api, "/v1/figures/report", model="scripted", paper=PAPER, figures=["Figure 9"])
    assert (missing.status_code, missing.json()["error"]["code"]) == (400, "figure_not_found")


def test_a_figure_that_fails_costs_only_itself(api, engine):
    images = [{"image": URI, "figure": {"caption": "A."}}, {"image": "data:image/png;base64,AAAA"}, {"image": URI}]
    lines = events(post(api, "/v1/figures/report", model="scripted", images=images))
    assert sorted(line["event"] for line in lines) == ["explained", "explained", "failed", "opened", "report"]
    (failed,) = (line for line in lines if line["event"] == "failed")
    assert (failed["figure"], failed["error"]["code"]) == ("images[1]", "invalid_image")
    assert failed["error"]["param"] == "images[1].image"
    dropped = lines[-1]["document"]["dropped"]
    assert [(one["item"], one["reason"]) for one in dropped] == [("images[1]", "invalid_image")]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "paper"), ({"paper": PAPER, "images": []}, "paper"), ({"paper": PAPER, "format": "docx"}, "format"),
        ({"paper": PAPER, "figures": "all"}, "figures"), ({"images": [{"image": 5}]}, "images[0].image"),
        ({"images": [{"image": URI}] * 101}, "images"), ({"paper": PAPER, "explain": {"level": "guru"}}, "explain"),
        ({"images": []}, "images"), ({"images": [{}]}, "images[0].image"), ({"images": [{"image": URI, "figure": []}]}, "images[0].figure"),
        ({"images": [{"image": URI, "figure": {"ocr": 5}}]}, "images[0].figure.ocr"), ({"images": [{"image": URI}], "ocr": 5}, "ocr"),
        ({"paper": PAPER, "n": 2}, "n"), ({"paper": PAPER, "temperature": 9}, "temperature"),
    ],
)  # fmt: skip
def test_a_wrong_report_request_is_refused_before_anything_is_opened(api, body, param):
    answer = post(api, "/v1/figures/report", model="scripted", **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert "messages" not in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({}, "image", "image is missing. Send one, or name a paper's figure"),
        ({"figure": {"caption": "Loss."}}, "image", "image is missing"),
        ({"image": URI, "figure": {"figure_id": f"{PAPER}#fig1"}}, "image", "Leave out the one or the other"),
        ({"image": URI, "figure": {"explain": True}, "question": "Why?"}, "figure.explain", "and question asks something else"),
        ({"image": URI, "figure": []}, "figure", "figure must be an object"),
        ({"image": URI, "question": "x" * 8001}, "question", "8001 characters"),
        ({"image": URI, "question": 5}, "question", "question must be text"),
        ({"image": "data:text/html;base64,PGI+"}, "image", "a data URI that holds 'text/html', no image"),
    ],
)  # fmt: skip
def test_a_wrong_figure_is_told_in_the_words_of_its_own_request(api, body, param, said):
    answer = post(api, "/v1/figures/explain", model="scripted", **body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert said in error["message"]
    assert "message" not in error["message"]
    assert "figure.figure" not in error["message"].replace("figure.figure_id", "")


def test_a_question_among_the_images_of_a_report_is_answered_as_one(api, engine):
    images = [{"image": URI}, {"image": URI, "question": "Why?"}]
    *_, report = events(post(api, "/v1/figures/report", model="scripted", images=images, explain={"level": "lay"}))
    assert report["failed"] == 0
    asked = [figure["answers"][0]["question"] for figure in report["document"]["figures"]]
    assert "everyday words" in asked[0]
    assert asked[1] == "Why?"


def test_an_unknown_model_is_not_found(api):
    for path, body in (("/v1/figures/report", {"paper": PAPER}), ("/v1/figures/explain", {"image": URI})):
        answer = post(api, path, model="nobody", **body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_a_client_that_goes_away_ends_the_report(api, engine):
    engine.words, engine.pause = ["word"] * 200, 0.1
    with HTTP.stream("POST", api.url + "/v1/figures/report", json={"model": "scripted", "paper": PAPER}) as answer:
        next(answer.iter_lines())
        eventually(lambda: engine.running)  # the first lines tell of the paper that is being opened
    eventually(lambda: engine.cancelled and not engine.running)


def test_the_answers_of_a_report_are_counted(api, engine):
    def tokens():
        lines = HTTP.get(api.url + "/metrics").text.splitlines()
        return float(
            next(line for line in lines if line.startswith("llava_graph_api_completion_tokens_total")).split()[-1]
        )

    before = tokens()
    events(post(api, "/v1/figures/report", model="scripted", paper=PAPER))
    assert tokens() - before == 3 * 5
