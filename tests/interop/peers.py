"""FastChat's own processes, in its own environment (`scripts/fastchat_env.sh`)."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai

from tests.serving import HTTP, eventually

ROOT = Path(__file__).parent.parent.parent
FOLDER = os.environ.get("LLAVA_GRAPH_FASTCHAT", ".venv-fastchat")
PYTHON = ROOT / FOLDER / "bin" / "python"
WITH_TORCH = ROOT / f"{FOLDER}-torch" / "bin" / "python"
"""Another environment, with a model worker that can load models."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@contextmanager
def running(folder: Path, *command: str, python: Path = PYTHON) -> Iterator[subprocess.Popen]:
    """A process of FastChat's, which writes its logs where it stands."""
    environment = {**os.environ, "PYTHONPATH": "", "FASTCHAT_WORKER_HEART_BEAT_INTERVAL": "1"}
    with (folder / "out.log").open("ab") as log:
        process = subprocess.Popen([python, *command], cwd=folder, stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return HTTP.get(url).status_code < 500
    except httpx.TransportError:
        return False


@contextmanager
def fastchat_controller(folder: Path, port: int = 0) -> Iterator[str]:
    port = port or free_port()
    with running(folder, "-m", "fastchat.serve.controller", "--host", "127.0.0.1", "--port", str(port)):
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: answers(url + "/test_connection"), 60)
        yield url


@contextmanager
def fastchat_openai(folder: Path, controller: str) -> Iterator[openai.OpenAI]:
    port = str(free_port())
    command = ("-m", "fastchat.serve.openai_api_server", "--host", "127.0.0.1", "--port", port)
    with running(folder, *command, "--controller-address", controller):
        url = f"http://127.0.0.1:{port}/v1"
        eventually(lambda: answers(url + "/models"), 60)
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            yield client


@contextmanager
def fastchat_worker(folder: Path, controller: str) -> Iterator[str]:
    port = str(free_port())
    with running(folder, str(Path(__file__).parent / "fastchat_worker.py"), controller, port):
        yield f"http://127.0.0.1:{port}"


def models(controller: str) -> list[str]:
    return HTTP.post(controller + "/list_models").json()["models"]


def last_chunk(response) -> dict:
    assert response.content.endswith(b"\0")
    return json.loads(response.content.split(b"\0")[-2])
