"""The real FastChat 0.2.36 with our parts, in both directions. Skips itself where `scripts/fastchat_env.sh` has not run."""

import asyncio
import base64
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
from PIL import Image

from llava_graph.images import encode_png
from serve.api import create_api
from serve.client import ModelClient, Sampling
from serve.engines.upstream.discovery import UpstreamOptions, discover
from serve.engines.upstream.engine import UpstreamEngine
from serve.http.servers import Server, bind
from serve.protocol.conversation import VICUNA_V1
from tests.interop.peers import (
    PYTHON,
    WITH_TORCH,
    answers,
    fastchat_controller,
    fastchat_openai,
    fastchat_worker,
    free_port,
    last_chunk,
    models,
    running,
)
from tests.serving import HTTP, ScriptedEngine, eventually, running_controller, running_worker
from tests.upstream_server import WORDS as UPSTREAM_WORDS
from tests.upstream_server import OpenAiServer, running_openai

SENTENCE = "The curve rises and then it stays flat until the end ."
ECHO = "1 image(s); The curve rises and then it stays flat ."
PNG = encode_png(Image.new("RGB", (40, 30), "red"))
URI = "data:image/png;base64," + base64.b64encode(PNG).decode()
SHOWN = [{"type": "image_url", "image_url": {"url": URI}}, {"type": "text", "text": "What does it show?"}]

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="no FastChat: run scripts/fastchat_env.sh")


@dataclass
class VicunaEngine(ScriptedEngine):
    """With the one kind of template into which FastChat's OpenAI server can put images."""

    def render(self, messages):
        return VICUNA_V1.prompt(["".join(part["text"] for part in message["content"]) for message in messages])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fastchat")


@pytest.fixture(scope="module")
def ours():
    """Our controller and a worker of ours behind it."""
    engine = VicunaEngine()
    with running_controller(probe_every=0.5) as controller, running_worker(engine, controller.url) as worker:
        eventually(lambda: models(controller.url) == ["scripted"])
        yield controller.url, worker.url, engine


@pytest.fixture(scope="module")
def on_top(folder, ours):
    """FastChat's OpenAI server over our controller, through the official client."""
    with fastchat_openai(folder, ours[0]) as client:
        yield client


def test_fastchats_controller_drives_our_worker(folder):
    port = free_port()
    engine = ScriptedEngine()
    with fastchat_controller(folder, port) as controller:
        with running_worker(engine, controller) as worker:
            eventually(lambda: models(controller) == ["scripted"])
            assert HTTP.post(controller + "/list_multimodal_models").json() == {"models": ["scripted"]}
            address = HTTP.post(controller + "/get_worker_address", json={"model": "scripted"}).json()["address"]
            assert address == worker.url
            body = {"model": "scripted", "prompt": "Q", "echo": False}
            through = last_chunk(HTTP.post(controller + "/worker_generate_stream", json=body))
            assert (through["text"], through["error_code"], through["finish_reason"]) == (SENTENCE, 0, "stop")
            assert HTTP.post(controller + "/refresh_all_workers").json() is None
            assert models(controller) == ["scripted"]
            assert HTTP.post(controller + "/worker_get_status").json() == {
                "model_names": ["scripted"],
                "speed": 1,
                "queue_length": 0,
            }
            client = ModelClient(controller)
            assert asyncio.run(client.details("scripted")).takes_messages
        # It does not know the word with which a worker signs off; refreshing finds out.
        assert HTTP.post(controller + "/refresh_all_workers").json() is None
        assert models(controller) == []


def test_our_worker_comes_back_to_a_restarted_controller_of_fastchats(folder):
    port = free_port()
    with ExitStack() as both:
        first = both.enter_context(ExitStack())
        url = first.enter_context(fastchat_controller(folder, port))
        both.enter_context(running_worker(ScriptedEngine(), url))
        eventually(lambda: models(url) == ["scripted"])
        first.close()
        assert not answers(url + "/test_connection")
        with fastchat_controller(folder, port):
            eventually(lambda: models(url) == ["scripted"])


def test_our_controller_drives_fastchats_worker_and_loses_it_soon_after_its_death(folder):
    """It registers before it listens, sends no token, and does not say when it ends."""
    with running_controller(probe_every=0.5) as controller:
        with fastchat_worker(folder, controller.url) as worker:
            eventually(lambda: models(controller.url) == ["echo"], 30)
            assert HTTP.post(controller.url + "/list_multimodal_models").json() == {"models": ["echo"]}
            body = {"model": "echo", "prompt": "Q"}
            assert last_chunk(HTTP.post(controller.url + "/worker_generate_stream", json=body))["text"].startswith(
                "Q0 image"
            )
            through = HTTP.post(controller.url + "/worker_get_conv_template", json={"model": "echo"}).json()
            assert through == HTTP.post(worker + "/worker_get_conv_template", json={}).json()
            assert HTTP.post(controller.url + "/model_details", json={"model": "echo"}).json() == {
                "context_length": 2048
            }
            eventually(lambda: HTTP.get(controller.url + "/health").json()["workers"] == 1)
        eventually(lambda: models(controller.url) == [], 5)


