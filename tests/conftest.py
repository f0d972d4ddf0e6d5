"""What several test files share: real papers beside the checkout, and pictures made on the spot."""

import os
from pathlib import Path

# Before anything loads torch: runs are compared bit by bit, and the number of threads changes the order of sums; test processes
# stand beside each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from PIL import Image, ImageDraw

from llava_graph.images import encode_png

PAPERS = Path(__file__).resolve().parent.parent.parent / "shared" / "papers"


@pytest.fixture(scope="session")
def papers_dir() -> Path:
    """Real papers with ground truth; the tests that read them skip where they are missing."""
    if not (PAPERS / "dev").is_dir():
        pytest.skip("the folder of real papers is not beside this checkout")
    return PAPERS


@pytest.fixture(autouse=True)
def no_old_verdicts(tmp_path_factory, monkeypatch):
    """What a trainer found out about samples stays within one test."""
    monkeypatch.setenv("LLAVA_GRAPH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session", autouse=True)
def no_papers_of_ones_own(tmp_path_factory):
    """A page that is given no shelf of papers does not take the one of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("downloads") / "arxiv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serve.papers.options.default_cache", lambda: folder)
        yield


@pytest.fixture(scope="session")
def png() -> bytes:
    """A small picture with a frame and a slanted line."""
    image = Image.new("RGB", (120, 80), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((10, 10, 110, 70), outline="black")
    draw.line((10, 70, 110, 20), fill="red", width=2)
    return encode_png(image)


@pytest.fixture(scope="session")
def running_api():
    """An OpenAI-compatible server for all tests that need one."""
    from upstream_server import OpenAiServer, running_openai

    server = OpenAiServer("openai")
    with running_openai(server) as url:
        server.url = url
        yield server


@pytest.fixture
def api_server(running_api):
    """The same, as if it had just begun: it says one sentence."""
    from upstream_server import saying

    running_api.script, running_api.models = saying("The curve rises and then stays."), None
    running_api.refusals, running_api.bodies, running_api.keys = [], [], set()
    running_api.left = running_api.most_open = 0
    return running_api
