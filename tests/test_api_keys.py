"""Who may call the API, from where, and how often."""

import hashlib

import openai
import pytest

from llava_graph.errors import InputError
from serve.api import ApiOptions, configured_keys, create_api
from serve.api.errors import ApiError
from serve.api.keys import KEYS_VARIABLE, caller, read_keys
from serve.api.limits import LIMIT_HEADERS, Bucket, KeyLimits, limit_headers
from serve.http.servers import Server, bind
from tests.serving import HTTP, ScriptedEngine, eventually, running_controller, running_worker

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdefgh"
ASK = {"model": "scripted", "messages": [{"role": "user", "content": "What?"}]}


@pytest.fixture(scope="module")
def controller():
    with running_controller() as server, running_worker(ScriptedEngine(), server.url):
        eventually(lambda: HTTP.post(server.url + "/list_models").json()["models"])
        yield server


def running(controller, **options):
    return Server(create_api(controller.url, ApiOptions(**options)), bind("127.0.0.1", 0), "API")


def test_every_route_but_health_needs_a_key(controller):
    with running(controller, keys=read_keys([f"alice:{ALICE}"], "keys")) as server:
        assert HTTP.get(server.url + "/health").json() == {"status": "ok"}, "and says no more than that"
        routes = {str(route.path) for route in create_api("http://c").routes}
        assert {"/v1/chat/completions", "/v1/models", "/metrics"} <= routes
        for route in routes - {"/health"} | {"/nothing", "/v1/models/scripted", "/", "/health/", "//health", "/HEALTH"}:
            for method in ("GET", "POST", "PUT", "DELETE"):
                answer = HTTP.request(method, server.url + route.replace("{model:path}", "x"))
                assert answer.status_code == 401, (method, route)
                assert answer.json()["error"]["code"] == "invalid_api_key"
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.headers["x-request-id"]
        with openai.OpenAI(base_url=server.url + "/v1", api_key=ALICE, max_retries=0) as client:
            assert client.models.list().data
            assert client.chat.completions.create(**ASK).choices
        for wrong in (ALICE[:-1], ALICE + "x", ALICE.upper(), "x", "Bearer"):
            with (
                openai.OpenAI(base_url=server.url + "/v1", api_key=wrong, max_retries=0) as client,
                pytest.raises(openai.AuthenticationError, match="not known"),
            ):
                client.chat.completions.create(**ASK)


def test_no_key_at_all_means_that_nobody_gets_in_where_keys_are_asked_for(controller):
    with running(controller, keys=()) as server:
        answer = HTTP.post(server.url + "/v1/chat/completions", json=ASK, headers={"authorization": "Bearer x"})
        assert answer.status_code == 401
        assert KEYS_VARIABLE in answer.json()["error"]["message"]


def test_keys_are_read_plain_or_hashed_and_kept_as_digests_only():
    lines = ["# people", "", f"alice:{ALICE}", f"bob:sha256:{hashlib.sha256(BOB.encode()).hexdigest()}"]
    keys = read_keys(lines, "keys.txt")
    assert caller(f"Bearer {ALICE}", keys).name == "alice"
    assert caller(f"bearer {BOB}", keys).name == "bob"
    assert ALICE not in repr(keys)
    for wrong in (
        "",
        "Bearer",
        f"Basic {ALICE}",
        ALICE,
        f"Bearer {ALICE} x",
        "Bearer \udcff",
        f"Bearer {keys[1].digest.hex()}",
    ):
        assert caller(wrong, keys) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alice", "name:key"),
        ("alice:short", "at least 16"),
        ("a b:0123456789abcdef0", "name:key"),
        ("a:0123456789 abcdef0", "no spaces"),
        (f"sha256:{'a1' * 32}", "without a name"),
        (f"SHA256:{'A1' * 32}", "without a name"),
    ],
)
def test_a_wrong_line_is_named_without_the_key(line, said):
    with pytest.raises(InputError, match=said) as refused:
        read_keys(["#", line], "keys.txt")
    assert "keys.txt:2" in str(refused.value)
    assert line.partition(":")[2] not in str(refused.value) or not line.partition(":")[2]


def test_names_and_keys_are_given_once():
    with pytest.raises(InputError, match="the same name"):
        read_keys([f"a:{ALICE}", f"a:{BOB}"], "keys.txt")
    with pytest.raises(InputError, match="the same value"):
        read_keys([f"a:{ALICE}", f"b:{ALICE}"], "keys.txt")


def test_keys_come_from_a_file_and_from_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "keys.txt"
    file.write_text(f"alice:{ALICE}\n")
    monkeypatch.setenv(KEYS_VARIABLE, f"{BOB}, carol:carol-0123456789abcdef")
    assert [key.name for key in configured_keys(file)] == ["alice", "key1", "carol"]
    monkeypatch.delenv(KEYS_VARIABLE)
    assert configured_keys(None) == ()
    file.write_text("# nobody\n")
    with pytest.raises(InputError, match="no key"):
        configured_keys(file)


def test_a_variable_with_a_nameless_digest_or_without_any_key_is_refused(monkeypatch):
    digest = hashlib.sha256(ALICE.encode()).hexdigest()
    monkeypatch.setenv(KEYS_VARIABLE, f"{BOB},sha256:{digest}")
    with pytest.raises(InputError, match=f"{KEYS_VARIABLE}:2: a digest without a name") as refused:
        configured_keys(None)
    assert digest not in str(refused.value)
    for nothing in (",,", " ", " , "):
        monkeypatch.setenv(KEYS_VARIABLE, nothing)
        with pytest.raises(InputError, match="no key"):
            configured_keys(None)
    monkeypatch.setenv(KEYS_VARIABLE, "")
    assert configured_keys(None) == ()


