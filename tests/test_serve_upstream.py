"""An OpenAI-compatible server behind our worker: the same requests, streams, refusals and disconnects as with a model in process."""

import base64
import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from llava_graph.errors import InputError, ServeError
from llava_graph.images import encode_png, open_image
from serve.api import create_api
from serve.engines.batching.limits import Limits
from serve.engines.upstream.dialect import MESSAGES_V1, messages_of, write_prompt
from serve.engines.upstream.discovery import Upstream, UpstreamOptions, checked_address, discover
from serve.engines.upstream.engine import UpstreamEngine
from serve.engines.upstream.events import Answer
from serve.engines.upstream.refusals import refusal_of
from serve.http.servers import Server, bind
from serve.protocol.conversation import VICUNA_V1
from tests.serving import HTTP, ScriptedEngine, b64, eventually, png, running_controller, running_worker
from tests.upstream_server import USAGE, WORDS, OpenAiServer, chunk, running_openai

TEXT = "".join(WORDS)
KINDS = ("vllm", "sglang", "llamacpp", "ollama", "openai")
CONTENT = [{"type": "image"}, {"type": "text", "text": "Caption: Loss.\nWhat?"}]


@pytest.fixture(scope="module")
def server():
    return OpenAiServer()


@pytest.fixture(scope="module")
def address(server):
    with running_openai(server) as url:
        yield url


@pytest.fixture(scope="module")
def worker(address):
    engine = UpstreamEngine(
        options := UpstreamOptions(url=address, silence_s=0.4),
        discover(options),
        limits=Limits(max_batch_size=3, max_waiting=1),
    )
    with running_worker(engine) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(server):
    server.__dict__.update(OpenAiServer().__dict__)


def ask(worker, **body):
    body = {"model": "figures", "messages": [{"role": "user", "content": "Q"}], **body}
    response = HTTP.post(worker.url + "/worker_generate_stream", json=body)
    return [json.loads(piece) for piece in response.content.split(b"\0")[:-1]]


def engine_of(url, **options):
    options = UpstreamOptions(url=url, **options)
    return UpstreamEngine(options, discover(options))


@pytest.mark.parametrize("kind", KINDS)
def test_every_servers_stream_becomes_the_same_answer(server, worker, kind):
    server.kind = kind
    last = ask(worker)[-1]
    timings = last.pop("timings")
    assert last == {"text": TEXT, "error_code": 0, "usage": USAGE, "finish_reason": "stop"}
    assert set(timings) == {"queue_s", "prefill_s", "decode_s", "tokens_per_s"}


def test_text_and_images_stand_in_the_order_of_the_messages(server, worker):
    chart, photo = encode_png(Image.new("RGB", (40, 30), "red")), png(20, 20)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "A"}, {"type": "image"}, *CONTENT]},
        {"role": "assistant", "content": "A line."},
        {"role": "user", "content": "Why?"},
    ]
    ask(worker, messages=messages, images=[b64(chart), b64(photo)])
    system, first, answer, last = server.bodies[0]["messages"]
    assert (system["content"], answer["content"], last["content"]) == ("Be brief.", "A line.", "Why?")
    assert [part["type"] for part in first["content"]] == ["text", "image_url", "image_url", "text"]
    urls = [part["image_url"]["url"] for part in first["content"] if part["type"] == "image_url"]
    assert urls == [f"data:image/png;base64,{b64(image)}" for image in (chart, photo)]


