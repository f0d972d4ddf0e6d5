"""What a visitor takes home or gives back: files, links, votes, and a log that is written only with consent."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from llava_graph.errors import InputError
from llava_graph.explained import AskedRegion, from_json
from llava_graph.images import encode_png
from llava_graph.record import Figure, OcrLine, Paper
from scicap_builder.fetch import FetchOptions
from serve.feedback.lines import REASONS, Feedback
from serve.feedback.log import IMAGES, ConversationLog, Visitors
from serve.http.servers import Server, bind
from serve.papers import PaperShelf, ShelfOptions
from serve.web import WebOptions, create_web
from serve.web.session import AnswerFacts, Session
from serve.web.sharing.files import FORMATS, bibtex, explained_figure, file_name, shared_file
from serve.web.sharing.links import MAX_ID_CHARS, Wanted, link_of, wanted_by
from serve.web.sharing.recording import Consent, Recorder, recorder_for
from serve.web.sharing.wiring import number_of, vote_of
from tests.arxiv_server import serving
from tests.browsing import choose_and_wait, models, running_chromium, visiting
from tests.papers_to_open import TITLE, on_arxiv
from tests.serving import ScriptedEngine, eventually, running_controller, running_worker

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)> [x](javascript:alert(3)) ![y](http://evil/z.png)"
PIXELS = encode_png(Image.linear_gradient("L").convert("RGB"))
PAPER = Paper(
    id="arxiv:1801.01974v2", title="Costs & gains of 5_% {braces}", categories=("cs.CL",), licence="CC-BY-4.0"
)
FIGURE = Figure(
    id="arxiv:1801.01974v2#fig10",
    label="Figure 10",
    image=PIXELS,
    width=256,
    height=256,
    caption=f"Secret caption. {EVIL}",
    ocr=(OcrLine(text="Secret label", box=(0, 0, 0.5, 0.5)),),
    mentions=(f"As Figure 10 shows. {EVIL}",),
    paper=PAPER,
)


def answered(figure: Figure = FIGURE, *texts: str) -> Session:
    session = Session(figure)
    for number, text in enumerate(texts or (f"It rises. {EVIL}",)):
        facts = AnswerFacts(id=f"id{number}", model=f"model-{number}", started=1e9, seconds=1.5, finish_reason="stop")
        session = session.asked(f"Question {number}", facts).answered(text)
    return session


def test_json_reads_back_as_the_figure_and_the_conversation():
    session = answered(FIGURE, "As Figure 10 shows, it rises.", "More data.")
    read = from_json(shared_file(session, "json").text)
    assert read.figure == FIGURE
    assert [(one.question, one.text, one.model) for one in read.answers] == [
        ("Question 0", "As Figure 10 shows, it rises.", "model-0"),
        ("Question 1", "More data.", "model-1"),
    ]
    assert read.created == explained_figure(session).created == "2001-09-09T01:46:40+00:00"
    # What bears out each sentence goes along.
    assert [one.text for answer in read.answers for one in answer.sentences] == [
        "As Figure 10 shows, it rises.",
        "More data.",
    ]


class Attributes(HTMLParser):
    """All attributes of a page, as a browser reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag, attrs):
        self.found += [(name, value or "") for name, value in attrs]


def test_the_regions_that_were_asked_about_go_along():
    region = AskedRegion(name="A", box=(0.25, 0.5, 0.75, 1.0))
    facts = AnswerFacts(id="a", model="m", seconds=1.0, regions=(region,))
    session = Session(FIGURE).asked("Region A: what is this?", facts).answered("The tail.")
    (answer,) = from_json(shared_file(session, "json").text).answers
    assert answer.regions == (region,)
    assert "Region A: 25 to 75 % from the left, 50 to 100 % from the top" in shared_file(session, "markdown").text
    assert "region A" in shared_file(session, "html").text
    assert "region A" not in shared_file(answered(), "html").text


def test_an_exported_page_runs_nothing_and_loads_nothing():
    page = shared_file(answered(), "html").text
    assert "Secret caption" in page
    assert "<script>alert" not in page
    attributes = Attributes()
    attributes.feed(page)
    assert not [name for name, _ in attributes.found if name.startswith("on")]
    addresses = {value for name, value in attributes.found if name in ("src", "href")}
    assert any(address.startswith("data:image/") for address in addresses)
    assert all(re.match(r"data:image/|#|https://arxiv\.org/abs/", address) for address in addresses), addresses


