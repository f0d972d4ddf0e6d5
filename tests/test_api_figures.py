"""The extension for figures: the model is given what the page would give it, as it was trained, and the answer says from what."""

import asyncio
import base64
import io
import threading
from dataclasses import replace

import openai
import pytest
from PIL import Image, ImageDraw

from llava_graph.errors import FetchError
from llava_graph.images import encode_png
from llava_graph.openai_client import ApiModel
from llava_graph.prompt import PromptOptions, build_messages
from llava_graph.record import Figure, OcrLine, Paper
from scicap_builder.one_paper import PaperRecords
from serve.api import ApiOptions, create_api
from serve.client import flat_text
from serve.http.servers import Server, bind
from serve.papers import PaperShelf, ShelfOptions
from serve.papers.entry import write_entry
from serve.web.figure.opening import figure_of
from tests.serving import HTTP, ScriptedEngine, eventually, png, running_controller, running_worker

CHART = Image.new("RGB", (400, 300), "white")
ImageDraw.Draw(CHART).rectangle((210, 10, 390, 290), outline="black")
READ = (
    OcrLine(text="Loss", box=(0.0, 0.4, 0.05, 0.6), role="y-axis", source="test"),
    OcrLine(text="Epoch", box=(0.6, 0.9, 0.8, 1.0), role="x-axis", source="test"),
)


def uri(image):
    return "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()


class Reader:
    """Reads `READ` in every figure; what it was shown is written down."""

    def __init__(self):
        self.shown = []

    def __call__(self, data):
        self.shown.append(Image.open(io.BytesIO(data)).size)
        return READ


class NoNetwork:
    """Serves one image under one URL."""

    async def fetch(self, url):
        if url != "https://example.org/chart.png":
            raise FetchError("is no public host", reason="refused", where="image URL")
        return encode_png(CHART)


@pytest.fixture(scope="module")
def scripted():
    return ScriptedEngine(
        words=["The", "loss", "falls", "to", "0.5", "after", "the", "tenth", "epoch", "."], context_length=10_000
    )


