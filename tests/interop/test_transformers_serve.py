"""A real OpenAI-compatible server of somebody else's, `transformers serve`, behind our worker: the same checkpoint, the same answer."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llava_graph.explain import Explainer
from llava_graph.model.about import about_folder
from serve.engines.in_process import ExplainerEngine
from serve.engines.upstream.discovery import UpstreamOptions, discover
from serve.engines.upstream.engine import UpstreamEngine
from serve.protocol.messages import GenerateRequest
from tests.interop.peers import answers, free_port
from tests.serving import HTTP, b64, eventually, png, running_worker
from tests.tiny_model import build_tiny_model

pytest.importorskip("transformers.cli.serve", exc_type=ImportError)

ASKED = {
    "messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What does it show?"}]}],
    "images": [b64(png(64, 48))],
    "temperature": 0,
    "max_new_tokens": 12,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    port = str(free_port())
    command = [Path(sys.executable).parent / "transformers", "serve", model, "--device", "cpu", "--port", port]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    with (tmp_path_factory.mktemp("log") / "out.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1"], stdout=log, stderr=log, env=environment, cwd=model.parent
        )
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/health"), 120)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def in_process(model):
    async def last():
        async for step in engine.stream(GenerateRequest.from_json(ASKED)):
            latest = step
        return latest

    engine = ExplainerEngine(Explainer(model, device="cpu"))
    try:
        return asyncio.run(last())
    finally:
        engine.close()


def test_the_same_checkpoint_gives_the_same_answer_there_as_in_process(server, model):
    options = UpstreamOptions(url=server, model=str(model), context_length=512)
    engine = UpstreamEngine(options, discover(options), about=about_folder(model))
    here = in_process(model)
    with running_worker(engine, model_names=("tiny",)) as worker:
        there = HTTP.post(worker.url + "/worker_generate", json=ASKED, timeout=60).json()
        refused = HTTP.post(worker.url + "/worker_generate", json={**ASKED, "top_k": 5}).json()
        details = HTTP.post(worker.url + "/model_details").json()
    assert (there["text"], there["finish_reason"]) == (here.text, here.finish_reason)
    assert there["usage"] == here.usage.to_json(), "the same prompt, token for token, image included"
    assert refused["error_code"] == 40302
    assert "does not take top_k (422: Unexpected fields in the request" in refused["text"]
    assert str(model) not in details["about"]