def test_every_format_is_a_file_with_a_name_of_ours():
    for form, (ending, _) in FORMATS.items():
        file = shared_file(answered(), form)
        assert file.name == f"arxiv-1801.01974v2-fig10.{ending}"
        assert file.text.strip()
    assert "It rises." in shared_file(answered(), "markdown").text
    assert shared_file(answered(), "alt").text.startswith("Figure 10: Secret caption.")
    for session, form in (
        (Session(), "html"),
        (answered(), "exe"),
        (answered(replace(FIGURE, paper=Paper())), "bibtex"),
    ):
        with pytest.raises(InputError):
            shared_file(session, form)


def test_an_answer_that_was_stopped_says_so():
    session = Session(FIGURE).asked("Q", AnswerFacts(model="m")).answered("It ri")
    assert explained_figure(session).answers[0].finish_reason == "cancelled"
    assert explained_figure(Session(FIGURE).asked("Q", AnswerFacts(model="m"))).answers == ()


@given(st.text())
def test_a_file_name_is_one_plain_name_whatever_the_figure_is_called(figure_id):
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,59}", file_name(figure_id))


def test_a_citation_is_tex_and_of_arxivs_papers_only():
    entry = bibtex(PAPER)
    assert entry.startswith("@misc{arxiv:1801.01974v2,\n")
    assert r"title = {{Costs \& gains of 5\_\% \{braces\}}}" in entry
    assert "year = {2018}" in entry
    assert "url = {https://arxiv.org/abs/1801.01974v2}" in entry
    assert "year = {1999}" in bibtex(Paper(id="arxiv:hep-th/9901001"))
    for other in ("", "upload:ab12", "arxiv:evil},x={", "1801.01974"):
        assert bibtex(Paper(id=other)) == ""


@given(st.text(min_size=1, max_size=60), st.text(max_size=60))
def test_a_link_leads_back_to_its_figure_and_question(name, question):
    figure = f"arxiv:{name}"
    link = link_of(figure, question)
    wanted = wanted_by(dict(parse_qsl(link.removeprefix("?"))))
    if figure.isprintable():
        assert wanted == Wanted(figure, question.strip())
    else:
        assert wanted == Wanted("", question.strip())


def test_no_link_leads_to_an_upload():
    assert link_of("upload:ab12") == link_of("") == link_of("x" * (MAX_ID_CHARS + 1)) == ""
    for wrong in ({"figure": "upload:ab12"}, {"figure": "x" * 999}, {"figure": "a\nb"}, {}):
        assert wanted_by(wrong) == Wanted()
        # The question of a link that fails is not lost.
        assert wanted_by({**wrong, "question": "Why?"}) == Wanted("", "Why?")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["keep", "figure", "answer", "vote", "reasons", "comment", "corrected"]), inner, max_size=6
        )
    ),
)


@given(json_values)
def test_only_a_plain_yes_is_consent(value):
    consent = Consent.from_page(value)
    said = isinstance(value, dict) and value.get("keep") is True
    assert consent.keep == said
    assert consent.keep_figure == (said and value.get("figure") is True)


@given(json_values)
def test_a_vote_that_no_page_of_ours_sends_is_refused_in_words(data):
    try:
        answer, feedback = vote_of(data)
    except InputError:
        return
    assert isinstance(data, dict)
    assert (answer, feedback.vote) == (data["answer"], data["vote"])


def test_a_vote_is_of_the_answer_with_its_id_or_of_none():
    session = answered(FIGURE, "one", "two")
    assert [number_of(session, f"id{number}") for number in (0, 1)] == [0, 1]
    for gone in ("", "id2", "1"):
        with pytest.raises(InputError, match="no longer shown"):
            number_of(session, gone)


def whole(folder) -> str:
    return "".join(file.read_text() for file in folder.glob("*.json"))


def test_without_log_or_consent_nothing_is_written(tmp_path):
    log, session = ConversationLog(tmp_path / "log"), answered()
    for recorder, consent in ((Recorder(), Consent(True, True)), (Recorder(log), Consent())):
        assert not recorder.answer(session, consent, "10.0.0.1")
        assert not recorder.vote(session, 0, Feedback(vote="upvote"), consent, "10.0.0.1")
        assert not recorder.battle((session, session), "tievote", consent, "10.0.0.1")
    assert not list((tmp_path / "log").iterdir())
    assert not recorder_for(WebOptions()).on


