"""The OpenAI wire as a client speaks it: bodies, addresses, events however they are cut, errors in anybody's shape."""

import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llava_graph.errors import InputError, ServeError
from llava_graph.generate import GenerationOptions
from llava_graph.openai_wire import (
    MAX_EVENT_BYTES,
    MAX_PAUSE_S,
    Delta,
    Events,
    adapted,
    asked_pause,
    chat_body,
    endpoint,
    read_answer,
    read_event,
    refusal,
)
from llava_graph.prompt import build_messages
from llava_graph.record import Figure, Turn


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("http://h:8000", "http://h:8000/v1/models"),
        ("http://h:8000/", "http://h:8000/v1/models"),
        ("http://h:8000/v1", "http://h:8000/v1/models"),
        ("https://h/openai/v1/", "https://h/openai/v1/models"),
        ("http://h/v1/chat/completions", "http://h/v1/models"),
        ("http://[::1]:80/v1?x=1", "http://[::1]:80/v1/models"),
    ],
)
def test_a_base_may_be_written_in_any_way(base, address):
    assert endpoint(base, "models") == address


@pytest.mark.parametrize("base", ["", "h:8000", "file:///etc/passwd", "http://", "ftp://h/v1"])
def test_what_is_no_address_is_refused(base):
    with pytest.raises(InputError, match="no http address"):
        endpoint(base, "models")


def test_the_body_holds_the_prompt_of_the_local_model_and_the_pixels(png):
    figure = Figure(id="a", image=png, caption="Loss.")
    history = (Turn(role="user", text="Why?"), Turn(role="assistant", text="So."))
    messages = build_messages(figure, "And?", history=history)
    body = chat_body("m", messages, [png], GenerationOptions(max_new_tokens=7, temperature=0, seed=3, stop=("##",)))
    first, second, third = body["messages"]
    image, text = first["content"]
    assert base64.b64decode(image["image_url"]["url"].removeprefix("data:image/png;base64,")) == png
    assert text["text"] == messages[0]["content"][1]["text"] == "Caption: Loss.\nWhy?"
    assert (second, third) == ({"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"})
    assert body["max_tokens"] == 7
    assert (body["temperature"], body["seed"], body["stop"]) == (0, 3, ["##"])
    assert "top_p" not in body
    assert body["stream_options"] == {"include_usage": True}
    assert "stream" not in chat_body("m", messages, [png], GenerationOptions(), stream=False)


@pytest.mark.parametrize("count", [0, 2])
def test_images_must_match_their_places(png, count):
    with pytest.raises(InputError, match="images"):
        chat_body("m", build_messages(Figure(id="a", image=png)), [png] * count, GenerationOptions())


def test_what_a_server_does_not_know_is_left_out_once():
    body = {"max_tokens": 5, "stream_options": {}, "seed": 1}
    assert adapted(body, "Use 'max_completion_tokens' instead") == {
        "stream_options": {},
        "seed": 1,
        "max_completion_tokens": 5,
    }
    assert adapted(body, "unknown field stream_options") == {"max_tokens": 5, "seed": 1}
    assert adapted(body, "the model is on fire") is None


SAMPLED = {"temperature": 50, "seed": 1, "top_p": 2, "repetition_penalty": 1.1}


@pytest.mark.parametrize(
    ("told", "left_out"),
    [
        ("Unsupported parameter: 'temperature' is not supported with this model.", "temperature"),
        ("Unrecognized request argument supplied: seed", "seed"),
        ("body.seed: Extra inputs are not permitted", "seed"),
        ("'seed' : Additional properties are not allowed ('seed' was unexpected)", "seed"),
        ('json: unknown field "repetition_penalty"', "repetition_penalty"),
        ("temperature must be in [0, 2], got 50", ""),
        ("temperature 50 is not allowed", ""),
        ("Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 50", ""),
        ("temperature: Input should be less than or equal to 2", ""),
        ("Unsupported value: 'temperature' does not support 0.2 with this model.", ""),
        ("top_p is out of range", ""),
        ("invalid seed: not an int", ""),
    ],
)
def test_a_value_that_is_refused_is_not_a_field_that_is_unknown(told, left_out):
    other = adapted(SAMPLED, told)
    assert other == ({name: SAMPLED[name] for name in SAMPLED if name != left_out} if left_out else None)


