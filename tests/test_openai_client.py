"""A model behind an OpenAI-compatible server, asked over real HTTP."""

import threading
import time

import pytest
from upstream_server import USAGE, chunk, saying

from llava_graph.errors import InputError, ServeError
from llava_graph.generate import GenerationOptions
from llava_graph.openai_client import ApiModel
from llava_graph.record import Figure

ANSWER = "The curve rises and then stays."


@pytest.fixture
def server(api_server):
    return api_server


@pytest.fixture
def url(api_server):
    return api_server.url


@pytest.fixture
def figure(png):
    return Figure(id="a", image=png, caption="Loss.", mentions=("Figure 1 shows the loss.",))


def test_an_answer_comes_with_its_tokens_and_the_prompt_is_the_local_one(server, url, figure):
    model = ApiModel(url, key="secret")
    heard = []
    explained = model.explain(figure, "Why?", on_text=heard.append, generation=GenerationOptions(max_new_tokens=9))
    (answer,) = explained.answers
    assert explained.text == ANSWER == "".join(heard)
    assert len([piece for piece in heard if piece]) == 6
    assert (answer.model, answer.finish_reason) == ("figures", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == (21, 8)
    (body,) = server.bodies
    (message,) = body["messages"]
    assert message["content"][1]["text"] == explained.prompt == model.messages(figure, "Why?")[0]["content"][1]["text"]
    assert "Figure 1 shows the loss." in explained.prompt
    assert body["max_tokens"] == 9
    assert server.keys == {"Bearer secret"}


def test_the_key_comes_from_the_environment_and_there_is_none_without(server, url, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "from-outside")
    ApiModel(url)
    assert server.keys == {"Bearer from-outside"}
    monkeypatch.delenv("OPENAI_API_KEY")
    server.keys.clear()
    ApiModel(url)
    assert server.keys == {""}


def test_a_server_that_does_not_stream_is_read_too(server, url, figure):
    whole = {"choices": [{"message": {"role": "assistant", "content": "At once."}, "finish_reason": "stop"}]}
    server.refusals.append((200, whole))
    assert ApiModel(url).explain(figure, "Why?").text == "At once."


def test_models_are_found_chosen_and_asked_for(server, url):
    server.models = [{"id": "a"}, {"id": "b", "about": "The second.", "instructions": False}]
    second = ApiModel(url, "b")
    assert (second.name, second.about, second.instructions) == ("b", "The second.", False)
    with pytest.raises(InputError, match=r"several models.*Give --model.*a, b"):
        ApiModel(url)
    with pytest.raises(InputError, match="no model 'c'"):
        ApiModel(url, "c")
    server.models = []
    with pytest.raises(ServeError, match="serves no model"):
        ApiModel(url)


def test_a_server_that_is_not_there_or_no_server_is_told_so():
    with pytest.raises(ServeError, match="cannot be reached"):
        ApiModel("http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match="no http address"):
        ApiModel("localhost:8000")


def test_a_busy_server_is_asked_again_after_a_while(server, url, figure):
    waits = []
    busy = (503, {"error": {"message": "full"}})
    server.refusals += [busy, (429, {})]
    model = ApiModel(url, sleep=waits.append)
    assert model.explain(figure, "Why?").text == ANSWER
    assert waits == [1, 4]
    server.refusals += [busy] * 9
    with pytest.raises(ServeError, match=r"busy \(503: full\)"):
        model.explain(figure, "Why?")
    assert len(server.refusals) == 5


def test_an_option_that_the_server_does_not_know_is_left_out(server, url, figure):
    server.refusals.append((400, {"error": {"message": "Use max_completion_tokens", "param": "max_tokens"}}))
    ApiModel(url).explain(figure, "Why?")
    first, second = server.bodies
    assert second["max_completion_tokens"] == first["max_tokens"]
    assert "max_tokens" not in second


def test_a_temperature_that_the_server_refuses_is_an_error_and_one_it_does_not_know_is_told(
    server, url, figure, caplog
):
    hot = GenerationOptions(temperature=50)
    server.refusals.append((400, {"error": {"message": "temperature must be in [0, 2], got 50"}}))
    with pytest.raises(ServeError, match="got 50"):
        ApiModel(url).explain(figure, "Why?", generation=hot)
    assert len(server.bodies) == 1
    server.refusals.append((400, {"error": {"message": "Unsupported parameter: 'temperature'"}}))
    ApiModel(url).explain(figure, "Why?", generation=hot)
    assert "temperature" not in server.bodies[-1]
    assert "does not know temperature" in caplog.text


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((400, {"error": {"message": "maximum context length is 9"}}), "does not fit"),
        ((401, {"error": {"message": "who are you"}}), "who are you"),
        ((200, {"choices": "none"}), "stopped in the middle"),
        ((200, [1]), "no completion"),
        ((302, {}), "refuses the request"),
    ],
)
def test_what_goes_wrong_is_told_in_words(server, url, figure, refusal, words):
    server.refusals.append(refusal)
    with pytest.raises(ServeError, match=words):
        ApiModel(url).explain(figure, "Why?")


def test_an_answer_that_breaks_off_is_no_answer(server, url, figure):
    server.script = [chunk({"content": "The"})]
    with pytest.raises(ServeError, match="stopped in the middle"):
        ApiModel(url).explain(figure, "Why?")


def test_an_answer_that_the_server_aborts_is_no_answer(server, url, figure):
    server.script = [chunk({"content": "The"}), chunk({}, "abort"), "data: [DONE]\n\n"]
    with pytest.raises(ServeError, match="in the middle of the answer .abort."):
        ApiModel(url).explain(figure, "Why?")


def test_a_stream_that_ends_without_a_reason_is_whole(server, url, figure):
    """Asked again, it would be paid for again. One that ends before it says anything is none."""
    server.script = [chunk({"content": "The end."}), chunk(None, usage=USAGE), "data: [DONE]\n\n"]
    answer = ApiModel(url).explain(figure, "Why?").answers[0]
    assert (answer.text, answer.finish_reason) == ("The end.", "stop")
    server.script = ["data: [DONE]\n\n"]
    with pytest.raises(ServeError, match="stopped in the middle"):
        ApiModel(url).explain(figure, "Why?")


def test_an_empty_answer_is_an_answer(server, url, figure):
    server.script = [chunk({}, "stop"), "data: [DONE]\n\n"]
    assert ApiModel(url).explain(figure, "Why?").text == ""


def test_stopping_leaves_the_server(server, url, figure):
    server.script = saying("word " * 400, 0.01)
    stopping = threading.Event()

    def hear(_piece: str) -> None:
        stopping.set()

    explained = ApiModel(url).explain(figure, "Why?", on_text=hear, stopping=stopping)
    assert explained.answers[0].finish_reason == "cancelled"
    assert len(explained.text.split()) < 10
    deadline = time.monotonic() + 5
    while not server.left and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.left == 1