def test_consent_to_the_conversation_keeps_nothing_of_the_figure(tmp_path):
    recorder, session = Recorder(ConversationLog(tmp_path)), answered(FIGURE, "It rises.")
    assert recorder.answer(session, Consent(keep=True), "10.0.0.1")
    assert recorder.vote(session, 0, Feedback(vote="upvote"), Consent(keep=True), "10.0.0.1")
    kept = whole(tmp_path)
    assert "It rises." in kept
    for secret in ("Secret", "fig10", "1801.01974", "10.0.0.1", "As Figure 10 shows"):
        assert secret not in kept
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]
    assert recorder.answer(session, Consent(keep=True, keep_figure=True))
    (image,) = (tmp_path / IMAGES).iterdir()
    state = json.loads(whole(tmp_path).splitlines()[-1])["state"]
    assert state["images"] == [image.stem]
    assert (state["figure"]["caption"], state["figure"]["licence"]) == (FIGURE.caption, "CC-BY-4.0")


def test_a_visitors_address_is_never_written_and_no_hash_unless_asked(tmp_path):
    log = ConversationLog(tmp_path)
    for visitors in (None, Visitors()):
        assert Recorder(log, visitors).answer(answered(), Consent(keep=True), "203.0.113.7")
    first, second = (json.loads(line)["ip"] for line in whole(tmp_path).splitlines())
    assert first == ""
    assert re.fullmatch("[0-9a-f]{16}", second)
    assert "203.0.113.7" not in whole(tmp_path)


def test_a_vote_goes_to_the_model_that_gave_that_answer(tmp_path):
    recorder, session = Recorder(ConversationLog(tmp_path)), answered(FIGURE, "one", "two")
    assert recorder.vote(session, 0, Feedback(vote="downvote"), Consent(keep=True))
    assert recorder.vote(session, 1, Feedback(vote="upvote"), Consent(keep=True))
    down, up = (json.loads(line) for line in whole(tmp_path).splitlines())
    assert (down["model"], down["state"]["messages"][-1][1]) == ("model-0", "one")
    assert (up["model"], up["state"]["messages"][-1][1]) == ("model-1", "two")
    assert down["state"]["conv_id"] == up["state"]["conv_id"] == "id0"


def test_an_answer_that_did_not_end_is_no_chat(tmp_path):
    recorder = Recorder(ConversationLog(tmp_path))
    asked = Session(FIGURE).asked("Q", AnswerFacts(id="a", model="m"))
    for session in (Session(), Session(FIGURE), asked, asked.answered("It ri")):
        assert not recorder.answer(session, Consent(keep=True))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def chromium():
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def engine():
    return ScriptedEngine()


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("log")


@pytest.fixture(scope="module")
def controller(engine):
    with running_controller() as server, running_worker(engine, server.url):
        eventually(lambda: models(server))
        yield server


def no_text(_image: bytes) -> tuple[OcrLine, ...]:
    return ()


@pytest.fixture(scope="module")
def site(controller, log_dir):
    web = create_web(controller.url, WebOptions(log_dir=log_dir), read=no_text)
    with Server(web, bind("127.0.0.1", 0), "web page") as server:
        yield server


@pytest.fixture
def page(chromium, site):
    with visiting(chromium, site) as visit:
        visit.problems = []
        visit.on("pageerror", lambda error: visit.problems.append(str(error)))
        yield visit
        assert not visit.problems


def explain(page) -> None:
    page.click("#explain")
    eventually(lambda: "tokens in" in page.locator("#status").inner_text())


def said(page, words: str) -> None:
    eventually(lambda: words in page.locator("#sharing .said").inner_text())


