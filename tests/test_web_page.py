"""The page in a headless Chromium, against a real controller and worker with a scripted engine."""

import json
import re
import tempfile

import pytest

from llava_graph.examples import example_figures
from serve.http.servers import Server, bind
from serve.web import WebOptions, create_web
from serve.web.conversation import view
from tests.browsing import (
    answer,
    answers,
    choose,
    choose_and_wait,
    figure,
    models,
    running_chromium,
    told,
    upload,
    visiting,
)
from tests.serving import HTTP, ScriptedEngine, eventually, png, running_controller, running_worker

pytestmark = pytest.mark.browser

ANSWER = [
    "The",
    "chart",
    "shows",
    "the",
    "**training",
    "loss**",
    "against",
    "the",
    "number",
    "of",
    "epochs",
    ";",
    "<img",
    "src=x",
    "onerror=alert(1)>",
    "p",
    "<",
    "0.05",
    ".",
]


@pytest.fixture(scope="module")
def chromium():
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def engine():
    return ScriptedEngine()


@pytest.fixture(scope="module")
def controller():
    with running_controller() as server:
        yield server


@pytest.fixture(scope="module")
def site(controller):
    with Server(create_web(controller.url, WebOptions()), bind("127.0.0.1", 0), "web page") as server:
        yield server


@pytest.fixture(scope="module")
def running(controller, engine):
    with running_worker(engine, controller.url) as server:
        eventually(lambda: models(controller))
        yield server


@pytest.fixture
def worker(running, engine):
    """The one worker, with its engine as good as new."""
    engine.words, engine.pause, engine.cancelled, engine.fail_with = ANSWER, 0.03, 0, None
    engine.requests.clear()
    return running


@pytest.fixture(scope="module")
def visitor(chromium, site, running):
    with visiting(chromium, site) as page:
        yield page


@pytest.fixture
def page(visitor, worker):
    """One visitor for all tests (opening the page takes seconds), who begins each with an empty page."""
    visitor.fill("#caption textarea", "to be cleared")
    visitor.click("#clear")
    eventually(lambda: not visitor.locator("#caption textarea").input_value())
    eventually(lambda: not answers(visitor) and visitor.locator("#explain").is_disabled())
    eventually(lambda: not visitor.locator("#banner .banner").count())
    return visitor


def test_from_a_figure_to_an_explanation_and_a_follow_up_question(page, worker, engine, site):
    assert "scripted" in page.locator("#model-line").inner_text()
    assert "there is no model" in page.locator("#model-line").inner_text()
    assert page.locator("#explain").is_disabled(), "there is nothing to explain yet"
    choose_and_wait(page)
    page.fill("#caption textarea", "Figure 2: Loss & <b>more</b>.")
    engine.pause = 0.15  # long enough to be looked at on a busy machine
    page.click("#explain")
    page.wait_for_selector("#stop", state="visible")
    lengths = set()
    while page.locator("#stop").is_visible():
        lengths.add(len(answer(page)))
    assert len(lengths) > 3, "the answer grows in front of the reader"
    assert "training loss against" in answer(page)
    assert "<img src=x onerror=alert(1)> p < 0.05" in answer(page), "a tag in an answer is text"
    assert "tokens in" in page.locator("#status").inner_text()

    sent = engine.requests[-1]
    text = sent.messages[0]["content"][1]["text"]
    assert "Figure 2: Loss & <b>more</b>." in text
    assert "Epoch" in text, "the text in the figure was read and given to the model"

    page.fill("#question textarea", "Where is the minimum?")
    page.keyboard.press("Enter")
    eventually(lambda: len(engine.requests) == 2)
    eventually(lambda: page.locator("#question textarea").input_value() == "")
    page.wait_for_selector("#ask", state="visible")
    roles = [message["role"] for message in engine.requests[-1].messages]
    assert roles == ["user", "assistant", "user"]
    assert engine.requests[-1].messages[-1]["content"][0]["text"] == "Where is the minimum?"
    assert len(engine.requests[-1].images) == 1
    assert [url for url in page.requested if not url.startswith((site.url, "data:", "blob:"))] == []