@pytest.fixture(scope="module")
def reader():
    return Reader()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A shelf with one opened paper."""
    options = ShelfOptions(folder=tmp_path_factory.mktemp("shelf"))
    paper = Paper(id="arxiv:2101.00001v1", title="Learning slowly", abstract="We wait.")
    figures = [
        Figure(
            id=f"arxiv:2101.00001v1#fig{n}",
            image=encode_png(CHART),
            width=400,
            height=300,
            label=f"Figure {n}",
            caption=f"Loss number {n}.",
            mentions=(f"Figure {n} shows that the loss falls.",),
            paper=paper,
        )
        for n in (1, 2)
    ]
    figures[0] = replace(figures[0], ocr=(OcrLine(text="From the PDF", box=(0.5, 0, 1, 0.1), source="pdf"),))
    folder = options.place / "papers" / "arxiv-2101.00001v1"
    folder.mkdir(parents=True)
    write_entry(
        folder,
        PaperRecords(
            id="arxiv:2101.00001v1",
            title=paper.title,
            abstract=paper.abstract,
            figures=tuple(figures),
            unread={figures[1].id: ((0.0, 0.0, 1.0, 1.0),)},
        ),
    )
    return PaperShelf(options)


@pytest.fixture(scope="module")
def api(scripted, reader, shelf):
    with running_controller() as controller, running_worker(scripted, controller.url):
        eventually(lambda: HTTP.post(controller.url + "/list_models").json()["models"])
        app = create_api(controller.url, read=reader, shelf=shelf, fetcher=NoNetwork())
        with Server(app, bind("127.0.0.1", 0), "API") as server:
            yield server


@pytest.fixture(scope="module")
def client(api):
    with openai.OpenAI(base_url=api.url + "/v1", api_key="unused", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def engine(scripted, reader):
    scripted.requests.clear()
    scripted.sizes.clear()
    scripted.prompt, scripted.instructions = PromptOptions(), True
    reader.shown.clear()
    return scripted


def ask(client, figure, text="What falls?", image=CHART, **options):
    parts = (
        [{"type": "image_url", "image_url": {"url": image if isinstance(image, str) else uri(image)}}] if image else []
    )
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]
    return client.chat.completions.create(model="scripted", messages=messages, extra_body={"figure": figure}, **options)


def given(engine):
    """The first user turn that the model was given."""
    return flat_text(engine.requests[-1].messages[0], "<image>\n")


def test_the_model_is_given_what_the_page_gives_it(client, engine, reader):
    ask(client, {"caption": "Figure 2: Loss over epochs."})
    figure = replace(figure_of(CHART), caption="Figure 2: Loss over epochs.", ocr=READ)
    assert list(engine.requests[-1].messages) == build_messages(figure, "What falls?", PromptOptions())
    assert "Text in the figure:" in given(engine)
    assert engine.sizes == [(400, 300)]
    assert reader.shown == [(400, 300)]


def test_without_a_question_it_is_the_plain_explain_request_of_the_training(client, engine):
    ask(client, {"caption": "Loss."}, text="")
    figure = replace(figure_of(CHART), caption="Loss.", ocr=READ)
    assert list(engine.requests[-1].messages) == build_messages(figure, None, PromptOptions())


def test_the_prompt_follows_the_models_own_options(client, engine):
    engine.prompt = PromptOptions(style="llava_graph")
    ask(client, {"caption": "Loss."})
    assert given(engine).startswith("OCR extracted text list, separated by ', ' : Loss Epoch, Loss, Epoch Loss.<image>")
    engine.prompt = PromptOptions(ocr=False)
    ask(client, {"caption": "Loss."})
    assert "Text in the figure" not in given(engine)


def test_text_in_the_figure_is_read_or_given_or_left_out(client, engine, reader):
    ask(client, {"ocr": False})
    assert "Text in the figure" not in given(engine)
    ask(client, {"ocr": [{"text": "Mine", "box": [0, 0, 0.1, 0.1], "role": "legend"}, "bare"]})
    assert "Mine" in given(engine)
    assert "bare" in given(engine)
    assert "Epoch" not in given(engine)
    assert reader.shown == [], "nothing was read"
    ask(client, {"ocr": True})
    assert "Epoch" in given(engine)


def test_paragraphs_title_and_abstract_are_shown_when_they_are_given(client, engine):
    ask(client, {"mentions": ["In Figure 2 the loss falls."], "title": "Learning slowly", "abstract": "We wait."})
    text = given(engine)
    assert "Paper: Learning slowly" in text
    assert "Abstract: We wait." in text
    assert "Paragraphs that cite it: In Figure 2 the loss falls." in text


def test_a_long_thin_image_reaches_the_model(client, engine, reader):
    thin = Image.new("RGB", (8, 6000))
    ask(client, {"caption": "A scale bar."}, image=thin)
    parts = [{"type": "image_url", "image_url": {"url": uri(thin)}}, {"type": "text", "text": "What?"}]
    client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": parts}])
    assert engine.sizes == [(8, 6000)] * 2


def test_an_empty_answer_before_stays_empty(client, engine):
    parts = [{"type": "image_url", "image_url": {"url": uri(CHART)}}]
    turns = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Well?"},
    ]
    for figure in ({}, {"figure": {"ocr": False}}):
        client.chat.completions.create(model="scripted", messages=turns, extra_body=figure)
        assert engine.requests[-1].messages[1] == {"role": "assistant", "content": [{"type": "text", "text": ""}]}


def test_a_region_is_cut_from_the_original_pixels_and_read_by_itself(client, engine, reader):
    large = CHART.resize((4400, 3300))
    ask(client, {"ocr": False}, image=large)
    assert engine.sizes == [(4096, 3072)], "the whole figure is sent smaller"
    ask(client, {"region": [0.5, 0.25, 0.75, 0.5]}, image=large)
    assert engine.sizes[-1] == (1100, 825), "a part of it pixel by pixel"
    assert reader.shown == [(1100, 825)]
    ask(
        client,
        {
            "region": [0.5, 0, 1, 1],
            "ocr": [{"text": "left", "box": [0, 0, 0.2, 0.2]}, {"text": "right", "box": [0.6, 0, 0.8, 0.2]}],
        },
    )
    assert "right" in given(engine)
    assert "left" not in given(engine)
    with pytest.raises(openai.BadRequestError, match="at least 8 a side") as refused:
        ask(client, {"region": [0.5, 0.5, 0.5, 0.5]})
    assert refused.value.param == "figure.region"


def test_a_figure_of_a_paper_comes_with_its_caption_text_and_paragraphs(client, engine, reader):
    answer = ask(client, {"paper": "arxiv:2101.00001v1", "label": "fig. 1", "include": ["prompt", "ocr"]}, image=None)
    text = given(engine)
    assert "Caption: Figure 1: Loss number 1." in text
    assert "From the PDF" in text
    assert reader.shown == [], "the PDF's own text is better than any reading"
    assert answer.figure["id"] == "arxiv:2101.00001v1#fig1"
    assert answer.figure["prompt"] == text
    assert [line["text"] for line in answer.figure["ocr"]] == ["From the PDF"]
    ask(client, {"figure_id": "arxiv:2101.00001v1#fig2", "caption": "Mine."}, image=None)
    assert "Caption: Figure 2: Mine." in given(engine)
    assert len(reader.shown) == 1, "the file knows nothing of its text"
    assert "Epoch" in given(engine)
    ask(client, {"figure_id": "arxiv:2101.00001v1#fig2"}, image=None)
    assert len(reader.shown) == 1, "what was read is remembered"


@pytest.mark.parametrize(
    ("figure", "image", "param", "said"),
    [
        ({"paper": "2101.00001v1", "label": "Figure 9"}, None, "figure.label", "It has Figure 1, Figure 2"),
        ({"figure_id": "arxiv:2101.00001v1#fig9"}, None, "figure.figure_id", "no figure"),
        ({"figure_id": "../../etc/passwd"}, None, "figure.figure_id", "no figure"),
        ({"figure_id": "upload:../x#fig1"}, None, "figure.figure_id", "no figure"),
    ],
)
def test_a_figure_that_is_not_there_is_not_found(client, engine, figure, image, param, said):
    with pytest.raises(openai.NotFoundError, match=said) as refused:
        ask(client, figure, image=image)
    assert refused.value.param == param


@pytest.mark.parametrize(
    "paper", ["/etc/passwd", "file:///etc/passwd", "../secret", "http://169.254.169.254/", "C:\\x", "\x00"]
)
def test_a_papers_name_never_becomes_a_path_or_a_url(client, engine, paper):
    with pytest.raises(openai.BadRequestError):
        ask(client, {"paper": paper, "label": "1"}, image=None)


def test_what_does_not_fit_together_is_refused(client, engine):
    for figure, image, text, said in (
        ({"paper": "2101.00001v1", "label": "1"}, CHART, "?", "hold no image"),
        ({"caption": "x"}, None, "?", "one image, not 0"),
        ({"explain": True}, CHART, "And what else?", "something else"),
    ):
        with pytest.raises(openai.BadRequestError, match=said):
            ask(client, figure, text=text, image=image)
    with Server(create_api("http://127.0.0.1:9"), bind("127.0.0.1", 0), "API"):
        pass


def test_an_explanation_is_asked_for_by_level_length_and_sections(client, engine):
    ask(client, {"caption": "Loss.", "explain": {"level": "lay", "length": "short"}}, text="")
    assert "everyday words" in given(engine)
    assert "## What is plotted" in given(engine)
    assert engine.requests[-1].max_new_tokens == round(80 * 2.4)
    ask(client, {"caption": "Loss.", "explain": {"length": "short"}}, text="", max_tokens=50)
    assert engine.requests[-1].max_new_tokens == 50
    engine.instructions = False
    ask(client, {"caption": "Loss.", "explain": {"level": "lay"}}, text="")
    assert "everyday" not in given(engine), "a model that follows no instructions gets the plain request"


def test_a_conversation_keeps_the_context_in_its_first_turn(client, engine):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": uri(CHART)}}]},
        {"role": "assistant", "content": "It falls."},
        {"role": "user", "content": "How far?"},
    ]
    client.chat.completions.create(model="scripted", messages=messages, extra_body={"figure": {"caption": "Loss."}})
    system, first, answer, last = engine.requests[-1].messages
    assert system["role"] == "system"
    assert "Caption: Loss." in flat_text(first, "")
    assert (flat_text(answer, ""), flat_text(last, "")) == ("It falls.", "How far?")


def test_evidence_says_what_bears_each_sentence_out(client, engine):
    figure = {"caption": "The loss falls after the tenth epoch.", "ocr": False, "include": ["evidence", "prompt"]}
    answer = ask(client, figure)
    (sentence,) = answer.choices[0].evidence
    assert sentence["text"].startswith("The loss falls")
    assert sentence["supports"][0]["source"] == "caption"
    assert [mark["kind"] for mark in sentence["marks"]] == ["number"], "0.5 stands nowhere"
    chunks = list(ask(client, figure, stream=True))
    assert [chunk.figure["prompt"] for chunk in chunks if not chunk.choices] == [answer.figure["prompt"]]
    assert chunks[-1].choices[0].evidence == answer.choices[0].evidence
    plain = ask(client, {"caption": "x"})
    assert not hasattr(plain, "figure")
    assert not hasattr(plain.choices[0], "evidence")


def test_an_image_url_is_fetched_under_guard(client, engine):
    ask(client, {"caption": "x"}, image="https://example.org/chart.png")
    assert engine.sizes == [(400, 300)]
    with pytest.raises(openai.PermissionDeniedError) as refused:
        ask(client, {"caption": "x"}, image="http://169.254.169.254/latest/meta-data")
    assert refused.value.code == "image_url_refused"
    assert refused.value.param == "messages[0].content[0].image_url.url"


def test_image_urls_and_papers_can_be_switched_off():
    with running_controller() as controller, running_worker(ScriptedEngine(), controller.url):
        eventually(lambda: HTTP.post(controller.url + "/list_models").json()["models"])
        app = create_api(controller.url, ApiOptions(fetch=None), read=lambda _: ())
        with (
            Server(app, bind("127.0.0.1", 0), "API") as server,
            openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0) as client,
        ):
            with pytest.raises(openai.PermissionDeniedError, match="not fetched here"):
                ask(client, {}, image="https://example.org/chart.png")
            with pytest.raises(openai.PermissionDeniedError, match="not opened here"):
                ask(client, {"paper": "1706.03762", "label": "1"}, image=None)


def test_too_many_readings_at_once_are_overloaded_not_piled_up():
    from serve.api.desk import Desk
    from serve.api.errors import ApiError

    async def crowd():
        desk, go = Desk("reading figures", 1, 2), threading.Event()
        waiting = [asyncio.create_task(desk.do(go.wait)) for _ in range(5)]
        await asyncio.sleep(0.05)
        waiting[1].cancel()
        go.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.sleep(0.05)
        return answers, await desk.do(lambda: "free again")

    answers, last = asyncio.run(crowd())
    refused = [answer for answer in answers if isinstance(answer, ApiError)]
    assert [(error.status, error.name) for error in refused] == [(503, "overloaded")] * 2
    assert last == "free again"


def test_a_broken_image_is_named(client, engine):
    for data, said in (
        (b"<svg/>", "not an image"),
        (png()[:60], "broken"),
        (encode_png(Image.new("L", (4, 4))), "at least 8"),
    ):
        with pytest.raises(openai.BadRequestError, match=said) as refused:
            ask(client, {}, image="data:image/png;base64," + base64.b64encode(data).decode())
        assert (refused.value.code, refused.value.param) == ("invalid_image", "messages[0].content[0].image_url.url")


def test_our_own_client_learns_what_the_model_is_used_to(api, engine):
    engine.prompt, engine.instructions = PromptOptions(ocr_style="words", max_context_tokens=99), False
    model = ApiModel(api.url + "/v1")
    assert (model.name, model.about, model.instructions) == (engine.name, engine.about, False)
    assert model.prompt == engine.prompt
    figure = Figure(id="a", image=encode_png(CHART), caption="Loss.", ocr=READ)
    explained = model.explain(figure, "What falls?")
    assert explained.text == "The loss falls to 0.5 after the tenth epoch ."
    (request,) = engine.requests
    assert flat_text(request.messages[0], "") == explained.prompt
    assert "y-axis: Loss | x-axis: Epoch" in explained.prompt
    assert engine.sizes == [(400, 300)]
