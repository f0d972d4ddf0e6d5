"""The API as the official openai client sees it: answers, streams, several choices, images, and the exception of each error."""

import asyncio
import base64
import http.client
import io
import json
from contextlib import closing

import openai
import pytest
from PIL import Image
from starlette.responses import PlainTextResponse

from llava_graph.errors import ServeError
from serve.api import create_api
from serve.http.by_path import ByPath
from serve.http.servers import Server, bind
from serve.protocol.codes import ErrorCode
from tests.serving import HTTP, WORDS, ScriptedEngine, eventually, png, running_controller, running_worker

SENTENCE = " ".join(WORDS)
ASK = [{"role": "user", "content": "What?"}]


@pytest.fixture(scope="module")
def scripted():
    return ScriptedEngine()


@pytest.fixture(scope="module")
def controller():
    with running_controller() as server:
        yield server


@pytest.fixture(scope="module")
def worker(controller, scripted):
    with running_worker(scripted, controller.url, limit_worker_concurrency=4, max_waiting=2) as server:
        eventually(lambda: HTTP.post(controller.url + "/list_models").json()["models"])
        yield server


@pytest.fixture(scope="module")
def api(controller, worker):
    with Server(create_api(controller.url), bind("127.0.0.1", 0), "API") as server:
        yield server


@pytest.fixture(scope="module")
def client(api):
    with openai.OpenAI(base_url=api.url + "/v1", api_key="unused", max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
def engine(scripted):
    """The engine, as good as new."""
    scripted.words, scripted.pause, scripted.fail_with, scripted.fail_at = tuple(WORDS), 0.0, None, 0
    scripted.requests.clear()
    scripted.sizes.clear()
    scripted.cancelled = 0
    return scripted


def uri(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def shows(url, text="What is it?"):
    return [
        {"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]}
    ]


def test_one_answer(client, engine):
    answer = client.chat.completions.create(model="scripted", messages=ASK)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", SENTENCE, "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 12, 19)
    assert (answer.object, answer.model) == ("chat.completion", "scripted")
    assert answer.id.startswith("chatcmpl-")
    assert answer._request_id.startswith("req_")


def test_a_stream_begins_with_the_role_ends_with_the_reason_and_then_tells_the_usage(client, engine):
    engine.pause = 0.005
    with client.chat.completions.create(
        model="scripted", messages=ASK, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    *answer, usage = chunks
    first, last = answer[0].choices[0], answer[-1].choices[0]
    assert (first.delta.role, first.delta.content, first.finish_reason) == ("assistant", "", None)
    assert (last.delta.content, last.finish_reason) == (None, "stop")
    assert all(chunk.choices[0].finish_reason is None and chunk.usage is None for chunk in answer[:-1])
    assert "".join(chunk.choices[0].delta.content or "" for chunk in answer) == SENTENCE
    assert len(answer) > 4, "it comes in pieces"
    assert (usage.choices, usage.usage.total_tokens) == ([], 19)
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_stream_is_openais_byte_for_byte(api, engine):
    body = {"model": "scripted", "messages": ASK, "stream": True}
    answer = HTTP.post(api.url + "/v1/chat/completions", json=body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, end = answer.text.split("\n\n")
    assert end == ""
    assert events[-1] == "data: [DONE]"
    assert all(event.startswith("data: {") and "\n" not in event for event in events[:-1])
    assert {json.loads(event[6:])["object"] for event in events[:-1]} == {"chat.completion.chunk"}
    assert all("usage" not in json.loads(event[6:]) for event in events[:-1]), "nobody asked for it"


@pytest.mark.parametrize("stream", [False, True])
def test_several_answers_are_written_side_by_side_each_with_its_seed(client, engine, stream):
    engine.pause, engine.most_running = 0.02, 0
    options = {"model": "scripted", "messages": ASK, "n": 3, "seed": 5}
    if stream:
        texts, ended = ["", "", ""], {}
        with client.chat.completions.create(**options, stream=True) as chunks:
            for chunk in chunks:
                (choice,) = chunk.choices
                texts[choice.index] += choice.delta.content or ""
                if choice.finish_reason:
                    ended[choice.index] = choice.finish_reason
        assert ended == dict.fromkeys(range(3), "stop")
    else:
        answer = client.chat.completions.create(**options)
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        texts = [choice.message.content for choice in answer.choices]
        assert answer.usage.completion_tokens == 36
        assert answer.usage.prompt_tokens == 7
    assert texts == [SENTENCE] * 3
    assert sorted(request.seed for request in engine.requests) == [5, 6, 7]
    assert engine.most_running == 3


def test_every_sampling_parameter_reaches_the_model(client, engine):
    client.chat.completions.create(
        model="scripted",
        messages=ASK,
        temperature=0.5,
        top_p=0.9,
        max_completion_tokens=33,
        stop=["END", "STOP"],
        seed=2**62,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        extra_body={"top_k": 40, "repetition_penalty": 1.1},
    )
    (request,) = engine.requests
    assert (request.temperature, request.top_p, request.max_new_tokens, request.seed) == (0.5, 0.9, 33, 2**62)
    assert (request.stop, request.top_k, request.repetition_penalty) == (("END", "STOP"), 40, 1.1)
    assert (request.presence_penalty, request.frequency_penalty) == (0.5, -0.5)
    client.chat.completions.create(model="scripted", messages=ASK, max_tokens=5, stop="X")
    assert (engine.requests[-1].max_new_tokens, engine.requests[-1].stop) == (5, ("X",))


def test_a_conversation_keeps_its_roles_and_images_their_places(client, engine):
    messages = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": uri(png()), "detail": "high"}},
                {"type": "text", "text": "What?"},
            ],
        },
        {"role": "assistant", "content": "A box."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And"},
                {"type": "text", "text": " this?"},
                {"type": "image_url", "image_url": {"url": uri(png(60, 50))}},
            ],
        },
    ]
    client.chat.completions.create(model="scripted", messages=messages)
    (request,) = engine.requests
    assert [message["role"] for message in request.messages] == ["system", "user", "assistant", "user"]
    kinds = [[part["type"] for part in message["content"]] for message in request.messages]
    assert kinds == [["text"], ["image", "text"], ["text"], ["text", "text", "image"]]
    assert engine.sizes == [(40, 30), (60, 50)]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_images_of_all_kinds_arrive_as_their_pixels(client, engine, kind):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(buffer, kind)
    client.chat.completions.create(model="scripted", messages=shows(uri(buffer.getvalue(), kind.lower())))
    assert engine.sizes == [(64, 48)]