def test_only_pixels_go_on_upright_and_as_png(server, worker, tmp_path):
    """Whatever a camera wrote beside them (place, time, serial number) stays here."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "SECRET CAMERA"
    for name in ("a.jpg", "b.webp"):
        Image.new("RGB", (40, 20), "blue").save(tmp_path / name, exif=exif)
    images = [b64((tmp_path / name).read_bytes()) for name in ("a.jpg", "b.webp")]
    ask(worker, messages=[{"role": "user", "content": [{"type": "image"}] * 2}], images=images)
    for part in server.bodies[0]["messages"][0]["content"]:
        sent = base64.b64decode(part["image_url"]["url"].removeprefix("data:image/png;base64,"))
        assert b"SECRET" not in sent
        assert open_image(sent).size == (20, 40)


def test_a_bad_image_never_reaches_the_server(server, worker):
    for image, said in (
        (b64(b"<svg/>"), "images[0]"),
        ("http://10.0.0.1/x.png", "addresses are not fetched"),
        (b64(png(1, 1)), "1 x 1 px"),
    ):
        (only,) = ask(worker, messages=[{"role": "user", "content": CONTENT}], images=[image])
        assert said in only["text"]
    assert server.bodies == []


def test_only_what_is_not_neutral_is_asked_for(server, worker):
    ask(worker, temperature=0.2, max_new_tokens=7)
    body = server.bodies[0]
    assert body == {
        "model": "figures",
        "temperature": 0.2,
        "max_tokens": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "Q"}],
    }
    asked = {"top_p": 0.7, "top_k": 5, "repetition_penalty": 1.2, "presence_penalty": 0.5, "frequency_penalty": -0.5}
    ask(worker, **asked, seed=2**60 + 1, stop=["END", ""], stop_token_ids=[3])
    assert asked.items() <= server.bodies[1].items()
    assert (server.bodies[1]["seed"], server.bodies[1]["stop"]) == (2**60 + 1, ["END"])


def test_length_is_told_from_stop(server, worker):
    server.script = [chunk({"content": "A"}), chunk({}, "length"), "data: [DONE]\n\n"]
    last = ask(worker)[-1]
    assert (last["text"], last["finish_reason"]) == ("A", "length")


REFUSALS = [
    (401, {"error": "Unauthorized"}, 50001, "refuses this worker's key (401: Unauthorized)"),
    (404, {"object": "error", "message": "The model `x` does not exist.", "code": 404}, 40301, "does not exist"),
    (400, {"error": {"message": "This model's maximum context length is 4096 tokens.", "code": 400}}, 40303, "4096"),
    (
        400,
        {
            "error": {
                "code": 400,
                "message": "request (9 tokens) exceeds the available context size (8 tokens)",
                "type": "exceed_context_size_error",
            }
        },
        40303,
        "exceeds the available context size",
    ),
    (
        400,
        {"error": {"message": "Unrecognized request argument supplied: top_k", "param": None}},
        40302,
        "does not take top_k",
    ),
    (
        422,
        {"detail": [{"loc": ["body", "top_k"], "msg": "extra fields not permitted"}]},
        40302,
        "body.top_k: extra fields",
    ),
    (400, {"error": {"message": "Image too small", "type": "BadRequestError"}}, 40001, "Image too small"),
    (429, {"error": {"message": "Rate limit reached", "type": "requests"}}, 42903, "is busy (429: Rate limit reached)"),
    (503, {"error": {"message": "Loading model", "type": "unavailable_error"}}, 42903, "Loading model"),
    (500, {"error": {"message": "CUDA error: an illegal memory access"}}, 50001, "illegal memory access"),
    (
        502,
        "<html><head><title>x</title></head><h1>502 Bad Gateway</h1><hr>nginx</html>",
        50006,
        "(502: 502 Bad Gateway nginx)",
    ),
    (302, "", 50001, "sends this worker elsewhere"),
]


@pytest.mark.parametrize(("status", "data", "code", "said"), REFUSALS)
def test_a_refusal_keeps_the_servers_own_reason(server, worker, status, data, code, said):
    server.refusals = [(status, data)] * 4
    (only,) = ask(worker, top_k=5)
    assert (only["error_code"], said in only["text"]) == (code, True), only


ERRORS_IN_THE_STREAM = [
    ({"error": {"message": "out of KV cache", "type": "InternalServerError", "code": 500}}, 50001),
    ({"object": "error", "message": "out of KV cache", "code": 400}, 40001),
    ({"error": "out of KV cache"}, 50001),
    ('error: {"error": {"message": "out of KV cache", "code": 500}}\n\n', 50001),
]


@pytest.mark.parametrize(("event", "code"), ERRORS_IN_THE_STREAM)
def test_an_error_inside_the_stream_is_told_as_such(server, worker, event, code):
    server.script = [chunk({"content": "The"}), event, "data: [DONE]\n\n"]
    last = ask(worker)[-1]
    assert (last["error_code"], "out of KV cache" in last["text"]) == (code, True)


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ([10.0], 50006, "has said nothing for 0.4 s"),
        ([chunk({"content": "The"}), 10.0], 50006, "has said nothing for 0.4 s"),
        ([chunk({"content": "The"}), None], 50006, "stopped in the middle"),
        ([chunk({"content": "The"})], 50006, "stopped in the middle"),
        ([None], 50006, "does not answer"),
        (["data: <html>\n\n"], 50001, "no OpenAI stream"),
        (["data: 5\n\n"], 50001, "no OpenAI stream"),
        ([chunk({"content": "The"}), chunk({}, "content_filter"), "data: [DONE]\n\n"], 50001, "content_filter"),
    ],
)
def test_a_server_that_fails_in_the_middle_ends_in_a_clear_message(server, worker, script, code, said):
    server.script = script
    begun = time.monotonic()
    last = ask(worker)[-1]
    assert (last["error_code"], said in last["text"]) == (code, True), last
    assert time.monotonic() - begun < 8
    server.script = None
    assert ask(worker)[-1]["text"] == TEXT
    assert HTTP.post(worker.url + "/worker_get_status").json()["queue_length"] == 0


def test_keep_alives_hold_a_slow_answer_open(server, worker):
    server.script = [": ping\n\n", 0.3, ": ping\n\n", 0.3, ":\n\n", chunk({"content": "A"}, "stop"), "data: [DONE]\n\n"]
    assert ask(worker)[-1]["text"] == "A"


def test_a_client_that_goes_away_closes_the_connection_to_the_server(server, worker):
    server.script = [item for number in range(500) for item in (chunk({"content": f" {number}"}), 0.02)]
    body = {"messages": [{"role": "user", "content": "Q"}]}
    for _ in range(3):
        with HTTP.stream("POST", worker.url + "/worker_generate_stream", json=body) as response:
            next(response.iter_bytes())
    eventually(lambda: server.left == 3 and not server.open)
    eventually(lambda: HTTP.post(worker.url + "/worker_get_status").json()["queue_length"] == 0)


def test_no_more_requests_are_open_than_the_limit_and_the_next_hears_busy(server, worker):
    pauses = [0.25, ": ping\n\n"] * 3
    server.script = [chunk({"content": "A"}), *pauses, chunk({}, "stop"), "data: [DONE]\n\n"]
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(worker)[-1])) for _ in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.most_open == 3
    busy = [answer for answer in answers if answer["error_code"]]
    assert {answer["error_code"] for answer in busy} == {42903}
    assert len(busy) == 3


def test_a_request_that_waits_too_long_is_told_so(server, address):
    options = UpstreamOptions(url=address)
    limits = Limits(max_batch_size=1, max_queue_s=0.2)
    with running_worker(UpstreamEngine(options, discover(options), limits=limits)) as worker:
        server.script = [chunk({"content": "A"}), 1.0, chunk({}, "stop"), "data: [DONE]\n\n"]
        first = threading.Thread(target=lambda: ask(worker))
        first.start()
        eventually(lambda: server.open)
        (busy,) = ask(worker)
        first.join()
    assert (busy["error_code"], "not this request's turn within 0.2 s" in busy["text"]) == (42903, True)


def test_a_server_that_wants_other_fields_is_asked_again_and_remembered(server, address):
    wants = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    server.refusals = [
        (400, {"error": {"message": wants, "param": "max_tokens", "code": "unsupported_parameter"}}),
        (400, {"error": {"message": "Unknown field", "param": "stream_options"}}),
    ]
    with running_worker(engine_of(address)) as worker:
        assert ask(worker, max_new_tokens=9)[-1]["text"] == TEXT
        assert ask(worker, max_new_tokens=9)[-1]["text"] == TEXT
    assert [("max_tokens" in b, "max_completion_tokens" in b, "stream_options" in b) for b in server.bodies] == [
        (True, False, True),
        (False, True, True),
        (False, True, False),
        (False, True, False),
    ]


def test_an_answer_that_may_be_longer_than_the_room_takes_the_room_that_is_left(server, worker):
    too_long = "This model's maximum context length is 4096 tokens. However, you requested 4100 tokens (100 in the messages, 4000 in the completion)."
    server.refusals = [(400, {"error": {"message": too_long}})]
    assert ask(worker, max_new_tokens=4000)[-1]["text"] == TEXT
    assert [body.get("max_tokens") for body in server.bodies] == [4000, None]


def test_a_server_that_does_not_stream_is_understood(server, worker):
    whole = {
        "choices": [{"message": {"role": "assistant", "content": "All of it."}, "finish_reason": "length"}],
        "usage": USAGE,
    }
    server.refusals = [(200, whole)]
    last = ask(worker)[-1]
    assert (last["text"], last["finish_reason"], last["usage"]) == ("All of it.", "length", USAGE)


def test_what_a_server_would_ignore_is_refused(server, address):
    server.kind = "ollama"
    with running_worker(engine_of(address, model="figures")) as worker:
        (only,) = ask(worker, top_k=5)
    assert (only["error_code"], "top_k would be ignored" in only["text"]) == (40302, True)
    server.kind = "llamacpp"
    with running_worker(engine_of(address)) as worker:
        ask(worker, repetition_penalty=1.3)
    assert server.bodies[-1]["repeat_penalty"] == 1.3


def test_the_key_goes_to_the_server_and_nowhere_else(server, address, caplog):
    caplog.set_level("DEBUG")
    engine = engine_of(address, key="sk-s3cret")
    server.refusals = [(401, {"error": {"message": "Incorrect API key provided: sk-s3cret."}})]
    with running_worker(engine) as worker:
        (only,) = ask(worker)
        ask(worker)
        said = [*(HTTP.post(worker.url + path).text for path in ("/model_details", "/worker_get_status")), only["text"]]
    assert server.keys == {"Bearer sk-s3cret"}
    assert "Incorrect API key provided: ***" in only["text"]
    assert not any("s3cret" in text for text in (*said, caplog.text, repr(engine.options)))


@pytest.mark.parametrize(("kind", "length"), [("vllm", 4096), ("sglang", 8192), ("llamacpp", 16384), ("ollama", 32768)])
def test_a_server_is_asked_what_it_is(server, address, kind, length):
    server.kind = kind
    found = discover(UpstreamOptions(url=address, model="figures" if kind != "vllm" else ""))
    assert (found.kind, found.context_length) == (kind, length)
    assert discover(UpstreamOptions(url=address, context_length=77)).context_length == 77


def test_what_a_server_does_not_say_is_asked_of_the_operator(server, address):
    server.kind = "openai"
    with pytest.raises(InputError, match="Give --context-length"):
        discover(UpstreamOptions(url=address))
    with pytest.raises(InputError, match="no model 'figure'.*figures"):
        discover(UpstreamOptions(url=address, model="figure"))
    with pytest.raises(InputError, match=r"lists no models .404.*ends in /v1"):
        discover(UpstreamOptions(url=address + "/nope"))
    for url in ("ftp://x/v1", "http://", "http://x/v1?key=s"):
        with pytest.raises(InputError, match="must be an address"):
            checked_address(url)
    with pytest.raises(InputError, match="LLAVA_GRAPH_UPSTREAM_KEY") as raised:
        checked_address("https://user:s3cret@host/v1")
    assert "s3cret" not in str(raised.value)


def test_a_server_without_a_list_of_models_is_told_of_its_model(server, address):
    """transformers serve answers /v1/models with 500 where there is no cache of the hub."""
    for server.down in (404, 500):
        found = discover(UpstreamOptions(url=address, model="/models/mine", context_length=512))
        assert (found.model, found.kind, found.context_length) == ("/models/mine", "openai", 512)
    with pytest.raises(ServeError, match="failed .500"):
        discover(UpstreamOptions(url=address, model="/models/mine"))


def test_a_server_that_is_still_loading_is_waited_for(server, address):
    server.down = 503
    with pytest.raises(ServeError, match="Loading model"):
        discover(UpstreamOptions(url=address))
    told = []

    def tell(what):
        told.append(what)
        server.down = 0

    assert discover(UpstreamOptions(url=address), wait_s=60, tell=tell).model == "figures"
    assert len(told) == 1
    with pytest.raises(ServeError, match="does not answer"):
        discover(UpstreamOptions(url="http://127.0.0.1:9/v1"))


@pytest.mark.parametrize(
    ("kind", "counted", "estimated"),
    [("vllm", 8, False), ("llamacpp", 3, False), ("sglang", 16, True), ("openai", 13, True)],
)
def test_tokens_are_counted_by_the_server_or_said_to_be_an_estimate(server, address, kind, counted, estimated):
    server.kind = kind
    with running_worker(engine_of(address, context_length=4096)) as worker:
        prompt = write_prompt([{"role": "user", "content": [{"type": "text", "text": "three little words"}]}])
        told = HTTP.post(worker.url + "/count_token", json={"prompt": prompt}).json()
        image = write_prompt(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "three little words"}]}]
        )
        with_image = HTTP.post(worker.url + "/count_token", json={"prompt": image}).json()
    expected = {"count": counted, "error_code": 0} | ({"estimated": True} if estimated else {})
    assert told == expected
    assert with_image == {"count": told["count"] + 576, "error_code": 0, "estimated": True}


def test_what_the_worker_says_of_itself(worker):
    details = HTTP.post(worker.url + "/model_details").json()
    assert details["context_length"] == 4096
    assert details["about"] == "figures on vLLM."
    assert details["instructions"] is True
    assert details["chat_template"] == ""


def test_a_worker_whose_server_has_gone_is_offered_to_nobody_and_comes_back(server):
    with running_openai(server) as url:
        engine = engine_of(url)
        with running_controller() as controller, running_worker(engine, controller.url):
            eventually(lambda: HTTP.post(controller.url + "/list_models").json()["models"] == ["figures"])
            server.down = 503
            engine._seen = 0.0
            HTTP.post(controller.url + "/refresh_all_workers")
            assert HTTP.post(controller.url + "/list_models").json()["models"] == []
            server.down = 0
            eventually(lambda: HTTP.post(controller.url + "/list_models").json()["models"] == ["figures"])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: not any(mark in text for mark in ("<|", "image>", "|>"))
)


@given(
    system=st.just("") | TEXTS,
    turns=st.lists(TEXTS, min_size=1, max_size=5).filter(lambda t: len(t) % 2),
    images=st.integers(0, 3),
)
def test_a_prompt_in_our_template_is_read_back_exactly(system, turns, images):
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": [{"type": "text", "text": t}]} for n, t in enumerate(turns)]
    messages[0]["content"] = [{"type": "image"}] * images + messages[0]["content"]
    if system:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
    prompt = write_prompt(messages)
    assert list(messages_of(prompt)) == messages
    if not system and not images:
        assert prompt == MESSAGES_V1.prompt(turns), "as FastChat's clients write it"


def test_fastchats_placeholders_and_empty_messages_are_read(server, worker):
    """As FastChat's OpenAI server writes two images, and a turn without a text."""
    asker, answerer = MESSAGES_V1.roles
    end = MESSAGES_V1.sep
    prompt = f"Sys{end}{asker}: $$<image>$$$$<image>$$<image>\n<image>\nCompare.{end}{answerer}:{asker}: Why?{end}{answerer}:"
    last = ask(worker, prompt=prompt, messages=None, images=[b64(png()), b64(png())], echo=False)[-1]
    assert last["text"] == TEXT
    system, first, empty, question = server.bodies[0]["messages"]
    assert (system, empty) == ({"role": "system", "content": "Sys"}, {"role": "assistant", "content": ""})
    assert [part.get("text", "image") for part in first["content"]] == ["image", "image", "Compare."]
    assert question == {"role": "user", "content": "Why?"}


