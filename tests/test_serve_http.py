"""Controller and worker over real HTTP on loopback: FastChat's wire format, and what happens when things break."""

import json
import socket
import threading
from itertools import pairwise

import httpx
import pytest

from llava_graph.errors import InputError
from serve.controller.admission import Admission
from serve.controller.registry import Registry
from serve.protocol.workers import Registration, WorkerStatus
from tests.serving import HTTP, ScriptedEngine, b64, eventually, png, running_controller, running_worker

NOBODY = "http://127.0.0.1:59999"
"""Nobody listens there."""
SENTENCE = "The curve rises and then it stays flat until the end ."


def post(url, path, **body):
    return HTTP.post(url + path, json=body)


def chunks(response):
    assert response.content.endswith(b"\0")
    return [json.loads(piece) for piece in response.content.split(b"\0")[:-1]]


@pytest.fixture
def engine():
    return ScriptedEngine()


@pytest.fixture
def worker(engine):
    with running_worker(engine, limit_worker_concurrency=2, max_waiting=1) as server:
        yield server


@pytest.fixture
def controller():
    with running_controller() as server:
        yield server


def test_a_stream_is_cumulative_json_ended_by_nul(worker, engine):
    engine.pause = 0.01
    steps = chunks(post(worker.url, "/worker_generate_stream", model="scripted", prompt="Q:", echo=False))
    texts = [step["text"] for step in steps]
    assert len(texts) > 3
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert steps[-1] == {
        "text": SENTENCE,
        "error_code": 0,
        "usage": {"prompt_tokens": 7, "completion_tokens": 12, "total_tokens": 19},
        "finish_reason": "stop",
    }
    assert steps[0]["finish_reason"] is None


def test_by_default_the_text_begins_with_the_prompt_as_llava_clients_expect(worker):
    last = chunks(post(worker.url, "/worker_generate_stream", model="scripted", prompt="USER: Q ASSISTANT:"))[-1]
    assert last["text"] == "USER: Q ASSISTANT:" + SENTENCE


def test_the_one_piece_answer_is_the_streams_last_chunk(worker):
    body = {"prompt": "Q", "echo": False}
    assert post(worker.url, "/worker_generate", **body).json()["text"] == SENTENCE


def test_the_worker_answers_fastchats_questions(worker):
    assert post(worker.url, "/worker_get_status").json() == {
        "model_names": ["scripted"],
        "speed": 1,
        "queue_length": 0,
    }
    assert post(worker.url, "/count_token", prompt="a b c").json() == {"count": 3, "error_code": 0}
    details = post(worker.url, "/model_details").json()
    assert details["context_length"] == 100
    assert (details["name"], details["about"]) == ("scripted", "It repeats one sentence; there is no model.")
    assert details["instructions"] is True
    assert details["max_images"] == 8
    conv = post(worker.url, "/worker_get_conv_template").json()["conv"]
    assert list(conv) == [
        "name",
        "system_template",
        "system_message",
        "roles",
        "messages",
        "offset",
        "sep_style",
        "sep",
        "sep2",
        "stop_str",
        "stop_token_ids",
    ]
    assert isinstance(conv["sep_style"], int)


def test_images_arrive_decoded_for_both_kinds_of_placeholder(worker, engine):
    body = {"images": [b64(png(40, 30)), "data:image/png;base64," + b64(png(50, 20))], "echo": False}
    for prompt in ("<image>\n<image>\nWhat?", "$$<image>$$$$<image>$$What?"):
        assert chunks(post(worker.url, "/worker_generate_stream", prompt=prompt, **body))[-1]["error_code"] == 0
    assert engine.sizes == [(40, 30), (50, 20)] * 2


def test_messages_are_taken_instead_of_a_prompt(worker, engine):
    content = [{"type": "image"}, {"type": "text", "text": "What?"}]
    messages = [{"role": "user", "content": content}]
    last = chunks(post(worker.url, "/worker_generate_stream", messages=messages, images=[b64(png())]))[-1]
    assert last["text"] == SENTENCE
    assert engine.requests[0].messages == ({"role": "user", "content": content},)


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"prompt": "<image> Q"}, 40001, "1 image placeholder(s) for 0 image(s)"),
        ({"prompt": "Q", "images": [b64(png())]}, 40001, "0 image placeholder(s) for 1 image(s)"),
        ({"prompt": "<image>", "images": ["http://127.0.0.1:1/x.png"]}, 40001, "addresses are not fetched"),
        ({"prompt": "<image>", "images": ["/etc/passwd"]}, 40001, "images[0]"),
        ({"prompt": "<image>", "images": [b64(b"<svg xmlns='http://www.w3.org/2000/svg'/>")]}, 40001, "not an image"),
        ({"prompt": "<image>", "images": [b64(png()[:60])]}, 40001, "images[0]"),
        ({"prompt": "<image>", "images": [b64(png(1, 1))]}, 40001, "1 x 1 px"),
        ({"prompt": "<image>", "images": [b64(png(30_000, 3000))]}, 40001, "megapixels"),
        ({"prompt": "Q", "model": "gpt-4"}, 40301, "serves scripted, not 'gpt-4'"),
        ({"prompt": "Q", "temperature": -3}, 40302, "temperature"),
    ],
)
def test_a_bad_request_hears_the_real_reason(worker, body, code, said):
    response = post(worker.url, "/worker_generate_stream", **body)
    assert response.status_code == 200, "FastChat's clients read the code in the chunk"
    (only,) = chunks(response)
    assert only["error_code"] == code
    assert said in only["text"]
    assert post(worker.url, "/worker_get_status").json()["queue_length"] == 0


