"""The packaged model behind the API, asked with the official client: the same answer as in the terminal."""

import base64

import openai
import pytest

from llava_graph.examples import example_figures
from llava_graph.explain import Explainer
from llava_graph.generate import GenerationOptions
from llava_graph.record import Figure
from ocr import read_text
from serve import create_api
from serve.engines.in_process import ExplainerEngine
from serve.http.servers import Server, bind
from tests.serving import HTTP, eventually, running_controller, running_worker

EXAMPLE = example_figures()[0]
PIXELS = EXAMPLE.path.read_bytes()
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(PIXELS).decode()}}


@pytest.fixture(scope="module")
def explainer():
    return Explainer(device="cpu")


@pytest.fixture(scope="module")
def client(explainer):
    with running_controller() as controller, running_worker(ExplainerEngine(explainer), controller.url):
        eventually(lambda: HTTP.post(controller.url + "/list_models").json()["models"])
        with (
            Server(create_api(controller.url), bind("127.0.0.1", 0), "API") as server,
            openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=0) as client,
        ):
            yield client


def ask(client, explainer, **options):
    figure = {"caption": EXAMPLE.caption, "include": ["ocr", "prompt", "evidence"]}
    messages = [{"role": "user", "content": [SHOWN]}]
    asked = {"temperature": 0, "max_tokens": 24, "extra_body": {"figure": figure}, **options}
    return client.chat.completions.create(model=explainer.model.name, messages=messages, **asked)


def test_the_api_explains_an_example_figure_as_the_terminal_does(client, explainer):
    answer = ask(client, explainer)
    figure = Figure(id=answer.figure["id"], image=PIXELS, caption=EXAMPLE.caption, ocr=read_text(PIXELS))
    explained = explainer.explain(figure, generation=GenerationOptions(max_new_tokens=24, temperature=0))
    (choice,) = answer.choices
    assert answer.figure["prompt"].removeprefix("<image>\n") == explained.prompt
    assert choice.message.content.strip() == explained.text
    assert len(choice.message.content.split()) > 5
    assert (choice.finish_reason, answer.usage.completion_tokens) == ("length", 24)
    assert answer.usage.prompt_tokens > explainer.count_tokens(explained.prompt)
    assert choice.evidence[0]["text"]


def test_a_seed_makes_a_sampled_answer_come_again_and_choices_differ(client, explainer):
    sampled = {"temperature": 1.5, "top_p": 1, "seed": 11, "n": 2}
    first, again = ([choice.message.content for choice in ask(client, explainer, **sampled).choices] for _ in range(2))
    assert first == again
    assert first[0] != first[1]


def test_a_stream_says_the_same_and_a_stop_string_ends_it(client, explainer):
    whole = ask(client, explainer).choices[0].message.content
    chunks = [chunk for chunk in ask(client, explainer, stream=True) if chunk.choices]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert len(chunks) > 5
    stop = whole.split()[4]
    cut = ask(client, explainer, stop=stop).choices[0]
    assert cut.message.content == whole[: whole.index(stop)]
    assert cut.finish_reason == "stop"


def test_a_prompt_beyond_the_context_is_a_bad_request(client, explainer):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=explainer.model.name, messages=[{"role": "user", "content": "why " * 20_000}]
        )
    assert refused.value.code == "context_length_exceeded"