def test_a_key_on_the_command_line_is_refused_and_not_repeated(tmp_path):
    with pytest.raises(InputError, match="do not stand on a command line") as refused:
        configured_keys(tmp_path / ALICE)
    assert ALICE not in str(refused.value)


def test_a_bucket_refills_with_time_and_never_beyond_a_minute():
    bucket = Bucket.full(60, now=100.0)
    assert bucket.wait(60) == 0
    empty = bucket.without(60)
    assert empty.wait(1) == pytest.approx(1.0)
    assert empty.refilled(100.5).wait(1) == pytest.approx(0.5)
    assert empty.refilled(10_000.0).left == 60
    assert empty.without(30).wait(1) == pytest.approx(31.0), "a debt is waited for"
    assert empty.refilled(99.0).left == 0, "a clock that goes back gives nothing"


def test_each_key_has_its_own_allowance_of_requests_and_tokens():
    now = [0.0]
    limits = KeyLimits(2, 100, clock=lambda: now[0])
    limits.admit("alice")
    limits.admit("alice")
    with pytest.raises(ApiError, match="2 requests a minute") as refused:
        limits.admit("alice")
    assert (refused.value.status, refused.value.retry_after) == (429, 30)
    limits.admit("bob")
    limits.charge("bob", 250)
    now[0] = 60.0
    limits.admit("alice")
    with pytest.raises(ApiError, match="100 tokens a minute") as refused:
        limits.admit("bob")
    assert refused.value.retry_after == 31, "150 more than a minute's worth are owed, one minute has passed"
    now[0] = 92.0
    limits.admit("bob")


def test_limits_are_whole_numbers_in_the_headers():
    headers = limit_headers(KeyLimits(5, 10**6).admit("alice"))
    assert headers["x-ratelimit-limit-tokens"] == headers["x-ratelimit-remaining-tokens"] == "1000000"
    assert tuple(headers) == LIMIT_HEADERS


def test_the_rate_limit_is_a_429_with_the_time_to_wait(controller):
    keys = read_keys([f"alice:{ALICE}", f"bob:{BOB}"], "keys")
    with running(controller, keys=keys, requests_per_minute=2, tokens_per_minute=1000) as server:
        with openai.OpenAI(base_url=server.url + "/v1", api_key=ALICE, max_retries=0) as client:
            first = client.chat.completions.with_raw_response.create(**ASK)
            assert first.headers["x-ratelimit-remaining-requests"] == "1"
            second = client.chat.completions.with_raw_response.create(**ASK)
            assert int(second.headers["x-ratelimit-remaining-tokens"]) <= 990
            with pytest.raises(openai.RateLimitError) as refused:
                client.chat.completions.create(**ASK)
            assert 0 < int(refused.value.response.headers["retry-after"]) <= 60
            assert refused.value.code == "rate_limit_exceeded"
            assert refused.value.response.headers["x-ratelimit-limit-requests"] == "2"
            assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"
            assert client.models.list(), "looking is not counted"
        with openai.OpenAI(base_url=server.url + "/v1", api_key=BOB, max_retries=0) as client:
            assert client.chat.completions.create(**ASK)


def test_web_pages_may_not_call_unless_their_origin_is_allowed(controller):
    chat = "/v1/chat/completions"
    with running(controller) as server:
        for origin in ("https://evil.example.com", "null", server.url):
            answer = HTTP.post(server.url + chat, json=ASK, headers={"origin": origin})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
            assert "access-control-allow-origin" not in answer.headers
        preflight = {"origin": "https://a.example.com", "access-control-request-method": "POST"}
        assert HTTP.options(server.url + chat, headers=preflight).status_code >= 400
    keys = read_keys([f"alice:{ALICE}"], "keys")
    with running(controller, keys=keys, allowed_origins=("https://a.example.com",)) as server:
        asked = {**preflight, "access-control-request-headers": "authorization,content-type"}
        allowed = HTTP.options(server.url + chat, headers=asked)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://a.example.com"
        assert "access-control-allow-credentials" not in allowed.headers
        with_key = {"origin": "https://a.example.com", "authorization": f"Bearer {ALICE}"}
        answer = HTTP.post(server.url + chat, json=ASK, headers=with_key)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://a.example.com")
        shown = answer.headers["access-control-expose-headers"]
        assert {name for name in limit_headers(KeyLimits(2, 10**6).admit("a")) if name not in shown} == set()
        other = HTTP.post(server.url + chat, json=ASK, headers={**with_key, "origin": "https://a.example.com.evil.net"})
        assert other.status_code == 403


def test_a_server_with_its_hands_full_says_so(controller):
    with running(controller, max_requests=0) as server:
        answer = HTTP.post(server.url + "/v1/chat/completions", json=ASK)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "2"


def test_a_body_beyond_its_limit_is_not_read(controller):
    with running(controller, max_body=10_000) as server:
        body = {**ASK, "messages": [{"role": "user", "content": "x" * 20_000}]}
        answer = HTTP.post(server.url + "/v1/chat/completions", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