def test_llavas_page_writes_vicunas_words_for_any_model(server, worker):
    prompt = VICUNA_V1.prompt(["<image>\nWhat is this?", "A chart: x vs. y.", "Why?"])
    assert ask(worker, prompt=prompt, messages=None, images=[b64(png())])[-1]["text"] == prompt + TEXT
    system, first, *rest = server.bodies[0]["messages"]
    assert system["content"] == VICUNA_V1.system_message
    assert first["content"][1] == {"type": "text", "text": "What is this?"}
    assert [message["content"] for message in rest] == ["A chart: x vs. y.", "Why?"]


def test_a_prompt_in_no_template_is_completed_as_it_is(server, worker):
    server.script = [
        {"choices": [{"index": 0, "text": " upon a time", "finish_reason": "stop"}], "usage": USAGE},
        "data: [DONE]\n\n",
    ]
    last = ask(worker, prompt="Once", messages=None, echo=False, max_new_tokens=5)[-1]
    assert (last["text"], last["usage"]) == (" upon a time", USAGE)
    assert (server.paths[-1], server.bodies[0]["prompt"], server.bodies[0]["max_tokens"]) == (
        "/v1/completions",
        "Once",
        5,
    )
    (only,) = ask(worker, prompt="<image> Once", messages=None, images=[b64(png())])
    assert "written in no conversation template" in only["text"]