def test_models_are_listed_and_told(client, engine):
    assert [model.id for model in client.models.list()] == ["scripted"]
    model = client.models.retrieve("scripted")
    assert (model.id, model.object, model.owned_by) == ("scripted", "model", "llava-graph")
    assert "there is no model" in model.about
    with pytest.raises(openai.NotFoundError, match="Models: scripted"):
        client.models.retrieve("no/such/model")


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_not_found_with_the_known_ones_named(client, engine, stream):
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="gpt-9", messages=ASK, stream=stream)
    assert refused.value.code == "model_not_found"
    assert refused.value.param == "model"
    assert "scripted" in str(refused.value)


@pytest.mark.parametrize(
    ("failure", "raised", "code"),
    [
        (ServeError("too long", code=ErrorCode.CONTEXT_OVERFLOW), openai.BadRequestError, "context_length_exceeded"),
        (ServeError("no top_k here", code=ErrorCode.PARAM_OUT_OF_RANGE), openai.BadRequestError, "invalid_value"),
        (ServeError("quota", code=ErrorCode.RATE_LIMIT), openai.RateLimitError, "rate_limit_exceeded"),
        (MemoryError(), openai.InternalServerError, "out_of_memory"),
        (RuntimeError("secret detail"), openai.InternalServerError, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_fails_before_the_first_word_has_a_status_of_its_own(client, engine, failure, raised, code, stream):
    engine.fail_with = failure
    with pytest.raises(raised) as refused:
        client.chat.completions.create(model="scripted", messages=ASK, stream=stream)
    assert refused.value.code == code
    assert "secret detail" not in str(refused.value)


def test_what_fails_in_the_middle_stands_in_the_stream(client, engine):
    engine.fail_with, engine.fail_at, engine.pause = RuntimeError("x"), 5, 0.02
    seen = []
    stream = client.chat.completions.create(model="scripted", messages=ASK, stream=True)
    with stream, pytest.raises(openai.APIError, match="the model failed on this request"):
        seen.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(seen) == "The curve rises and"


def test_a_full_queue_is_overloaded_with_the_time_to_wait(api, client, engine):
    engine.pause = 0.06

    async def many():
        async with openai.AsyncOpenAI(base_url=api.url + "/v1", api_key="x", max_retries=0) as asker:
            asked = (asker.chat.completions.create(model="scripted", messages=ASK, max_tokens=4) for _ in range(12))
            return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(many())
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert len(refused) == 12 - 4 - 2
    assert {(type(error), error.code) for error in refused} == {(openai.InternalServerError, "overloaded")}
    assert all(int(error.response.headers["retry-after"]) > 0 for error in refused)
    assert all("busy" in str(error) for error in refused)


@pytest.mark.parametrize("n", [1, 2])
def test_a_client_that_goes_away_ends_the_generation(client, engine, n):
    engine.pause = 0.05
    asked = {"model": "scripted", "messages": ASK, "n": n}
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).chat.completions.create(**asked)
    eventually(lambda: engine.cancelled == n and engine.running == 0)
    for chunks in (1, 4):
        engine.cancelled = 0
        with client.chat.completions.create(**asked, stream=True) as stream:
            for _ in range(chunks):
                next(stream)
        eventually(lambda: engine.cancelled == n and engine.running == 0)


def test_the_async_client_streams_too(api, engine):
    async def ask():
        async with openai.AsyncOpenAI(base_url=api.url + "/v1", api_key="x") as asker:
            stream = await asker.chat.completions.create(model="scripted", messages=ASK, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert asyncio.run(ask()) == SENTENCE


def test_the_clients_own_streaming_helper_puts_the_answer_together(client, engine):
    with client.chat.completions.stream(model="scripted", messages=ASK) as stream:
        stream.until_done()
        assert stream.get_final_completion().choices[0].message.content == SENTENCE


def test_the_request_id_is_the_callers_or_a_new_one(api, engine):
    for given, kept in (("abc-123", True), ("x" * 200, False), ("a b", False)):
        answer = HTTP.get(api.url + "/v1/models", headers={"x-request-id": given})
        assert (answer.headers["x-request-id"] == given) is kept


def test_health_is_that_of_the_workers():
    with running_controller() as controller, Server(create_api(controller.url), bind("127.0.0.1", 0), "API") as server:
        assert HTTP.get(server.url + "/health").status_code == 503
        with running_worker(ScriptedEngine(), controller.url):
            eventually(lambda: HTTP.get(server.url + "/health").status_code == 200)
        eventually(lambda: HTTP.get(server.url + "/health").status_code == 503)
        answer = HTTP.post(server.url + "/v1/chat/completions", json={"model": "scripted", "messages": ASK})
        assert answer.json()["error"]["code"] in ("model_not_found", "no_worker")
    with Server(create_api("http://127.0.0.1:9"), bind("127.0.0.1", 0), "API") as server:
        assert HTTP.get(server.url + "/health").status_code == 503
        body = {"model": "m", "messages": ASK}
        answer = HTTP.post(server.url + "/v1/chat/completions", json=body)
        assert answer.status_code == 504
        assert "controller" in answer.json()["error"]["message"]


def test_unknown_routes_and_methods_answer_in_openais_shape(api, engine):
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/embeddings", 404),
    ):
        answer = HTTP.request(method, api.url + path)
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_load_balancers_look_without_a_body(api, engine):
    for path in ("/health", "/v1/models", "/v1/models/scripted", "/metrics"):
        looked = HTTP.head(api.url + path)
        assert (looked.status_code, looked.content) == (200, b""), path
    assert HTTP.head(api.url + "/v1/chat/completions").status_code == 405
    assert HTTP.get(api.url + "/v1/models/").json() == HTTP.get(api.url + "/v1/models").json()


def test_a_request_line_with_the_whole_address_means_its_path(api, engine):
    """Beside a page too, where the path says whose the request is."""

    async def page(scope, receive, send):
        await PlainTextResponse("the page")(scope, receive, send)

    def asked(target):
        with closing(http.client.HTTPConnection("127.0.0.1", int(both.url.rpartition(":")[2]))) as connection:
            connection.request("GET", target)
            return connection.getresponse().read().decode()

    app = ByPath(page, create_api(api.url), ("/v1", "/health"))
    with Server(app, bind("127.0.0.1", 0), "both") as both:
        assert json.loads(asked(f"{both.url}/health?x=http://y/"))["status"] == "unavailable"
        assert "unknown_url" in asked(f"{both.url}/v1/nothing")
        assert asked(both.url) == asked("HTTP://elsewhere/v1x") == asked("/http://a/v1") == "the page"


def test_metrics_tell_requests_tokens_times_and_errors(controller, worker, engine):
    with Server(create_api(controller.url), bind("127.0.0.1", 0), "API") as server:
        url = server.url + "/v1/chat/completions"
        assert HTTP.post(url, json={"model": "scripted", "messages": ASK}).status_code == 200
        assert HTTP.post(url, json={"model": "nobody", "messages": ASK}).status_code == 404
        HTTP.get(server.url + "/v1/<script>" + "x" * 50)
        told = HTTP.get(server.url + "/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in told.text.splitlines() if not line.startswith("#"))
    chat = 'route="/v1/chat/completions"'
    assert lines[f'llava_graph_api_requests_total{{{chat},status="200"}}'] == "1.0"
    assert lines[f'llava_graph_api_requests_total{{{chat},status="404"}}'] == "1.0"
    assert lines['llava_graph_api_requests_total{route="other",status="404"}'] == "1.0"
    assert lines['llava_graph_api_errors_total{code="model_not_found"}'] == "1.0"
    assert lines['llava_graph_api_prompt_tokens_total{model="scripted"}'] == "7.0"
    assert lines['llava_graph_api_completion_tokens_total{model="scripted"}'] == "12.0"
    assert lines['llava_graph_api_time_to_first_token_seconds_count{model="scripted"}'] == "1.0"
    assert lines[f"llava_graph_api_request_duration_seconds_count{{{chat}}}"] == "2.0"
    assert lines["llava_graph_api_requests_running"] == lines["llava_graph_api_requests_queued"] == "0.0"
    assert "script>" not in told.text, "a caller's string becomes no label"


def test_half_a_character_waits_for_its_other_half():
    from serve.api.answers import Growing
    from serve.client import Reply

    growing = Growing()
    assert [growing.push(Reply(text)) for text in ("a", "a\ufffd", "aé", "aéb")] == ["a", "", "é", "b"]
    assert growing.push(Reply("aéb\ufffd"), last=True) == "\ufffd"
    assert growing.push(Reply("a", "length"), last=True) == "", "nothing is taken back"
    assert growing.finish_reason == "length"
