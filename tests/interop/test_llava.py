"""LLaVA's own controller (haotian-liu/LLaVA, a checkout named by LLAVA_GRAPH_LLAVA) with our worker."""

import os
from pathlib import Path

import httpx
import pytest

from tests.interop.peers import PYTHON, free_port, last_chunk, models, running
from tests.serving import HTTP, ScriptedEngine, b64, eventually, png, running_worker

CHECKOUT = os.environ.get("LLAVA_GRAPH_LLAVA", "")
SENTENCE = "The curve rises and then it stays flat until the end ."

pytestmark = pytest.mark.skipif(
    not (CHECKOUT and PYTHON.exists()),
    reason="LLAVA_GRAPH_LLAVA names no checkout, or scripts/fastchat_env.sh has not run",
)


def listed(url):
    try:
        return models(url)
    except httpx.TransportError:
        return None


def test_llavas_controller_drives_our_worker(tmp_path):
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    script = str(Path(__file__).parent / "llava_controller.py")
    engine = ScriptedEngine()
    with (
        running(tmp_path, script, CHECKOUT, "--host", "127.0.0.1", "--port", port),
        running_worker(engine, url) as worker,
    ):
        eventually(lambda: listed(url) == ["scripted"], 30)
        assert HTTP.post(url + "/get_worker_address", json={"model": "scripted"}).json() == {"address": worker.url}
        prompt = "A chat. USER: <image>\nWhat? ASSISTANT:"
        # As LLaVA's page asks.
        body = {"model": "scripted", "prompt": prompt, "temperature": 0.2, "top_p": 0.7, "max_new_tokens": 512}
        body |= {"stop": "</s>", "images": [b64(png())]}
        for address in (url, worker.url):
            last = last_chunk(HTTP.post(address + "/worker_generate_stream", json=body))
            assert (last["error_code"], last["text"][len(prompt) :]) == (0, SENTENCE)
        assert HTTP.post(url + "/refresh_all_workers").json() is None
        assert models(url) == ["scripted"]
    assert engine.sizes == [(40, 30)] * 2
