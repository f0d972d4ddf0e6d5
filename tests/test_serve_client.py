"""The page's client with other people's workers: FastChat's and LLaVA's dialects, and every way to fail."""

import asyncio
import json

import httpx
import pytest

from llava_graph.errors import ServeError
from serve.client import ModelClient, Sampling

MESSAGES = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
PROMPT = "USER: <image>\nWhat? ASSISTANT:"


def frames(*steps):
    return b"".join(json.dumps(step).encode() + b"\0" for step in steps)


class Elsewhere:
    """A controller at http://c and one worker at http://w that answers with `answers` (path -> JSON, bytes or error)."""

    def __init__(self, **answers):
        self.answers = answers
        self.bodies = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/")
        self.bodies[path] = json.loads(request.content or b"{}")
        answer = self.answers.get(path, {"address": "http://w"} if path == "get_worker_address" else None)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            return httpx.Response(404 if request.url.host == "w" else 200, json=None)
        return httpx.Response(200, content=answer if isinstance(answer, bytes) else json.dumps(answer))


def ask(elsewhere, model="m"):
    async def collect():
        client = ModelClient("http://c", transport=httpx.MockTransport(elsewhere))
        return [reply async for reply in client.answer(model, MESSAGES, [b"png"])]

    return asyncio.run(collect())


def test_llavas_worker_gets_vicunas_words_and_its_prompt_is_taken_off_the_answer():
    elsewhere = Elsewhere()

    def worker(request):
        if request.url.path == "/worker_generate_stream":
            prompt = json.loads(request.content)["prompt"]
            elsewhere.bodies["asked"] = json.loads(request.content)
            steps = ({"text": prompt + text, "error_code": 0} for text in (" A", " A chart."))
            return httpx.Response(200, content=frames(*steps))
        return elsewhere(request)

    assert [reply.text for reply in ask(worker)] == [" A", " A chart."]
    asked = elsewhere.bodies["asked"]
    assert asked["prompt"].endswith(PROMPT)
    assert asked["stop"] == "</s>", "LLaVA's worker needs one string"
    assert asked["images"] == ["cG5n"]


def test_fastchats_worker_gets_its_own_conversation_and_placeholder():
    conv = {"name": "x", "system_message": "S", "roles": ["U", "A"], "sep_style": 2, "sep": " ", "sep2": "</s>"}
    elsewhere = Elsewhere(
        model_details={"context_length": 4096},
        worker_get_conv_template={"conv": conv | {"stop_str": ["a", "b"], "unknown_field": 1}},
        worker_generate_stream=frames({"text": "Yes.", "error_code": 0, "finish_reason": "stop"}),
    )
    (reply,) = ask(elsewhere)
    assert (reply.text, reply.finish_reason) == ("Yes.", "stop")
    assert elsewhere.bodies["worker_generate_stream"]["prompt"] == "S U: $$<image>$$What? A:"
    assert elsewhere.bodies["worker_generate_stream"]["echo"] is False


OURS = {"context_length": 9, "chat_template": "x"}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"get_worker_address": httpx.ConnectError("no")}, "controller at http://c does not answer"),
        ({"get_worker_address": {"address": ""}}, "no worker serves m any more"),
        ({"model_details": httpx.ConnectError("no")}, "the worker of m has gone"),
        ({"model_details": OURS, "worker_generate_stream": httpx.ReadError("cut")}, "the worker of m has gone"),
        ({"model_details": OURS, "worker_generate_stream": b""}, "the worker of m has gone"),
        ({"model_details": OURS, "worker_generate_stream": b'{"text": "half'}, "the worker of m has gone"),
        ({"model_details": OURS, "worker_generate_stream": b"<html>\0"}, "no FastChat stream"),
        ({"model_details": OURS, "worker_generate_stream": httpx.ReadTimeout("slow")}, "said nothing for 100 s"),
        (
            {"model_details": OURS, "worker_generate_stream": frames({"text": "too long", "error_code": 40303})},
            "too long",
        ),
    ],
)
def test_every_failure_says_what_failed(answers, said):
    with pytest.raises(ServeError, match=said):
        ask(Elsewhere(**answers))


def test_a_worker_that_died_since_its_last_heartbeat_makes_the_controller_look_again():
    asked = []

    def elsewhere(request):
        asked.append(request.url.path)
        if request.url.host == "dead":
            raise httpx.ConnectError("refused")
        if request.url.path == "/get_worker_address":
            return httpx.Response(
                200, json={"address": "http://w" if "/refresh_all_workers" in asked else "http://dead"}
            )
        if request.url.path == "/model_details":
            return httpx.Response(200, json=OURS)
        return httpx.Response(200, content=frames({"text": "Here.", "error_code": 0}))

    assert [reply.text for reply in ask(elsewhere)] == ["Here."]


def test_sampling_says_only_what_is_not_neutral_and_a_foreign_worker_gets_stops_and_the_system_prompt():
    conv = {"name": "x", "system_message": "S", "roles": ["U", "A"], "sep_style": 2, "sep": " ", "sep2": "</s>"}
    elsewhere = Elsewhere(
        model_details={"context_length": 4096},
        worker_get_conv_template={"conv": conv | {"stop_str": "</s>"}},
        worker_generate_stream=frames(
            {"text": "Yes.", "error_code": 0, "usage": {"prompt_tokens": 5, "completion_tokens": 1}}
        ),
    )
    system = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}

    async def collect(sampling):
        client = ModelClient("http://c", transport=httpx.MockTransport(elsewhere))
        return [reply async for reply in client.answer("m", [system, *MESSAGES], [b"png"], sampling)]

    (reply,) = asyncio.run(collect(Sampling(stop=("\n\n",), seed=7, top_k=5)))
    assert (reply.prompt_tokens, reply.completion_tokens) == (5, 1)
    body = elsewhere.bodies["worker_generate_stream"]
    assert body["prompt"] == "Be brief. U: $$<image>$$What? A:"
    assert (body["stop"], body["seed"], body["top_k"]) == (["</s>", "\n\n"], 7, 5)
    assert not {"presence_penalty", "frequency_penalty", "repetition_penalty"} & set(body)
    asyncio.run(collect(Sampling()))
    assert elsewhere.bodies["worker_generate_stream"]["stop"] == "</s>"
    elsewhere.answers |= {"worker_get_conv_template": {}}
    with pytest.raises(ServeError, match="takes no stop strings"):
        asyncio.run(collect(Sampling(stop=("x",))))