def test_no_json_and_too_much_of_it_are_refused(worker, controller):
    assert HTTP.post(worker.url + "/worker_generate_stream", content=b"{").status_code == 400
    assert HTTP.post(worker.url + "/worker_generate_stream", content=b"[" * 100_000).status_code == 400
    huge = HTTP.post(controller.url + "/register_worker", content=b" " * (2 * 2**20))
    assert (huge.status_code, huge.json()["error_code"]) == (400, 40001)


def test_a_model_that_breaks_is_logged_with_a_number_and_the_worker_lives(worker, engine, caplog):
    engine.fail_with, engine.fail_at = RuntimeError("secret path /home/x"), 3
    last = chunks(post(worker.url, "/worker_generate_stream", prompt="Q"))[-1]
    assert last["error_code"] == 50001
    assert "RuntimeError" in last["text"]
    assert "secret" not in last["text"]
    number = last["text"].split()[-1]
    assert any(number in record.getMessage() and record.exc_info for record in caplog.records)
    engine.fail_with = None
    assert post(worker.url, "/worker_generate", prompt="Q").json()["error_code"] == 0


def test_out_of_memory_has_its_own_code(worker, engine):
    engine.fail_with = MemoryError()
    assert chunks(post(worker.url, "/worker_generate_stream", prompt="Q"))[-1]["error_code"] == 50002


@pytest.mark.parametrize("path", ["/worker_generate_stream", "/worker_generate"])
def test_a_client_that_goes_away_stops_the_generation_and_frees_the_slot(worker, engine, path):
    engine.words, engine.pause = ("word",) * 10_000, 0.02
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", int(worker.url.rsplit(":", 1)[1]))) as raw:
            body = b'{"prompt": "Q"}'
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            raw.sendall(head.encode() + body)
            eventually(lambda: engine.running)
        eventually(lambda: not engine.running)
    assert engine.cancelled == 5
    eventually(lambda: post(worker.url, "/worker_get_status").json()["queue_length"] == 0)


def test_beyond_the_queue_the_answer_is_busy_at_once(worker, engine):
    engine.words, engine.pause = ("word",) * 1000, 0.01
    with httpx.Client() as client:
        first = [client.stream("POST", worker.url + "/worker_generate_stream", json={"prompt": "Q"}) for _ in range(3)]
        threads = [threading.Thread(target=lambda stream=stream: stream.__enter__(), daemon=True) for stream in first]
        for thread in threads:
            thread.start()
        eventually(lambda: post(worker.url, "/worker_get_status").json()["queue_length"] == 3)
        (busy,) = chunks(post(worker.url, "/worker_generate_stream", prompt="Q"))
        assert busy["error_code"] == 42903
        assert "2 answers are being written and 1 wait" in busy["text"]
        engine.words = ()


def test_a_worker_registers_and_is_found(controller, engine):
    with running_worker(engine, controller.url, model_names=("figures", "figures-7b")) as worker:
        eventually(lambda: post(controller.url, "/list_models").json()["models"] == ["figures", "figures-7b"])
        assert post(controller.url, "/list_multimodal_models").json() == {"models": ["figures", "figures-7b"]}
        assert post(controller.url, "/list_language_models").json() == {"models": []}
        assert post(controller.url, "/get_worker_address", model="figures").json() == {"address": worker.url}
        assert post(controller.url, "/get_worker_address", model="other").json() == {"address": ""}
        assert HTTP.get(controller.url + "/test_connection").json() == "success"
        assert post(controller.url, "/worker_get_status").json()["model_names"] == ["figures", "figures-7b"]
        assert post(controller.url, "/refresh_all_workers").json() is None


