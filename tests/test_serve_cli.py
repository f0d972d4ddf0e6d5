"""The command as people start it: flags of FastChat's and LLaVA's READMEs, busy ports, and an end that leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llava_graph.errors import InputError, LlavaGraphError
from serve.cli import app
from serve.controller.admission import tokenless_networks
from serve.http.tokens import TOKEN_VARIABLE, require_token_off_loopback
from tests.serving import HTTP, eventually
from tests.tiny_model import build_tiny_model
from tests.upstream_server import OpenAiServer, running_openai

COMMAND = (sys.executable, "-m", "serve")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def test_all_of_it_starts_serves_a_page_and_ends_at_ctrl_c(model):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*COMMAND, "all", "--port", "0", "--model-path", str(model), "--device", "cpu"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            controller, url = process.stdout.readline().strip(), process.stdout.readline().strip()
            assert re.fullmatch(r"controller at http://127\.0\.0\.1:\d+", controller)
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
            page = HTTP.get(url)
            assert "LLaVA-Graph" in page.text
            assert "content-security-policy" in page.headers
            assert HTTP.get(url + "/health").json() == {"status": "ok"}
            models = HTTP.get(url + "/v1/models")
            assert len(models.json()["data"]) == 1
            assert "content-security-policy" not in models.headers, "the page's middleware does not touch the API"
            assert "llava_graph_api_requests_total" in HTTP.get(url + "/metrics").text
            busy = subprocess.run(
                [*COMMAND, "all", "--port", url.rsplit(":", 1)[1]],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert busy.returncode == 2
            (line,) = busy.stderr.strip().splitlines()
            assert re.search(r"error: port \d+ is busy.*PORT=\d+ make demo.*--port", line)
            with HTTP.stream("GET", url + "/gradio_api/heartbeat/visitor"):  # somebody has the page open
                os.killpg(process.pid, signal.SIGINT)
                assert process.wait(20) == 0
            said = process.stderr.read()
            assert "Traceback" not in said
            assert "Error" not in said
            with pytest.raises(ProcessLookupError):
                os.killpg(process.pid, 0)
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize(
    "words",
    [
        "controller --host 127.0.0.1 --port 10000 --dispatch-method lottery",
        "worker --host 127.0.0.1 --controller http://localhost:10000 --port 40000 --worker http://localhost:40000 "
        "--model-path x --multi-modal --model-name a --device cpu",
        "worker --controller-address http://a --worker-address http://b --model-names a,b --limit-worker-concurrency 3 "
        "--no-register --conv-template vicuna_v1",
        "worker --limit-model-concurrency 3",
        "worker --upstream http://localhost:8000/v1 --upstream-model a/b --context-length 4096 --upstream-timeout 60",
        "controller --worker-hosts 10.0.0.0/24,gpu1 --replica-hosts 10.0.0.5 --allow-tokenless-from 10.0.0.0/24",
        "all --upstream http://localhost:8000/v1",
        "web --controller http://localhost:10000 --model-list-mode reload --concurrency-count 10",
        "web --controller-url http://localhost:21001 --model-list-mode once --port 7860",
        "all --port 7860 --model-path x",
    ],
)
def test_the_flags_of_the_published_readmes_are_understood(words):
    # The help comes only when every flag before it was understood.
    understood = CliRunner().invoke(app, [*words.split(), "--help"])
    assert understood.exit_code == 0, understood.output
    misspelled = CliRunner().invoke(app, [*words.split(), "--no-such-flag", "--help"])
    assert misspelled.exit_code == 2


def test_an_unknown_choice_is_named():
    result = CliRunner().invoke(app, ["controller", "--dispatch-method", "fastest"])
    assert result.exit_code == 2
    assert "lottery" in result.output


def test_a_controller_that_others_can_reach_needs_a_token(monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    result = CliRunner().invoke(app, ["controller", "--host", "0.0.0.0", "--port", "0"])
    assert isinstance(result.exception, InputError)
    assert TOKEN_VARIABLE in str(result.exception)
    require_token_off_loopback("0.0.0.0", "sixteen-of-them!")
    require_token_off_loopback("::1", "")
    require_token_off_loopback("127.0.0.1", "short")


@pytest.mark.parametrize(
    ("token", "words", "said"),
    [
        ("geheim é", "controller", "no HTTP header"),
        ("geheim é", "worker --model-path /no/such", "no HTTP header"),
        ("two\nlines-of-a-token", "worker --model-path /no/such", "no HTTP header"),
        ("fifteen-of-them", "controller --host 0.0.0.0", "at least 16"),
        ("fifteen-of-them", "worker --model-path /no/such --host 0.0.0.0", "at least 16"),
        ("fifteen-of-them", "worker --model-path /no/such --controller http://10.0.0.1:21001", "at least 16"),
    ],
)
def test_a_token_that_cannot_be_sent_or_is_soon_guessed_is_refused_at_the_start(monkeypatch, token, words, said):
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    assert_refused(words, said)


def assert_refused(words, said):
    """With our error, which is one line and exit code 2, before anything is served."""
    result = CliRunner().invoke(app, [*words.split(), "--port", "0"])
    assert isinstance(result.exception, InputError), result.output
    assert said in str(result.exception)


def test_a_port_is_taken_before_a_model_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["worker", "--port", port, "--model-path", "/no/such/folder"])
    assert "is busy" in str(result.exception)


def test_hosts_that_are_none_are_named():
    result = CliRunner().invoke(app, ["controller", "--port", "0", "--worker-hosts", "10.0.0.0/40"])
    assert isinstance(result.exception, InputError)
    assert "10.0.0.0/40" in str(result.exception)


@contextmanager
def command(*words, **environment):
    """A command of ours as a process; its first line comes when it is up."""
    with subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_server_elsewhere_stands_behind_a_controller_with_a_token():
    """As the docs start them: token and key from the environment. The controller is killed, another one takes its place, the
    worker finds it, answers through it, and signs off at SIGTERM.
    """
    server, token = OpenAiServer(), {TOKEN_VARIABLE: "t0ken"}
    server.script = [{"choices": [{"index": 0, "text": "A", "finish_reason": "stop"}]}, "data: [DONE]\n\n"]
    with running_openai(server) as url, ExitStack() as processes:
        first, said = processes.enter_context(command("controller", "--port", "0", **token))
        controller = said.removeprefix("controller at ")
        words = ("worker", "--upstream", url, "--controller", controller, "--port", "0", "--model-names", "mine")
        started = command(*words, "--heart-beat-interval", "0.5", **token, LLAVA_GRAPH_UPSTREAM_KEY="sk-key")
        worker, line = processes.enter_context(started)
        assert line.startswith("worker at http://127.0.0.1:")
        eventually(lambda: models(controller) == ["mine"])
        first.kill()
        first.wait()
        port = controller.rpartition(":")[2]
        processes.enter_context(command("controller", "--port", port, **token))
        eventually(lambda: models(controller) == ["mine"], seconds=20)
        body = {"model": "mine", "prompt": "Q", "echo": False}
        assert b'"text": "A"' in HTTP.post(controller + "/worker_generate_stream", json=body).content
        assert server.keys == {"Bearer sk-key"}
        worker.terminate()
        assert worker.wait(20) == 0
        assert "sk-key" not in worker.stderr.read()
        assert models(controller) == []


def models(controller):
    return HTTP.post(controller + "/list_models").json()["models"]


def test_a_server_that_is_not_there_is_one_line():
    with command("worker", "--upstream", "http://127.0.0.1:9/v1", "--port", "0", "--upstream-wait", "0") as (
        process,
        line,
    ):
        assert (process.wait(30), line) == (2, "")
        (said,) = process.stderr.read().strip().splitlines()
    assert re.search(r"error: http://127.0.0.1:9/v1: the upstream server does not answer .*Is it running", said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("api --controller nonsense", "--controller-address must be an address"),
        ("api --controller ftp://x", "--controller-address must be an address"),
        ("web --controller http://", "--controller-url must be an address"),
        ("worker --controller nonsense", "--controller-address must be an address"),
        ("worker --worker nonsense", "--worker-address must be an address"),
        ("worker --model-names ..", "'..' cannot be a model's name"),
        ("all --model-names a/../b", "'a/../b' cannot be a model's name"),
        ("all --papers-cache /etc/passwd", "/etc/passwd is no folder"),
        ("all --papers-cache /etc/passwd/below", "/etc/passwd is no folder"),
        ("web --log-visitors", "--log-dir"),
        ("all --log-visitors", "--log-dir"),
        ("controller --allow-tokenless-from gpu1", "'gpu1'"),
        ("controller --heart-beat-expiration 7", "shorter than the 8 s"),
    ],
)
def test_what_could_only_fail_later_is_refused_at_the_start(words, said):
    assert_refused(words, said)


def test_a_device_that_is_none_and_memory_for_nothing_are_one_line_before_anybody_is_told(model):
    for words, said in (
        (("worker", "--device", "banana"), "banana"),
        (("worker", "--device", "cuda:7"), "cuda:7"),
        (("all", "--device", "banana"), "banana"),
        (("worker", "--device", "cpu", "--max-batch-tokens", "1"), "--max-batch-tokens 1 is too few"),
    ):
        result = CliRunner().invoke(app, [*words, "--model-path", str(model), "--port", "0"])
        assert isinstance(result.exception, LlavaGraphError), (words, result.exception)
        assert said in str(result.exception)


def test_networks_of_strangers_are_warned_about(caplog):
    assert tokenless_networks("10.0.0.0/24,127.0.0.1").networks
    assert not caplog.records
    tokenless_networks("0.0.0.0/0,::/0")
    assert caplog.text.count("strangers there") == 2


def test_a_busy_port_is_answered_in_the_words_of_the_command():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["api", "--port", port])
    assert f"port {port} is busy" in str(result.exception)
    assert "make demo" not in str(result.exception)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_ctrl_c_while_it_imports_is_130_without_a_traceback():
    # The interrupt comes with the first large import, whatever the machine's speed.
    code = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from serve.__main__ import main\n"
        "sys.argv = ['llava-graph-serve', 'all']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


def test_the_command_is_the_one_that_waits_for_ctrl_c():
    project = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["llava-graph-serve"] == "serve.__main__:main"