@pytest.mark.browser
def test_a_visitor_exports_what_is_on_the_page(page):
    assert page.locator("#sharing .opener").is_disabled()
    choose_and_wait(page)
    page.fill("#caption textarea", "Loss over <b>epochs</b>.")
    explain(page)
    texts = {}
    for form in ("html", "markdown", "json", "alt"):
        page.click("#sharing .opener")
        with page.expect_download() as download:
            page.click(f"#sharing [data-format={form}]")
        assert download.value.suggested_filename.endswith("." + FORMATS[form][0])
        texts[form] = download.value.path().read_text()
    assert from_json(texts["json"]).answers[0].text.startswith("The curve rises")
    assert "Loss over &lt;b&gt;epochs" in texts["html"]
    assert texts["markdown"].startswith("# Uploaded figure\n")
    assert "The curve rises" in texts["markdown"]
    assert texts["alt"].count("The curve rises") == 1
    # An upload has neither a paper to cite nor a place to link to.
    page.click("#sharing .opener")
    assert page.locator("#sharing .cite").is_hidden()
    page.keyboard.press("Escape")
    assert page.locator("#sharing .items").is_hidden()
    page.click("#sharing .link")
    said(page, "This figure is an upload")
    assert {url.split("/")[2] for url in page.requested if url.startswith("http")} == {page.url.split("/")[2]}


@pytest.mark.browser
def test_votes_and_answers_are_kept_only_while_the_visitor_agrees(page, log_dir):
    before = whole(log_dir)
    choose_and_wait(page)
    explain(page)
    page.locator("#chat .thumb.upvote").last.click()
    said(page, "Agree first")
    page.wait_for_timeout(300)
    assert whole(log_dir) == before, "written without consent"
    # Agreeing sends the vote that waited for it.
    page.check("#sharing .keep")
    said(page, "your vote is kept")
    (vote,) = map(json.loads, whole(log_dir).removeprefix(before).splitlines())
    assert (vote["type"], vote["model"], "figure" in vote["state"], vote["ip"]) == ("upvote", "scripted", False, "")
    # The next answer is a chat, and the browser remembers.
    page.reload()
    page.wait_for_selector("#model-line .model")
    choose_and_wait(page)
    explain(page)
    eventually(lambda: whole(log_dir).removeprefix(before).count("\n") == 2)
    page.locator("#chat .thumb.downvote").last.click()
    page.check("#sharing input[value=wrong_trend]")
    page.fill("#sharing .corrected", "It falls.")
    page.click("#sharing .send")
    said(page, "your vote is kept")
    chat, vote = map(json.loads, whole(log_dir).removeprefix(before).splitlines()[1:])
    assert (chat["type"], chat["state"]["conv_id"]) == ("chat", vote["state"]["conv_id"])
    assert vote["feedback"] == {"reasons": ["wrong_trend"], "comment": "", "corrected": "It falls."}
    # Taken back: nothing more.
    page.click("#sharing .log-state")
    page.uncheck("#sharing .keep")
    kept = whole(log_dir)
    explain(page)
    page.locator("#chat .thumb.upvote").last.click()
    said(page, "Agree first")
    page.wait_for_timeout(300)
    assert whole(log_dir) == kept, "written after consent was taken back"


@pytest.mark.browser
def test_the_figure_is_kept_only_with_a_consent_of_its_own(page, log_dir):
    choose_and_wait(page)
    page.fill("#caption textarea", "A caption of mine")
    page.click("#sharing .log-state")
    assert page.locator("#sharing .keep-figure").is_disabled()
    page.check("#sharing .keep")
    before = whole(log_dir)
    explain(page)
    eventually(lambda: whole(log_dir) != before)
    assert "A caption of mine" not in whole(log_dir)
    assert not (log_dir / IMAGES).exists()
    page.check("#sharing .keep-figure")
    explain(page)
    eventually(lambda: "A caption of mine" in whole(log_dir))
    assert len(list((log_dir / IMAGES).iterdir())) == 1


@pytest.mark.browser
def test_an_earlier_answer_is_voted_on_by_its_own_thumbs(page, log_dir):
    choose_and_wait(page)
    page.click("#sharing .log-state")
    page.check("#sharing .keep")
    explain(page)
    page.fill("#question textarea", "Why?")
    page.click("#ask")
    eventually(lambda: page.locator("#chat .thumb.downvote").count() == 2)
    page.locator("#chat .thumb.downvote").first.click()
    assert page.locator("#sharing legend").inner_text() == "What is wrong with answer 1?"
    assert page.locator("#sharing .reasons label").count() == len(REASONS)
    page.keyboard.press("Escape")
    assert page.locator("#sharing .feedback").is_hidden()
    page.locator("#chat .thumb.downvote").first.click()
    page.click("#sharing .send")
    said(page, "your vote is kept")
    vote = json.loads(whole(log_dir).splitlines()[-1])
    assert (vote["type"], len(vote["state"]["messages"])) == ("downvote", 2)


