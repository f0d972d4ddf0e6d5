"""What a chat request may say: every wrong value is refused by its name, and what we cannot do is never taken silently."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.api.chat_request import DEFAULT_MAX_TOKENS, NEUTRAL, ChatRequest
from serve.api.errors import ApiError
from serve.client import Sampling

ASK = {"model": "m", "messages": [{"role": "user", "content": "What?"}]}
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def refusal(**changes):
    with pytest.raises(ApiError) as refused:
        ChatRequest.from_json({**ASK, **changes})
    return refused.value


def test_a_plain_request_means_our_defaults():
    request = ChatRequest.from_json(
        {**ASK, "temperature": None, "stop": None, "n": None, "user": "u", "metadata": {"a": "b"}}
    )
    assert request.sampling == Sampling(max_new_tokens=DEFAULT_MAX_TOKENS)
    assert (request.n, request.stream, request.include_usage, request.figure) == (1, False, False, None)
    assert request.messages == ({"role": "user", "content": [{"type": "text", "text": "What?"}]},)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("logprobs", True), ("top_logprobs", 3), ("tools", [{"type": "function"}]), ("tool_choice", "required"),
        ("functions", [{}]), ("function_call", {"name": "f"}), ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema", "json_schema": {}}), ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy"}), ("logit_bias", {"1": 5}), ("prediction", {"type": "content"}), ("best_of", 2),
        ("service_tier", "flex"), ("store", True), ("reasoning_effort", "high"), ("web_search_options", {}), ("logprobs", 0),
        ("top_logprobs", False), ("min_p", 0.1), ("min_p", False), ("logprobs", 0.0),
    ],
)  # fmt: skip
def test_what_we_cannot_honour_is_refused_by_name(name, value):
    error = refusal(**{name: value})
    assert (error.param, error.name, error.status) == (name, "unsupported_parameter", 400)
    assert name in str(error)


def test_neutral_values_are_accepted():
    for name, values in NEUTRAL.items():
        for value in (*values, None):
            assert ChatRequest.from_json({**ASK, name: value})
    assert ChatRequest.from_json({**ASK, "min_p": 0.0, "best_of": 1.0})


@pytest.mark.parametrize("content", [None, 5, True, {"type": "text"}])
def test_content_of_another_kind_is_told_that_it_may_be_text(content):
    said = str(refusal(messages=[{"role": "user", "content": content}]))
    assert said.startswith("messages[0].content must be text or a list of parts, got ")


def test_an_answer_that_was_empty_comes_back_as_it_was():
    turns = [
        {"role": "user", "content": "Hm"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Well?"},
    ]
    assert ChatRequest.from_json({**ASK, "messages": turns}).messages[1]["content"] == [{"type": "text", "text": ""}]
    assert refusal(messages=[turns[0], {"role": "assistant", "content": []}, turns[2]]).param == "messages[1].content"


@pytest.mark.parametrize(
    "content", ["x" * 200_001, [{"type": "text", "text": "x" * 200_001}], [{"type": "text", "text": "x" * 70_000}] * 3]
)
def test_too_much_text_has_one_code_in_whatever_pieces_it_comes(content):
    assert refusal(messages=[{"role": "user", "content": content}]).name == "context_length_exceeded"


def test_limits_are_written_with_all_their_digits():
    assert "-9223372036854775808 .. 9223372036854775807, got 9223372036854775808" in str(refusal(seed=2**63))
    assert "-1 .. 2147483648" in str(refusal(top_k=-2))
    assert "0.01 .. 10, got 0" in str(refusal(repetition_penalty=0))
    assert "got 1.25e+30" in str(refusal(temperature=1.25e30))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1), ("temperature", 2.1), ("temperature", "0.5"), ("temperature", True), ("temperature", float("nan")),
        ("temperature", 10**400), ("top_p", 1.5), ("top_p", [0.5]), ("n", 0), ("n", 9), ("n", 1.5), ("n", "2"), ("seed", 2**63),
        ("seed", "x"), ("max_tokens", 0), ("max_tokens", -1), ("max_completion_tokens", 10**9), ("top_k", -2),
        ("presence_penalty", 3), ("frequency_penalty", -3), ("repetition_penalty", 0), ("stop", 5), ("stop", ["a"] * 17),
        ("stop", [1]), ("stream", "yes"), ("stream", 1), ("stream_options", {"include_usage": True}), ("model", ""), ("model", 5),
        ("model", None), ("figure", "Figure 3"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named(name, value):
    error = refusal(**{name: value})
    assert error.param == name
    assert error.status == 400


def test_an_unknown_parameter_is_named_with_the_nearest_one():
    error = refusal(temprature=1)
    assert (error.param, error.name) == ("temprature", "unknown_parameter")
    assert "temperature" in str(error)
    assert len(str(refusal(**{"x" * 10_000: 1}))) < 500


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        (None, "messages"), ([], "messages"), ("Hi", "messages"), ([5], "messages[0]"), ([{"role": "user"}], "messages[0].content"),
        ([{"role": "tool", "content": "x"}], "messages[0].role"), ([{"role": ["user"], "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": ""}], "messages[0].content"), ([{"role": "user", "content": " \n"}], "messages[0].content"),
        ([{"role": "user", "content": []}], "messages[0].content"), ([{"role": "user", "content": [5]}], "messages[0].content[0]"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "messages"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "file", "file": {}}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0].image_url"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 5}}]}], "messages[0].content[0].image_url.url"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]}], "messages[0].content[0].image_url.url"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "file:///etc/passwd"}]}], "messages[0].content[0].image_url.url"),
        ([{"role": "user", "content": [{**SHOWN, "image_url": {**SHOWN["image_url"], "detail": "4k"}}]}], "messages[0].content[0].image_url.detail"),
        ([{"role": "user", "content": [SHOWN] * 9}], "messages"), ([{"role": "user", "content": "x"}] * 201, "messages"),
        ([{"role": "assistant", "content": "x", "tool_calls": [{}]}, {"role": "user", "content": "x"}], "messages[0].tool_calls"),
        ([{"role": "user", "content": "\ud800"}], "messages[0].content"),
        ([{"role": "user", "content": "x" * 200_001}], "messages[0].content"),
        ([{"role": "user", "content": "x" * 150_000}] * 2, "messages"),
    ],
)  # fmt: skip
def test_messages_are_checked_down_to_their_parts(messages, param):
    assert refusal(messages=messages).param == param


def test_control_characters_leave_no_trace_and_line_ends_are_one():
    content = "a\x00b\x1b[31mc\r\nd\re\tf\x07\x85g"
    (message,) = ChatRequest.from_json({**ASK, "messages": [{"role": "user", "content": content}]}).messages
    assert message["content"][0]["text"] == "ab[31mc\nd\ne\tfg"


def test_an_image_may_stand_in_the_short_form_too():
    short = {"type": "image_url", "image_url": "https://example.org/a.png"}
    request = ChatRequest.from_json({**ASK, "messages": [{"role": "user", "content": [short, SHOWN]}]})
    assert [image.url for image in request.images] == ["https://example.org/a.png", "data:image/png;base64,AAAA"]
    assert request.images[1].param == "messages[0].content[1].image_url.url"


FIGURE = {
    "caption": "Loss over epochs.",
    "ocr": ["Loss", {"text": " 0.5 ", "box": [0, 0.1, 0.2, 0.3], "role": "y-tick"}],
    "mentions": ["Figure 2 shows the loss."],
    "title": "T",
    "abstract": "A",
    "kind": "chart",
    "region": [0, 0, 0.5, 1],
    "explain": {"level": "expert", "length": "short", "sections": False},
    "include": ["prompt", "ocr", "evidence"],
}


def test_a_figure_is_read_field_by_field():
    figure = ChatRequest.from_json({**ASK, "figure": FIGURE}).figure
    assert [(line.text, line.box, line.role, line.source) for line in figure.ocr] == [
        ("Loss", (0, 0, 1, 1), "other", "caller"),
        ("0.5", (0, 0.1, 0.2, 0.3), "y-tick", "caller"),
    ]
    assert (figure.mentions, figure.title, figure.region) == (("Figure 2 shows the loss.",), "T", (0, 0, 0.5, 1))
    assert (figure.ask.level, figure.ask.length, figure.ask.sections) == ("expert", "short", False)
    assert figure.include == {"prompt", "ocr", "evidence"}
    assert not figure.from_paper
    assert ChatRequest.from_json({**ASK, "figure": {"paper": "1706.03762", "label": "Figure 1"}}).figure.from_paper
    assert ChatRequest.from_json({**ASK, "figure": {"explain": True}}).figure.ask.level == "student"
    assert ChatRequest.from_json({**ASK, "figure": {"explain": False}}).figure.ask is None


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"caption": 5}, "figure.caption"), ({"caption": "x" * 20_001}, "figure.caption"), ({"captoin": "x"}, "figure.captoin"),
        ({"ocr": "Loss"}, "figure.ocr"), ({"ocr": [5]}, "figure.ocr[0]"), ({"ocr": [{"box": [0, 0, 1, 1]}]}, "figure.ocr[0].text"),
        ({"ocr": [{"text": "a", "role": "axis"}]}, "figure.ocr[0].role"), ({"ocr": [{"text": "a", "confidence": 1}]}, "figure.ocr[0].confidence"),
        ({"ocr": [{"text": "a", "box": [0, 0, 2, 1]}]}, "figure.ocr[0].box"), ({"ocr": ["a"] * 1001}, "figure.ocr"),
        ({"ocr": ["a" * 501]}, "figure.ocr[0].text"), ({"mentions": [5]}, "figure.mentions[0]"), ({"mentions": ["a"] * 51}, "figure.mentions"),
        ({"region": [0, 0, 1]}, "figure.region"), ({"region": [0.5, 0, 0.2, 1]}, "figure.region"), ({"region": [0, 0, "1", 1]}, "figure.region"),
        ({"region": [0, 0, float("nan"), 1]}, "figure.region"), ({"region": [0, 0, 10**400, 1]}, "figure.region"),
        ({"explain": "please"}, "figure.explain"), ({"explain": {"level": "guru"}}, "figure.explain"), ({"explain": {"tone": "x"}}, "figure.explain.tone"),
        ({"include": ["image"]}, "figure.include"), ({"include": "prompt"}, "figure.include"), ({"include": [[]]}, "figure.include"),
        ({"paper": "1706.03762"}, "figure.label"), ({"label": "Figure 1"}, "figure.label"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_figure_is_named(change, param):
    assert refusal(figure=change).param == param


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [*NEUTRAL, *ASK, "figure", "stop", "n", "seed", "stream", "stream_options", "temperature", "top_k"]


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4),
    st.dictionaries(st.sampled_from([*FIGURE, "paper"]), JSON),
)
def test_whatever_json_arrives_it_is_read_or_refused(changes, figure):
    for request in (
        {**ASK, **changes},
        {**ASK, "figure": figure},
        {**ASK, "messages": [{"role": "user", "content": changes.get("messages")}]},
    ):
        try:
            read = ChatRequest.from_json(request)
        except ApiError as error:
            json.dumps(str(error))
        else:
            assert read.model == request["model"].strip() or isinstance(request["model"], str)
