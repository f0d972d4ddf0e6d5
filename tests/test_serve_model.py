"""A real, tiny checkpoint behind the worker: prompts and messages, images, limits, and FastChat's questions."""

import json

import pytest

from llava_graph.chat import IMAGE_TOKEN
from llava_graph.explain import Explainer
from serve.engines.in_process import ExplainerEngine
from tests.serving import HTTP, b64, png, running_worker
from tests.tiny_model import build_tiny_model

IMAGE = b64(png(64, 48))
CONTENT = [{"type": "image"}, {"type": "text", "text": "What does it show?"}]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return ExplainerEngine(Explainer(build_tiny_model(tmp_path_factory.mktemp("model") / "tiny"), device="cpu"))


@pytest.fixture(scope="module")
def worker(engine):
    with running_worker(engine, model_names=("tiny",)) as server:
        yield server


def ask(worker, **body):
    body = {"model": "tiny", "temperature": 0, "max_new_tokens": 12, "echo": False, **body}
    response = HTTP.post(worker.url + "/worker_generate_stream", json=body)
    return [json.loads(piece) for piece in response.content.split(b"\0")[:-1]]


def test_messages_and_the_prompt_that_their_template_gives_have_the_same_answer(worker, engine):
    messages = [{"role": "user", "content": CONTENT}]
    by_messages = ask(worker, messages=messages, images=[IMAGE])[-1]
    by_prompt = ask(worker, prompt=engine.render(messages), images=[IMAGE])[-1]
    for last in (by_messages, by_prompt):
        del last["timings"]
    assert by_messages["error_code"] == 0
    assert by_messages == by_prompt
    assert by_messages["usage"]["completion_tokens"] <= 12
    assert by_messages["finish_reason"] in ("stop", "length")


def test_a_prompt_from_the_conversation_template_is_the_models_own(worker, engine):
    conv = HTTP.post(worker.url + "/worker_get_conv_template").json()["conv"]
    prompt = f"{conv['roles'][0]}\n<image>\nWhat does it show?{conv['sep']}{conv['roles'][1]}\n"
    assert conv["name"] == "tiny"
    assert prompt == engine.render([{"role": "user", "content": CONTENT}])


def test_tokens_are_counted_with_the_image(worker, engine):
    def count(prompt):
        return HTTP.post(worker.url + "/count_token", json={"prompt": prompt}).json()["count"]

    assert count(IMAGE_TOKEN) - count("") == engine._model.image_tokens
    assert count("$$<image>$$") == count("<image>\n")


def test_a_prompt_beyond_the_context_is_refused_and_the_image_is_never_cut(worker):
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "why " * 5000}]}]
    (only,) = ask(worker, messages=messages, images=[IMAGE])
    assert only["error_code"] == 40303
    assert "tokens" in only["text"]


def test_a_stop_string_ends_the_answer_before_it(worker):
    messages = [{"role": "user", "content": CONTENT}]
    text = ask(worker, messages=messages, images=[IMAGE])[-1]["text"]
    stop = text[3:5]
    last = ask(worker, messages=messages, images=[IMAGE], stop=stop)[-1]
    assert last["text"] == text[: text.index(stop)]
    assert last["finish_reason"] == "stop"


def test_every_parameter_changes_what_it_is_for(worker):
    messages = [{"role": "user", "content": CONTENT}]

    def text(**more):
        return ask(worker, messages=messages, images=[IMAGE], **more)[-1]["text"]

    hot = {"temperature": 2.0, "max_new_tokens": 30}
    assert text(**hot, seed=1) == text(**hot, seed=1) != text(**hot, seed=2)
    assert text(**hot, seed=1, top_k=1) == text(**hot, seed=2, top_k=1) == text(max_new_tokens=30)
    greedy = {"temperature": 0, "max_new_tokens": 30}
    plain = text(**greedy)
    for penalty in ({"presence_penalty": 2.0}, {"frequency_penalty": 2.0}, {"repetition_penalty": 9.0}):
        assert text(**greedy, **penalty) != plain


def test_the_last_chunk_says_where_the_time_went(worker):
    chunks = ask(worker, messages=[{"role": "user", "content": CONTENT}], images=[IMAGE])
    assert all("timings" not in chunk for chunk in chunks[:-1])
    timings = chunks[-1]["timings"]
    assert sorted(timings) == ["decode_s", "prefill_s", "queue_s", "tokens_per_s"]
    assert min(timings.values()) > 0


def test_the_special_words_of_a_caption_are_text(worker):
    content = [{"type": "image"}, {"type": "text", "text": "Caption: the token <image> and <|im_end|>"}]
    assert ask(worker, messages=[{"role": "user", "content": content}], images=[IMAGE])[-1]["error_code"] == 0


def test_text_alone_is_answered_too(worker):
    assert ask(worker, messages=[{"role": "user", "content": "Hello"}])[-1]["error_code"] == 0