def test_stop_stops_the_generation_in_the_worker(page, worker, engine):
    choose_and_wait(page)
    engine.words = ("word",) * 5000
    page.click("#explain")
    eventually(lambda: "word" in answer(page))
    page.click("#stop")
    eventually(lambda: engine.cancelled == 1 and not engine.running)
    page.wait_for_selector("#stop", state="hidden")
    assert "Stopped" in page.locator("#status").inner_text()
    stopped = answer(page)
    assert stopped.startswith("word word")
    # The conversation goes on from what was written.
    engine.words = ("So", "be", "it.")
    page.fill("#question textarea", "And now?")
    page.click("#ask")
    eventually(lambda: answer(page) == "So be it.")
    assert engine.requests[-1].messages[1]["content"][0]["text"].startswith("word word")


def test_a_visitor_who_leaves_stops_the_generation_too(chromium, site, worker, engine):
    with visiting(chromium, site) as page:
        choose_and_wait(page)
        engine.words = ("word",) * 5000
        page.click("#explain")
        # gradio hears of a reader who leaves by the stream of the answer: it must have begun.
        eventually(lambda: "word" in answer(page))
        page.close()
        eventually(lambda: engine.cancelled == 1 and not engine.running, 30)


def test_when_the_worker_is_gone_the_page_says_so_and_keeps_the_question(chromium):
    # A controller of its own: where another model is served, the page goes on with that one.
    with (
        running_controller() as alone,
        running_worker(ScriptedEngine(words=("So.",), name="mortal"), alone.url) as worker,
    ):
        eventually(lambda: "mortal" in models(alone))
        own = Server(create_web(alone.url, WebOptions()), bind("127.0.0.1", 0), "web page")
        with own, visiting(chromium, own) as page:
            choose_and_wait(page)
            page.click("#explain")
            eventually(lambda: "tokens in" in page.locator("#status").inner_text())
            worker.stop()
            page.fill("#question textarea", "Still there?")
            page.click("#ask")
            page.wait_for_selector("#banner .banner")
            assert re.search(
                "no worker serves mortal any more|worker of mortal has gone|no model is running",
                told(page),
                re.IGNORECASE,
            )
            assert "llava-graph-serve" not in told(page), "what the operator can do stands in the log"
            assert "Try again later." in told(page)
            assert page.locator("#question textarea").input_value() == "Still there?"
            assert answer(page) == "So.", "what was answered stays"
            assert page.locator("#ask").is_enabled()


def test_a_worker_that_dies_in_the_middle_leaves_its_words_and_a_reason(page, worker, engine):
    choose_and_wait(page)
    engine.words, engine.fail_with, engine.fail_at = ("word",) * 100, RuntimeError("x"), 40
    page.click("#explain")
    page.wait_for_selector("#banner .banner")
    engine.fail_with = None
    assert "The model failed on this request (RuntimeError)" in told(page)
    assert answer(page).startswith("word")


def test_a_question_that_is_too_long_is_refused_with_its_length(page, worker, engine):
    choose_and_wait(page)
    page.fill("#question textarea", "why " * 2500)
    page.click("#ask")
    page.wait_for_selector("#banner .banner")
    assert "has 9999 characters" in told(page)
    assert not engine.requests


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            upload(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "x.svg", "image/svg+xml"),
            "The file x.svg is an SVG drawing",
        ),
        (upload(b"<script>alert(1)</script>", "x.png"), "Not an image we read"),
        (upload(png(1, 1)), "1 x 1 px"),
        (upload(png()[:60]), "broken or cut off"),
    ],
    ids=["svg", "html", "tiny", "truncated"],
)
def test_a_file_that_is_no_figure_is_refused_with_the_reason(page, worker, file, said):
    choose(page, file)
    page.wait_for_selector("#banner .banner")
    assert said in told(page)
    assert page.locator("#explain").is_disabled()
    # And the next, good one is taken.
    choose_and_wait(page)
    eventually(lambda: not page.locator("#banner .banner").count())