def test_our_page_and_our_api_answer_with_fastchats_worker(folder):
    with running_controller(probe_every=0.5) as controller, fastchat_worker(folder, controller.url):
        eventually(lambda: models(controller.url) == ["echo"], 30)

        async def ask():
            content = [{"type": "image"}, {"type": "text", "text": "What?"}]
            client = ModelClient(controller.url)
            return [reply async for reply in client.answer("echo", [{"role": "user", "content": content}], [PNG])]

        replies = asyncio.run(ask())
        assert (replies[-1].text, replies[-1].finish_reason, len(replies) > 3) == (ECHO, "stop", True)
        with (
            Server(create_api(controller.url), bind("127.0.0.1", 0), "API") as api,
            openai.OpenAI(base_url=api.url + "/v1", api_key="none", max_retries=0) as client,
        ):
            answer = client.chat.completions.create(model="echo", messages=[{"role": "user", "content": SHOWN}])
        assert answer.choices[0].message.content == ECHO


def test_fastchats_openai_server_lists_our_models(on_top):
    assert [model.id for model in on_top.models.list()] == ["scripted"]


def test_fastchats_openai_server_chats_through_our_worker(on_top, ours):
    _, _, engine = ours
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": SHOWN}]
    answer = on_top.chat.completions.create(model="scripted", messages=messages, temperature=0.1, max_tokens=9)
    assert answer.choices[0].message.content == SENTENCE
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 19
    asked = engine.requests[-1]
    assert asked.prompt == "Be brief. USER: $$<image>$$What does it show? ASSISTANT:"
    assert (asked.temperature, asked.max_new_tokens, engine.sizes[-1]) == (0.1, 9, (40, 30))


def test_fastchats_openai_server_streams_through_our_worker(on_top, ours):
    ours[2].pause = 0.01
    stream = on_top.chat.completions.create(
        model="scripted", messages=[{"role": "user", "content": SHOWN}], stream=True
    )
    deltas = [chunk.choices[0] for chunk in stream if chunk.choices]
    ours[2].pause = 0.0
    assert "".join(choice.delta.content or "" for choice in deltas) == SENTENCE
    assert len(deltas) > 5
    assert deltas[-1].finish_reason == "stop"
    # Its client named no number of tokens: FastChat sends what is left of the context.
    assert 0 < ours[2].requests[-1].max_new_tokens <= 100


def test_what_our_worker_refuses_reaches_fastchats_clients_with_its_reason(on_top):
    wrong = [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/x.png"}}, SHOWN[1]]
    with pytest.raises(openai.BadRequestError, match="addresses are not fetched"):
        on_top.chat.completions.create(model="scripted", messages=[{"role": "user", "content": wrong}])
    with pytest.raises(openai.BadRequestError, match="gives no embeddings"):
        on_top.embeddings.create(model="scripted", input="a", encoding_format="float")
    with pytest.raises(openai.BadRequestError, match="Only scripted allowed now"):
        on_top.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "Q"}])


def test_a_server_elsewhere_is_reached_through_fastchats_openai_server(folder):
    """openai client -> FastChat's server -> our worker, which reads the prompt back into messages -> vLLM."""
    there = OpenAiServer()
    with running_openai(there) as url, running_controller() as controller:
        engine = UpstreamEngine(options := UpstreamOptions(url=url), discover(options))
        with running_worker(engine, controller.url):
            eventually(lambda: models(controller.url) == ["figures"])
            with fastchat_openai(folder, controller.url) as client:
                messages = [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": SHOWN},
                    {"role": "assistant", "content": "A curve."},
                    {"role": "user", "content": "Why?"},
                ]
                answer = client.chat.completions.create(model="figures", messages=messages)
    assert answer.choices[0].message.content == "".join(UPSTREAM_WORDS)
    assert answer.usage.prompt_tokens == 21
    system, shown, said, asked = there.bodies[-1]["messages"]
    assert (system["content"], said["content"], asked["content"]) == ("Be brief.", "A curve.", "Why?")
    assert shown["content"] == [{"type": "image_url", "image_url": {"url": URI}}, SHOWN[1]]


@pytest.mark.skipif(not WITH_TORCH.exists(), reason="no FastChat with torch: run scripts/fastchat_env.sh torch")
def test_fastchats_model_worker_answers_our_client_in_its_models_own_words(folder):
    """The real thing: model_worker.py, a (random) model, its vicuna template."""
    model, port = folder / "tiny-vicuna", str(free_port())
    subprocess.run([WITH_TORCH, Path(__file__).parent / "tiny_text_model.py", model], check=True, capture_output=True)
    with running_controller(probe_every=0.5) as controller:
        command = ("-m", "fastchat.serve.model_worker", "--model-path", str(model), "--device", "cpu", "--port", port)
        addresses = ("--controller-address", controller.url, "--worker-address", f"http://127.0.0.1:{port}")
        with running(folder, *command, *addresses, python=WITH_TORCH):
            eventually(lambda: models(controller.url) == ["tiny-vicuna"], 120)

            async def ask():
                client = ModelClient(controller.url)
                messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}]}]
                sampling = Sampling(max_new_tokens=6, temperature=0)
                return [reply async for reply in client.answer("tiny-vicuna", messages, [], sampling)]

            replies = asyncio.run(ask())
            prompt = VICUNA_V1.prompt(["What is it?"])
            counted = HTTP.post(f"http://127.0.0.1:{port}/count_token", json={"prompt": prompt}).json()["count"]
    assert replies[-1].text
    assert replies[-1].finish_reason in ("length", "stop")
    assert replies[-1].prompt_tokens == counted