def test_the_controller_relays_a_workers_stream_unchanged(controller, engine):
    with running_worker(engine, controller.url) as worker:
        eventually(lambda: post(controller.url, "/list_models").json()["models"])
        body = {"model": "scripted", "prompt": "Q", "max_new_tokens": 5}
        relayed = chunks(post(controller.url, "/worker_generate_stream", **body))
        assert relayed[-1] == chunks(post(worker.url, "/worker_generate_stream", **body))[-1]


def test_a_client_that_leaves_the_controller_stops_the_worker_behind_it(controller, engine):
    engine.words, engine.pause = ("word",) * 10_000, 0.02
    with running_worker(engine, controller.url):
        eventually(lambda: post(controller.url, "/list_models").json()["models"])
        body = {"model": "scripted", "prompt": "Q"}
        with HTTP.stream("POST", controller.url + "/worker_generate_stream", json=body) as response:
            next(response.iter_bytes())
        eventually(lambda: engine.cancelled == 1 and not engine.running)


def test_a_controller_can_be_the_worker_of_another(engine):
    with running_controller() as top, running_controller() as below, running_worker(engine, below.url):
        eventually(lambda: post(below.url, "/list_models").json()["models"])
        # Without a status the controller asks; a controller answers like a worker.
        post(top.url, "/register_worker", worker_name=below.url, check_heart_beat=False, worker_status=None)
        assert post(top.url, "/list_models").json() == {"models": ["scripted"]}
        assert chunks(post(top.url, "/worker_generate_stream", model="scripted", prompt="Q"))[-1]["error_code"] == 0


def test_without_a_worker_the_relay_says_so_and_asks_nobody(controller):
    (only,) = chunks(post(controller.url, "/worker_generate_stream", model="m", prompt="Q"))
    assert only["error_code"] == 50005
    assert "no worker serves the model 'm'" in only["text"]


def test_a_dead_worker_is_dropped_and_the_next_one_answers(engine):
    registry = Registry()
    with running_controller(registry) as controller, running_worker(engine) as worker:
        for address in (NOBODY, worker.url):
            registry.register(Registration(address, False), WorkerStatus(("scripted",)))
        last = chunks(post(controller.url, "/worker_generate_stream", model="scripted", prompt="Q"))[-1]
        assert last["error_code"] == 0
        assert [entry.address for entry in registry.workers()] == [worker.url]


def test_refreshing_drops_the_dead_and_never_hides_the_living(engine):
    registry = Registry()
    with running_controller(registry) as controller, running_worker(engine) as worker:
        for address in (NOBODY, worker.url):
            registry.register(Registration(address, False), WorkerStatus(("old",)))
        post(controller.url, "/refresh_all_workers")
        assert post(controller.url, "/list_models").json() == {"models": ["scripted"]}


def test_a_worker_that_breaks_off_in_the_middle_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        registry = Registry()
        registry.register(
            Registration(f"http://127.0.0.1:{listener.getsockname()[1]}", False), WorkerStatus(("broken",))
        )

        def break_off():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"tex\r\n')

        thread = threading.Thread(target=break_off)
        thread.start()
        with running_controller(registry) as controller:
            response = post(controller.url, "/worker_generate_stream", model="broken", prompt="Q")
        thread.join()
    (only,) = chunks(response)
    assert only["error_code"] == 50006
    assert "stopped in the middle" in only["text"]


def test_after_a_restart_of_the_controller_the_workers_come_back(engine):
    with running_controller() as first, running_worker(engine, first.url):
        eventually(lambda: post(first.url, "/list_models").json()["models"])
        first.stop()
        with running_controller(port=int(first.url.rsplit(":", 1)[1])) as second:
            eventually(lambda: post(second.url, "/list_models").json()["models"] == ["scripted"])


def test_registration_needs_the_token_where_there_is_one(worker):
    registration = {"worker_name": worker.url, "check_heart_beat": True}
    with running_controller(admission=Admission(token="s3cret")) as controller:
        for path in ("/register_worker", "/receive_heart_beat", "/unregister_worker"):
            url = controller.url + path
            assert HTTP.post(url, json=registration).json()["error_code"] == 40101
            wrong = HTTP.post(url, json=registration, headers={"Authorization": "Bearer wrong"})
            assert (wrong.status_code, wrong.json()["error_code"]) == (401, 40102)
        assert post(controller.url, "/list_models").json() == {"models": []}
        right = {"Authorization": "Bearer s3cret"}
        taken = HTTP.post(controller.url + "/register_worker", json=registration, headers=right)
        assert (taken.status_code, taken.json()) == (200, None)
        assert post(controller.url, "/list_models").json() == {"models": ["scripted"]}
        left = HTTP.post(controller.url + "/unregister_worker", json=registration, headers=right)
        assert left.json() == {"existed": True}
        assert post(controller.url, "/list_models").json() == {"models": []}