def test_of_two_figures_chosen_at_once_the_last_one_stays(page, worker, engine):
    choose(page, upload(png(300, 200)))
    page.wait_for_selector("#viewer .pixels, #figure img")
    page.locator("#examples button.thumbnail-item").first.click()
    eventually(lambda: page.locator("#caption textarea").input_value() == example_figures()[0].caption)
    page.wait_for_selector("#explain:not([disabled])")
    page.click("#explain")
    eventually(lambda: "tokens in" in page.locator("#status").inner_text())
    assert engine.sizes[-1] != (300, 200)
    assert "Perplexity" in json.dumps(engine.requests[-1].messages)


def test_clear_forgets_everything(page, worker, engine):
    choose_and_wait(page)
    page.fill("#caption textarea", "A caption")
    page.click("#explain")
    eventually(lambda: "tokens in" in page.locator("#status").inner_text())
    page.click("#clear")
    eventually(lambda: not answers(page))
    assert page.locator("#caption textarea").input_value() == ""
    assert page.locator("#explain").is_disabled()
    assert page.locator("#viewer .pixels").is_hidden()
    assert page.locator("#figure").is_visible(), "the next one can be uploaded"


def test_without_any_worker_the_page_opens_and_says_what_to_do(chromium):
    with running_controller() as lonely, Server(create_web(lonely.url), bind("127.0.0.1", 0), "web page") as site:
        with visiting(chromium, site) as page:
            assert told(page) == "No model is running at the moment. Try again later."
            # It is seen when something is asked, without a reload.
            with running_worker(ScriptedEngine(words=("So.",), name="late", instructions=False), lonely.url):
                eventually(lambda: models(lonely))
                choose_and_wait(page)
                page.click("#explain")
                eventually(lambda: "late" in page.locator("#model-line").inner_text())
                page.wait_for_selector("#asking-note p")
                eventually(lambda: answer(page) == "So.")
        lonely.stop()
        with visiting(chromium, site) as page:
            assert told(page) == "The models cannot be reached at the moment. Try again later."


def test_a_link_to_a_model_that_is_not_served_says_so(page, site, worker):
    page.goto(site.url + "/?model=<b>nope</b>")
    page.wait_for_selector("#banner .banner")
    assert "<b>nope</b>" in told(page)
    assert "scripted answers instead" in told(page)
    page.goto(site.url)
    page.wait_for_selector("#model-line .model:not(.none)")


def test_it_fits_a_phone(chromium, site, worker):
    with visiting(chromium, site, 390, 844) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing has to be scrolled sideways"
        tops = [page.locator(part).bounding_box()["y"] for part in ("#figure", "#caption", "#explain", "#chat")]
        assert tops == sorted(tops), "one column: the figure first, the answer last"


def test_an_example_is_chosen_with_its_caption(page, worker, engine):
    page.locator("#examples button.thumbnail-item").first.click()
    page.wait_for_selector("#explain:not([disabled])")
    caption = page.locator("#caption textarea").input_value()
    assert caption == example_figures()[0].caption
    page.click("#explain")
    eventually(lambda: len(engine.requests) == 1)
    assert caption in engine.requests[0].messages[0]["content"][1]["text"]


def test_a_path_that_a_client_invents_is_never_opened(site, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    config = HTTP.get(site.url + "/config").json()
    figure = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "figure")
    upload = next(call["id"] for call in config["dependencies"] if [figure, "upload"] in call["targets"])
    elsewhere = (
        str(secret),
        "/etc/passwd",
        "../../etc/passwd",
        f"{tempfile.gettempdir()}/gradio/../x",
        "http://a/x.png",
    )
    for path in (*elsewhere, 5, {"path": str(secret)}, "a\0b"):
        file = {"path": path, "url": path, "orig_name": "x.png", "meta": {"_type": "gradio.FileData"}}
        body = {"data": [file], "fn_index": upload, "session_hash": "attack"}
        for route in (
            "/gradio_api/queue/join",
            "/gradio_api/queue/join/",
            "/gradio_api/run/predict",
            "/gradio_api/api/x",
        ):
            assert HTTP.post(site.url + route, json=body).status_code == 403, (route, path)


