"""A checkpoint from a hub: a local server that answers as huggingface.co does for the two calls that a download makes."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tiny_model import build_tiny_model

from llava_graph.errors import CheckpointError
from llava_graph.model.hub import checkpoint_folder, part_folder
from llava_graph.model.load import check_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[tuple[str, list[str]]]:
    """(address, paths asked for) of a hub with `our/nano`, code and a pickle in it, and `our/old`, which has no other weights."""
    folder = build_tiny_model(tmp_path_factory.mktemp("hub") / "nano")
    (folder / "modeling_evil.py").write_text("raise SystemExit")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    nano = {file.name: file.read_bytes() for file in folder.iterdir()}
    models = {"nano": nano, "old": {name: data for name, data in nano.items() if not name.endswith(".safetensors")}}
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, *, body: bool) -> None:
            path = self.path.split("?")[0]
            asked.append(path)
            model = next((model for model in models if f"/our/{model}" in path), "")
            files, name = models.get(model, {}), path.removeprefix(f"/our/{model}/resolve/{COMMIT}/")
            if model and path.startswith(f"/api/models/our/{model}/tree/"):
                data = json.dumps(
                    [
                        {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                        for name, data in files.items()
                    ]
                ).encode()
            elif model and path.startswith(f"/api/models/our/{model}"):
                siblings = [{"rfilename": name} for name in files]
                data = json.dumps({"id": f"our/{model}", "sha": COMMIT, "siblings": siblings}).encode()
            elif name in files:
                data = files[name]
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def do_GET(self) -> None:
            self.answer(body=True)

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def log_message(self, *_) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_on_the_hub_is_fetched_once_without_code_and_pickles(hub, tmp_path):
    address, asked = hub
    folder = checkpoint_folder("our/nano", endpoint=address, cache_dir=tmp_path)
    assert check_folder(folder)["model_type"] == "llava"
    names = {file.name for file in folder.iterdir()}
    assert "model.safetensors" in names
    assert not names & {"modeling_evil.py", "pytorch_model.bin"}
    asked.clear()
    assert checkpoint_folder("our/nano", endpoint=address, cache_dir=tmp_path) == folder
    assert not [path for path in asked if "resolve" in path]


def test_pickles_of_a_part_are_fetched_only_where_there_is_nothing_else(hub, tmp_path):
    address, _ = hub
    whole, old = (part_folder(name, endpoint=address, cache_dir=tmp_path) for name in ("hf-hub:our/nano", "our/old"))
    assert not (whole / "pytorch_model.bin").exists()
    assert (old / "pytorch_model.bin").is_file()
    assert not (old / "modeling_evil.py").exists()


def test_an_unknown_model_is_named(hub, tmp_path):
    with pytest.raises(CheckpointError, match=r"our/other: no such folder, and the hub"):
        checkpoint_folder("our/other", endpoint=hub[0], cache_dir=tmp_path)


def test_a_hub_out_of_reach_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be reached"):
        checkpoint_folder("our/nano", endpoint="http://127.0.0.1:9", cache_dir=tmp_path)


def test_a_folder_wins_over_the_hub_and_a_path_is_never_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "our" / "nano").mkdir(parents=True)
    assert checkpoint_folder("our/nano", endpoint="http://127.0.0.1:9") == Path("our/nano")
    for path in ("/no/such/folder", "./our", "nano"):
        assert checkpoint_folder(path, endpoint="http://127.0.0.1:9") == Path(path)