def test_without_a_token_no_stranger_can_register(controller):
    status = {"model_names": ["m"], "speed": 1, "queue_length": 0}
    for name in ("http://169.254.169.254/latest", "http://10.0.0.5:1", "http://127.0.0.1.evil.example"):
        refused = post(
            controller.url, "/register_worker", worker_name=name, check_heart_beat=True, worker_status=status
        )
        assert (refused.status_code, refused.json()["error_code"]) == (401, 40103)
    assert post(controller.url, "/list_models").json() == {"models": []}


def test_a_web_page_cannot_talk_to_controller_or_worker(controller, worker):
    for url in (controller.url + "/register_worker", worker.url + "/worker_generate_stream"):
        response = HTTP.post(url, content=b"{}", headers={"Origin": "http://evil.example"})
        assert (response.status_code, response.json()["error_code"]) == (401, 40103)


def test_a_worker_that_gives_no_status_stays_out(controller):
    response = post(controller.url, "/register_worker", worker_name=NOBODY, check_heart_beat=True)
    assert (response.status_code, response.json()) == (200, None), "as FastChat's controller answers"
    assert post(controller.url, "/list_models").json() == {"models": []}


def test_a_busy_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} is busy.*--port"), running_controller(port=port):
            pass


def test_llavas_page_is_answered_in_its_own_shape(worker, engine):
    """`llava/serve/gradio_web_server.py` sends one stop string and bare base64, and cuts its prompt off every chunk."""
    prompt = "A chat. USER: <image>\nWhat? ASSISTANT:"
    body = {"model": "scripted", "prompt": prompt, "temperature": 0.2, "top_p": 0.7, "max_new_tokens": 1024}
    steps = chunks(post(worker.url, "/worker_generate_stream", **body, stop="</s>", images=[b64(png())]))
    assert all(step["error_code"] == 0 and step["text"].startswith(prompt) for step in steps)
    assert steps[-1]["text"][len(prompt) :].strip() == SENTENCE
    assert (engine.requests[0].stop, engine.sizes) == (("</s>",), [(40, 30)])


def test_fastchats_server_sends_what_it_has_no_value_for_as_null(worker, engine):
    """Every field of its `get_gen_params`; 2**20 tokens when the client names no number and the context is that long."""
    body = {"model": "scripted", "prompt": "Q", "temperature": 0.7, "logprobs": None, "top_p": 1.0, "top_k": -1}
    body |= {"presence_penalty": 0.0, "frequency_penalty": 0.0, "max_new_tokens": 2**20, "echo": False}
    body |= {"stop_token_ids": None, "stop": [], "use_beam_search": False, "best_of": None}
    assert post(worker.url, "/worker_generate", **body).json()["text"] == SENTENCE
    assert engine.requests[0].max_new_tokens == 2**20


def test_there_are_no_embeddings_and_the_refusal_has_fastchats_shape(worker):
    response = post(worker.url, "/worker_get_embeddings", model="scripted", input=["a"], encoding_format=None)
    told = response.json()
    assert (response.status_code, told["error_code"]) == (200, 40301), "its server drops the reason of another status"
    assert "no embeddings" in told["text"]


def test_a_worker_tells_its_health_and_its_numbers(worker, engine):
    post(worker.url, "/worker_generate", prompt="Q")
    post(worker.url, "/worker_generate", prompt="<image> Q")
    assert HTTP.get(worker.url + "/health").json() == {"status": "ok", "models": ["scripted"], "queue_length": 0}
    told = HTTP.get(worker.url + "/metrics").text
    for line in (
        'llava_graph_worker_completion_tokens_total{model="scripted"} 12.0',
        'llava_graph_worker_errors_total{code="40001"} 1.0',
        'llava_graph_worker_requests_total{route="/worker_generate",status="200"} 2.0',
        "llava_graph_worker_requests_running 0.0",
    ):
        assert line in told


def test_a_question_that_breaks_is_told_as_such(worker, engine):
    """A tokenizer may refuse a prompt; the caller hears why, in the shape of all other refusals."""
    engine.count_tokens = refuse
    response = post(worker.url, "/count_token", prompt="a")
    assert (response.status_code, response.json()) == (400, {"text": "the prompt is odd", "error_code": 40001})


def refuse(prompt):
    raise InputError("the prompt is odd")


def test_more_images_than_the_model_takes_are_a_bad_request(worker, engine):
    engine.max_images = 1
    body = {"prompt": "<image>\n<image>\nWhat?", "images": [b64(png())] * 2}
    told = post(worker.url, "/worker_generate", **body).json()
    assert (told["error_code"], engine.requests) == (40001, [])
    assert "2 images in one conversation, this model takes 1" in told["text"]
    one = post(worker.url, "/worker_generate", prompt="<image>\nWhat?", images=[b64(png())]).json()
    assert one["error_code"] == 0