def test_the_worker_gives_out_the_template_that_it_reads(worker):
    conv = HTTP.post(worker.url + "/worker_get_conv_template").json()["conv"]
    assert conv["name"] == "figures"
    assert (conv["sep_style"], conv["roles"], conv["stop_str"]) == (2, list(MESSAGES_V1.roles), None)


def test_our_own_api_is_a_server_like_any_other():
    """Page -> worker -> API -> controller -> worker: what a group with one GPU machine and one page has."""
    engine = ScriptedEngine()
    with running_controller() as controller, running_worker(engine, controller.url):
        eventually(lambda: HTTP.post(controller.url + "/list_models").json()["models"])
        with Server(create_api(controller.url), bind("127.0.0.1", 0), "API") as api:
            there = engine_of(api.url)
            assert (there.upstream.model, there.upstream.kind, there.context_length) == ("scripted", "openai", 100)
            with running_worker(there) as worker:
                messages = [{"role": "user", "content": CONTENT}]
                last = ask(worker, model="scripted", messages=messages, images=[b64(png(50, 20))], seed=3)[-1]
    assert last["text"] == "The curve rises and then it stays flat until the end ."
    assert last["usage"] == {"prompt_tokens": 7, "completion_tokens": 12, "total_tokens": 19}
    assert (engine.sizes[0], engine.requests[0].seed) == ((50, 20), 3)
    assert engine.requests[0].messages[0]["content"] == CONTENT


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.example.com/v1", "api.example.com"),
        ("http://8.8.8.8:8000/v1", "8.8.8.8"),
        ("http://127.0.0.1:8000/v1", ""),
        ("http://localhost:8000/v1", ""),
        ("http://10.0.0.5:8000/v1", ""),
        ("http://gpu1:8000/v1", ""),
        ("http://gpu1.cluster.internal:8000/v1", ""),
    ],
)
def test_whoever_asks_a_model_on_the_internet_knows_where_the_figure_goes(url, host):
    engine = UpstreamEngine(UpstreamOptions(url=url), Upstream("m", "openai", 100))
    sent = f" Figures and questions are sent to {host}." if host else ""
    assert engine.about == f"m on an OpenAI-compatible server.{sent}"
    engine.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "code", "param", "detail", "loc", "msg", "choices", "delta", "message", "text"]
            )
            | st.sampled_from(
                ["content", "finish_reason", "usage", "prompt_tokens", "completion_tokens", "object", "type"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    status=st.integers(300, 599),
    data=JSON | st.binary(max_size=200),
    events=st.lists(JSON | st.text(max_size=20), max_size=4),
)
def test_whatever_a_server_says_ends_in_an_answer_or_in_one_of_our_errors(status, data, events):
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    refused = refusal_of(status, body, ("top_k", "messages"), "figures")
    assert str(status) in str(refused)
    assert len(str(refused)) < 800
    answer = Answer("figures")
    try:
        for event in events:
            answer.take(event if isinstance(event, str) else json.dumps(event))
        last = answer.last()
        assert (last.text, last.finish_reason in ("stop", "length")) == (answer.text, True)
    except ServeError:
        pass
