"""`llava-graph-serve api`, and the API beside the page: flags as people know them, and no open door by default."""

import pytest
from typer.testing import CliRunner

from llava_graph.errors import InputError
from serve.api.cli import origins
from serve.api.keys import KEYS_VARIABLE, keys_beside_page, keys_for, read_keys
from serve.cli import app

KEYS = read_keys(["alice:0123456789abcdef"], "keys")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)


@pytest.mark.parametrize(
    "words",
    [
        "api --host localhost --port 8000 --controller-address http://localhost:21001",
        "api --controller http://a --api-keys keys.txt --allowed-origins https://a.example --cors-origin https://b.example",
        "api --allow-image-hosts example.org,.arxiv.org --no-papers --max-body-mb 8",
        "api --no-image-urls --requests-per-minute 60 --tokens-per-minute 10000 --allow-anonymous",
        "all --api-keys keys.txt --no-image-urls --cors-origin https://a.example --requests-per-minute 5",
    ],
)
def test_the_flags_are_understood(words):
    understood = CliRunner().invoke(app, [*words.split(), "--help"])
    assert understood.exit_code == 0, understood.output
    assert CliRunner().invoke(app, [*words.split(), "--no-such-flag", "--help"]).exit_code == 2


def test_a_server_that_others_reach_asks_for_keys_unless_it_is_told_not_to():
    assert keys_for("127.0.0.1", ()) is None
    assert keys_for("127.0.0.1", KEYS) == KEYS
    assert keys_for("0.0.0.0", KEYS) == KEYS
    assert keys_for("0.0.0.0", (), anonymous=True) is None
    with pytest.raises(InputError, match="asks for a key"):
        keys_for("0.0.0.0", ())
    with pytest.raises(InputError, match="there are keys"):
        keys_for("127.0.0.1", KEYS, anonymous=True)
    started = CliRunner().invoke(app, ["api", "--host", "0.0.0.0", "--port", "0"])
    assert isinstance(started.exception, InputError)
    assert KEYS_VARIABLE in str(started.exception)


def test_beside_a_page_that_others_reach_the_api_answers_nobody_without_keys(tmp_path, monkeypatch):
    assert keys_beside_page("127.0.0.1", None) is None
    assert keys_beside_page("0.0.0.0", None) == ()
    assert keys_beside_page("0.0.0.0", None, anonymous=True) is None
    (tmp_path / "keys.txt").write_text("alice:0123456789abcdef\n")
    assert keys_beside_page("0.0.0.0", tmp_path / "keys.txt") == KEYS


@pytest.mark.parametrize("command", ["api", "all"])
def test_hosts_to_fetch_from_and_fetching_nothing_contradict_each_other(command):
    words = [command, "--allow-image-hosts", "example.org", "--no-image-urls", "--port", "0"]
    started = CliRunner().invoke(app, words)
    assert isinstance(started.exception, InputError)
    assert "--no-image-urls" in str(started.exception)


def test_origins_are_written_one_by_one_or_as_fastchats_json_list():
    assert origins(["https://a.example/", '["https://b.example", "*"]']) == (
        "https://a.example",
        "https://b.example",
        "*",
    )
    for wrong in ("a.example", '["a"]', "[", "javascript:x"):
        with pytest.raises(InputError):
            origins([wrong])
