"""Messages, framing, placeholders and conversations, without a network."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.chat import load_template, render
from llava_graph.errors import ContextOverflow, ImageError, ServeError
from serve.protocol.codes import ErrorCode
from serve.protocol.conversation import STYLES, Conversation, conversation_of
from serve.protocol.messages import (
    GenerateRequest,
    Unframer,
    error_chunk,
    frame,
    image_bytes,
    plain_placeholders,
)
from serve.protocol.workers import Registration, WorkerStatus
from tests.serving import b64, png


@given(st.lists(st.dictionaries(st.text(), st.text(), min_size=1)), st.integers(1, 50))
def test_a_stream_cut_anywhere_gives_the_same_chunks(chunks, size):
    data = b"".join(frame(chunk) for chunk in chunks)
    unframer = Unframer()
    found = [piece for start in range(0, len(data), size) for piece in unframer.feed(data[start : start + size])]
    assert [json.loads(piece) for piece in found] == chunks
    assert unframer.rest == b""


def test_a_stream_that_never_ends_a_chunk_is_refused():
    unframer = Unframer(limit=100)
    with pytest.raises(ServeError, match="no FastChat stream"):
        unframer.feed(b"x" * 101)


@pytest.mark.parametrize(
    ("prompt", "plain"),
    [
        ("USER: <image>\nWhat? ASSISTANT:", "USER: <image>\nWhat? ASSISTANT:"),
        ("USER: $$<image>$$What?", "USER: <image>\nWhat?"),
        ("USER: $$<image>$$<image>\nWhat?", "USER: <image>\nWhat?"),
        ("$$<image>$$$$<image>$$<image>\n<image>\nWhat?", "<image>\n<image>\nWhat?"),
        ("$$<image>$$$$<image>$$What?", "<image>\n<image>\nWhat?"),
        ("no image", "no image"),
    ],
)
def test_both_image_placeholders_mean_one_image_each(prompt, plain):
    assert plain_placeholders(prompt) == plain


def test_images_come_as_base64_or_data_uri():
    data = png()
    assert image_bytes(b64(data), 0) == data
    assert image_bytes("data:image/png;base64," + b64(data), 0) == data
    assert image_bytes("data:image/svg+xml;charset=utf-8;base64," + b64(b"<svg/>"), 0) == b"<svg/>"


@pytest.mark.parametrize(
    "text",
    ["https://example.org/x.png", "file:///etc/passwd", "HTTP://169.254.169.254/", "blob:x"],
)
def test_an_address_as_image_is_never_fetched(text):
    with pytest.raises(ServeError, match="addresses are not fetched") as caught:
        image_bytes(text, 2)
    assert caught.value.code == 40001
    assert "images[2]" in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("data:application/pdf;base64,JVBERi0=", "'application/pdf', no image"),
        ("DATA:text/html;base64,PGI+", "'text/html', no image"),
        ("data:image/png,abc", "an image, but not as base64"),
        ("data:,abc", "nothing that it names"),
        ("data:" + "x" * 10_000, "no image"),
    ],
)
def test_a_data_uri_of_another_kind_is_told_as_what_it_is(uri, said):
    with pytest.raises(ServeError, match=said) as caught:
        image_bytes(uri, 1)
    assert "data:image/png;base64" in caught.value.next_step
    assert "addresses" not in str(caught.value)


@pytest.mark.parametrize("text", ["/etc/passwd", "../../secret.png", "not base64!", "data:image/png;base64,@@@@"])
def test_a_path_as_image_is_only_bad_base64(text):
    with pytest.raises(ServeError, match="not base64|addresses"):
        image_bytes(text, 0)


def test_none_means_the_default_as_fastchat_sends_it():
    request = GenerateRequest.from_json({"prompt": "x", "stop": None, "logprobs": None, "top_p": None, "images": None})
    assert request == GenerateRequest(prompt="x")
    assert request.echo


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ([], 40001, "JSON object"),
        ({}, 40001, "either a prompt or messages"),
        ({"prompt": "x", "messages": [{"role": "user", "content": "y"}]}, 40001, "either a prompt or messages"),
        ({"prompt": 3}, 40001, "prompt must be text"),
        ({"prompt": "x", "temperature": "hot"}, 40001, "temperature must be a number"),
        ({"prompt": "x", "temperature": float("nan")}, 40001, "finite"),
        ({"prompt": "x", "temperature": -1}, 40302, "temperature must be in"),
        ({"prompt": "x", "top_p": 1.5}, 40302, "top_p must be in"),
        ({"prompt": "x", "max_new_tokens": 0}, 40302, "max_new_tokens must be in"),
        ({"prompt": "x", "max_new_tokens": 10**9}, 40302, "max_new_tokens must be in"),
        ({"prompt": "x", "images": "abc"}, 40001, "images must be a list"),
        ({"prompt": "x", "images": ["a"] * 9}, 40302, "at most 8"),
        ({"prompt": "x", "stop": 5}, 40001, "stop must be a list"),
        ({"prompt": "x", "stop_token_ids": ["a"]}, 40001, "whole numbers"),
        ({"prompt": "x" * 200_001}, 40303, "200001 characters"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 40001, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}]}, 40001, "the user's"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "url": "http://x"}]}]},
            40001,
            "pixels go in images",
        ),
    ],
)
def test_a_wrong_request_says_what_is_wrong(body, code, said):
    with pytest.raises(ServeError) as caught:
        GenerateRequest.from_json(body)
    assert caught.value.code == code
    assert said in str(caught.value)


def test_messages_never_echo():
    assert not GenerateRequest.from_json({"messages": [{"role": "user", "content": "x"}], "echo": True}).echo


@pytest.mark.parametrize(
    "name", [None, 5, "", "worker", "ftp://host", "http://", "http://user@host", "http://host/?x=1", "http://a\\b"]
)
def test_a_worker_address_is_checked(name):
    with pytest.raises(ServeError, match="worker_name must be"):
        Registration.from_json({"worker_name": name, "check_heart_beat": True})


def test_a_worker_status_is_checked():
    with pytest.raises(ServeError, match="model_names"):
        WorkerStatus.from_json({"model_names": []})
    with pytest.raises(ServeError, match="speed"):
        WorkerStatus.from_json({"model_names": ["m"], "speed": 0})


def test_errors_carry_the_code_that_fastchat_knows():
    assert error_chunk(ContextOverflow("too long"))["error_code"] == 40303
    assert error_chunk(ImageError("broken"))["error_code"] == 40001
    assert error_chunk(ServeError("busy", code=ErrorCode.ENGINE_OVERLOADED)) == {"text": "busy", "error_code": 42903}


@pytest.mark.parametrize("name", ["chatml", "vicuna_v1", "v0"])
def test_a_chat_template_said_in_fastchats_terms_writes_the_same_prompt(name):
    template = load_template(name)

    def rendered(messages):
        return render(messages, template, add_generation_prompt=True, eos_token="</s>")

    conversation = conversation_of(rendered, name)
    assert conversation.name == name
    texts = ["<image>\nWhat is it?", "A chart: it rises.", "And then?\nReally?"]
    roles = ("user", "assistant", "user")
    messages = [{"role": r, "content": t} for r, t in zip(roles, texts, strict=True)]
    assert conversation.prompt(texts) == rendered(messages)
    assert conversation.sep_style in (2, 6), "numbers that mean the same in every FastChat"


def test_a_template_without_the_users_words_cannot_be_said():
    template = load_template("plain")
    with pytest.raises(ServeError, match="cannot be said"):
        conversation_of(lambda messages: render(messages, template, add_generation_prompt=True), "plain")


def test_a_real_fastchat_conversation_is_read():
    data = {
        "name": "vicuna_v1.1",
        "system_template": "{system_message}",
        "system_message": "Be polite.",
        "system_message_vision": "",
        "roles": ["USER", "ASSISTANT"],
        "messages": [],
        "offset": 0,
        "sep_style": 2,
        "sep": " ",
        "sep2": "</s>",
        "stop_str": None,
        "stop_token_ids": None,
        "max_image_size_mb": None,
    }
    conversation = Conversation.from_json(data)
    assert conversation.prompt(["Hi"]) == "Be polite. USER: Hi ASSISTANT:"
    assert conversation.prompt(["Hi", "Yes", "So?"]) == "Be polite. USER: Hi ASSISTANT: Yes</s>USER: So? ASSISTANT:"
    with pytest.raises(ServeError, match="style 13"):
        Conversation.from_json(data | {"sep_style": 13})


@pytest.mark.parametrize("number", [9, 10])
def test_chatml_is_read_under_both_of_its_numbers(number):
    data = {"name": "x", "system_message": "S", "sep_style": number, "sep": "<|im_end|>"}
    roles = ["<|im_start|>user", "<|im_start|>assistant"]
    prompt = Conversation.from_json(data | {"roles": roles}).prompt(["U"])
    assert prompt == "S<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    with pytest.raises(ServeError, match=f"style {number}"):
        Conversation.from_json(data | {"roles": ["Human", "Assistant"]})


@pytest.mark.parametrize("style", STYLES)
def test_every_style_keeps_the_texts_in_order(style):
    prompt = Conversation("x", system_message="S0", sep_style=style, sep="|", sep2="$").prompt(["U1", "A1", "U2"])
    places = [prompt.index(text) for text in ("S0", "U1", "A1", "U2")]
    assert places == sorted(places)
    assert prompt.split("U2")[1].startswith("|")


def test_the_images_helper_is_strict_about_padding():
    with pytest.raises(ServeError):
        image_bytes(base64.b64encode(b"abcd").decode().rstrip("="), 0)


def test_a_seed_is_read_to_its_last_digit():
    assert GenerateRequest.from_json({"prompt": "Q", "seed": 2**63 - 1}).seed == 2**63 - 1
    assert GenerateRequest.from_json({"prompt": "Q"}).seed is None
    with pytest.raises(ServeError, match="seed must be a number"):
        GenerateRequest.from_json({"prompt": "Q", "seed": "x"})


@pytest.mark.parametrize(
    "names", [[""], ["a" * 257], ["a\nb"], ["a\x1b[31m"], ["\u202egpt"], ["a"] * 257, "a", [1], None]
)
def test_names_of_models_are_short_and_printable(names):
    with pytest.raises(ServeError, match="model_names must be a list"):
        WorkerStatus.from_json({"model_names": names})
    assert WorkerStatus.from_json({"model_names": ["Qwen/Qwen3-VL 8B", "模型"]}).model_names[1] == "模型"