def test_an_event_without_end_is_refused(site):
    response = HTTP.post(site.url + "/gradio_api/queue/join", content=b'{"data": "' + b"x" * 5_000_000)
    assert response.status_code == 413


def test_an_uploaded_svg_is_only_ever_given_back_as_a_download(site):
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    (path,) = HTTP.post(site.url + "/gradio_api/upload", files={"files": ("x.svg", svg, "image/svg+xml")}).json()
    response = HTTP.get(site.url + "/gradio_api/file=" + path)
    assert response.headers.get("content-disposition", "").startswith("attachment") or response.status_code >= 400
    assert "default-src 'self'" in response.headers["content-security-policy"]


def test_the_page_forbids_everything_from_elsewhere(site):
    headers = HTTP.get(site.url).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_the_bin_at_the_conversation_forgets_it_but_keeps_the_figure(page, worker, engine):
    choose_and_wait(page)
    page.click("#explain")
    eventually(lambda: "tokens in" in page.locator("#status").inner_text())
    page.click("#chat .forget")
    # The bin empties the conversation in the browser at once; the line below it goes when the server has forgotten it too.
    eventually(lambda: not answers(page) and not page.locator("#status").inner_text().strip())
    assert page.locator("#viewer .pixels").is_visible()
    page.fill("#question textarea", "What now?")
    page.click("#ask")
    eventually(lambda: len(engine.requests) == 2)
    assert len(engine.requests[-1].messages) == 1


def test_clear_in_the_middle_of_an_answer_leaves_nothing_behind(page, worker, engine):
    engine.words, engine.pause = ("word",) * 2000, 0.005
    for _ in range(3):
        choose_and_wait(page)
        page.click("#explain")
        eventually(lambda: "word" in answer(page))
        page.fill("#caption textarea", "to be cleared")
        page.click("#clear")
        eventually(lambda: not page.locator("#caption textarea").input_value())
        page.wait_for_timeout(300)
        assert not answers(page), "a late piece of the answer came after Clear"
        assert page.locator("#explain").is_disabled()
    eventually(lambda: not engine.running, 30)


def test_after_a_restart_the_page_says_so_and_keeps_what_stands_on_it(chromium, site, controller, worker, monkeypatch):
    monkeypatch.setattr(view, "PROCESS", "the next one")
    next_one = Server(create_web(controller.url, WebOptions()), bind("127.0.0.1", 0), "web page")
    monkeypatch.undo()
    with next_one as restarted, visiting(chromium, site) as page:
        choose_and_wait(page)
        page.click("#explain")
        eventually(lambda: "tokens in" in page.locator("#status").inner_text())
        said = answer(page)
        # The same address, another process: it knows neither the session nor, yet, any model.
        monkeypatch.setattr(view, "PROCESS", "the next one")
        page.route("**/*", lambda route: route.continue_(url=route.request.url.replace(site.url, restarted.url)))
        page.fill("#question textarea", "And now?")
        page.click("#ask")
        page.wait_for_selector("#chat .restarted:visible")
        assert answer(page) == said
        assert page.locator("#banner").is_hidden()
        # It stays, whatever is tried next.
        choose(page, figure())
        page.wait_for_timeout(500)
        assert page.locator("#chat .restarted").is_visible()
        assert answer(page) == said
        assert "choices" not in page.inner_text("body")
        monkeypatch.undo()
        page.unroute_all()
        page.click("#chat .reload")
        page.wait_for_selector("#chat .restarted", state="hidden")
        choose_and_wait(page)