@pytest.mark.browser
@pytest.mark.parametrize("vote", ["upvote", "downvote"])
def test_a_vote_that_waits_is_never_given_to_another_answer(page, log_dir, vote):
    """For the switch of the log, or for its form: it goes with the answer that it is about."""
    choose_and_wait(page)
    if vote == "downvote":
        page.click("#sharing .log-state")
        page.check("#sharing .keep")
        page.click("#sharing .log-state")
    explain(page)
    eventually(lambda: page.locator(f"#chat .thumb.{vote}").count() == 1)
    page.locator(f"#chat .thumb.{vote}").click()
    page.wait_for_selector("#sharing .feedback:visible" if vote == "downvote" else "#sharing .consent:visible")
    page.click("#explain")
    eventually(lambda: page.locator("#sharing .feedback").is_hidden() and page.locator("#sharing .consent").is_hidden())
    eventually(lambda: page.locator(f"#chat .thumb.{vote}").count() == 1)
    before = whole(log_dir)
    if vote == "upvote":
        page.click("#sharing .log-state")
        page.check("#sharing .keep")
        page.wait_for_timeout(300)
        assert "vote" not in whole(log_dir).removeprefix(before), "given to another answer"


@pytest.mark.browser
def test_a_figure_of_a_paper_has_a_link_and_a_citation(chromium, controller, tmp_path):
    with serving([on_arxiv()]) as arxiv:
        fetch = FetchOptions(base_url=arxiv.url, delay_s=0.0, tries=2)
        shelf = PaperShelf(ShelfOptions(folder=tmp_path, fetch=fetch))
        shelf.open("2101.00001")
        web = create_web(controller.url, read=no_text, papers=shelf)
        with Server(web, bind("127.0.0.1", 0), "web page") as server, visiting(chromium, server) as page:
            page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            second = "arxiv:2101.00001v2#fig2"
            page.goto(server.url + "/" + link_of(second))
            page.wait_for_selector("#explain:not([disabled])")
            page.fill("#question textarea", "Why & how?")
            page.click("#sharing .link")
            said(page, "Link copied, with the question")
            link = page.evaluate("navigator.clipboard.readText()")
            assert link == f"{server.url}/{link_of(second, 'Why & how?')}"
            page.goto(link)
            eventually(lambda: page.locator("#question textarea").input_value() == "Why & how?")
            page.wait_for_selector(f".paper-bar .thumb[data-figure='{second}'][aria-selected=true]")
            page.click("#sharing .opener:not([disabled])")
            with page.expect_download() as download:
                page.click("#sharing .cite")
            assert download.value.suggested_filename == "arxiv-2101.00001v2-fig2.bib"
            entry = download.value.path().read_text()
            assert f"title = {{{{{TITLE}}}}}" in entry
            assert "year = {2021}" in entry


@pytest.mark.browser
def test_a_log_that_cannot_be_written_costs_the_vote_and_not_the_answer(chromium, controller, tmp_path):
    web = create_web(controller.url, WebOptions(log_dir=tmp_path), read=no_text)
    for day in (datetime.now(UTC), datetime.now(UTC) + timedelta(days=1)):
        (tmp_path / f"{day:%Y-%m-%d}-conv.json").mkdir()
    with Server(web, bind("127.0.0.1", 0), "web page") as server, visiting(chromium, server) as page:
        choose_and_wait(page)
        page.click("#sharing .log-state")
        page.check("#sharing .keep")
        explain(page)
        page.locator("#chat .thumb.upvote").last.click()
        said(page, "could not be kept")
        assert not page.locator("#banner .banner").count()


@pytest.mark.browser
def test_a_page_without_a_log_asks_for_no_votes(chromium, controller):
    with (
        Server(create_web(controller.url, read=no_text), bind("127.0.0.1", 0), "web page") as server,
        visiting(chromium, server) as page,
    ):
        choose_and_wait(page)
        page.wait_for_selector("#sharing .opener:not([disabled])")
        explain(page)
        assert page.locator("#chat .thumb").first.is_hidden()
        assert page.locator("#sharing .log-state").is_hidden()
        assert "are not kept" in page.locator("#privacy").inner_text()