def chunk(**choice) -> str:
    return json.dumps({"object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}, ensure_ascii=False)


STREAM = "".join(
    f"{line}\n"
    for line in [
        ": ping",
        "",
        f"data: {chunk(delta={'role': 'assistant'})}",
        "",
        f"data:{chunk(delta={'content': 'Ein Überblick → '})}",
        "",
        "event: message",
        f"data: {chunk(delta={'content': '𝛼'}, finish_reason='length')}",
        "",
        'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}',
        "",
        "data: [DONE]",
    ]
)


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=8), st.booleans())
def test_events_are_the_same_however_the_bytes_are_cut(cuts, windows):
    data = STREAM.replace("\n", "\r\n").encode() if windows else STREAM.encode()
    events, found, start = Events(), [], 0
    for cut in [*sorted(cuts), len(data)]:
        found += events.feed(data[start:cut])
        start = max(start, cut)
    found += events.end()
    deltas = [read_event(event) for event in found]
    assert deltas == [
        Delta(),
        Delta(text="Ein Überblick → "),
        Delta(text="𝛼", finish_reason="length"),
        Delta(prompt_tokens=5, completion_tokens=2),
        None,
    ]


def test_an_event_without_an_end_is_refused():
    events, line = Events(), b"data: " + b"x" * (MAX_EVENT_BYTES // 4) + b"\n"
    with pytest.raises(ServeError, match="without an end"):
        list(itertools.chain.from_iterable(events.feed(line) for _ in range(10)))


@pytest.mark.parametrize(
    "event",
    [
        '{"error": {"message": "out of memory", "code": 500}}',
        '{"object": "error", "message": "out of memory"}',
        '{"error": "out of memory"}',
    ],
)
def test_an_error_in_the_stream_is_told_in_its_words(event):
    with pytest.raises(ServeError, match="out of memory"):
        read_event(event)


@pytest.mark.parametrize("event", ["<html>", "[]", "3", "null"])
def test_what_is_no_completion_is_refused(event):
    with pytest.raises(ServeError, match="no JSON|no completion"):
        read_event(event)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["choices", "delta", "content", "usage", "prompt_tokens", "error", "message"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_json_of_a_server_breaks_the_reader(data):
    try:
        delta = read_answer(data, "delta")
    except ServeError:
        return
    assert isinstance(delta.text, str)


def test_a_whole_completion_is_read_too():
    data = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}
    assert read_answer(data) == Delta(text="Hi", finish_reason="stop", completion_tokens=1)
    assert read_answer({"choices": [{"message": {"content": "Hi"}}]}).finish_reason == "stop"
    assert read_answer({"choices": []}) == Delta(
        text="", finish_reason="stop"
    )  # Gemini's, of what its filter holds back


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": " you"}]}, "Hi you"),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Hi"}]}, "Hi"),
        ({"content": None, "refusal": "I'm sorry."}, "I'm sorry."),
        ({"content": None, "tool_calls": [{}]}, ""),
        ({"content": ["Hi", 3, {"type": "text", "text": None}]}, ""),
    ],
)  # fmt: skip
def test_what_was_said_stands_in_parts_or_as_a_refusal(said, text):
    assert read_answer({"choices": [{"message": said}]}).text == text


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (401, b'{"error": {"message": "bad key"}}', 50001, "refuses the API key \\(401: bad key"),
        (404, b'{"error": {"message": "no model x"}}', 40301, "no model x"),
        (429, b"{}", 42903, "busy"),
        (429, b'{"error": {"message": "no money", "code": "insufficient_quota"}}', 50001, "nothing left to spend"),
        (402, b'{"error": {"message": "Insufficient Balance"}}', 50001, "nothing left to spend"),
        (503, b"", 42903, "busy"),
        (400, b'{"message": "maximum context length is 9"}', 40303, "maximum context"),
        (422, b'{"detail": [{"msg": "field required"}]}', 40302, "field required"),
        (500, b"<html>" + b"x" * 9000, 50001, "500"),
    ],
)
def test_a_refusal_says_why(status, body, code, words):
    error = refusal(status, body, "http://h/v1")
    assert error.code == code
    assert len(str(error)) < 700
    with pytest.raises(ServeError, match=words):
        raise error


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry-after": "7"}, 7), ({"retry-after": "0.5"}, 0.5), ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:05 GMT"}, 5), ({"retry-after": "Thu, 01 Jan 1970 00:00:05 GMT"}, 0),
        ({"retry-after": "86400"}, MAX_PAUSE_S), ({"retry-after": "soon"}, None), ({"retry-after": "1.2.3"}, None),
        ({"retry-after-ms": "nan"}, None), ({}, None),
    ],
)  # fmt: skip
def test_a_busy_server_says_when_to_come_again(headers, pause):
    assert asked_pause(headers, 60.0) == pause
