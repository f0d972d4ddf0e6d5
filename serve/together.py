"""Controller, worker, web page and API in one process: what `llava-graph-serve all` and `make demo` start."""

import time
from contextlib import ExitStack

from llava_graph.errors import ServeError
from serve.api import ApiOptions, create_api
from serve.controller.app import create_controller
from serve.controller.registry import Registry
from serve.engines.opening import EngineChoice, open_engine
from serve.http.by_path import ByPath
from serve.http.servers import Server, address_of, bind
from serve.papers import PaperShelf
from serve.web import WebOptions, create_web
from serve.worker.answering import WorkerOptions
from serve.worker.app import create_worker
from serve.worker.heartbeat import Heartbeat

HEART_BEAT_INTERVAL_S = 5.0
"""Everything is one process: a dead worker is noticed soon."""
REGISTER_TIMEOUT_S = 30.0


API_PATHS = ("/v1", "/health", "/metrics")


def start_all(
    host: str, port: int, choice: EngineChoice, options: WorkerOptions, *, web: WebOptions, api: ApiOptions
) -> list[Server]:
    """Start them and return them, page and API last, when the model is registered.

    Controller and worker listen on this machine only, on free ports. The page's port is taken first, so that a busy one
    is known before a model is loaded. Raises InputError (busy port), CheckpointError, ServeError.
    """
    with ExitStack() as undo:
        page_socket = undo.enter_context(bind(host, port, "PORT={0} make demo, or --port {0}"))
        registry = Registry(expire_after=3 * HEART_BEAT_INTERVAL_S)
        controller = undo.enter_context(
            Server(create_controller(registry), undo.enter_context(bind("127.0.0.1", 0)), "controller")
        )
        worker_socket = undo.enter_context(bind("127.0.0.1", 0))
        beat = Heartbeat(controller.url, address_of(worker_socket), interval=HEART_BEAT_INTERVAL_S, retry=0.2)
        worker = undo.enter_context(
            Server(create_worker(open_engine(choice), options, heartbeat=beat), worker_socket, "worker")
        )
        shelf = PaperShelf(web.papers)
        app = ByPath(
            create_web(controller.url, web, papers=shelf), create_api(controller.url, api, shelf=shelf), API_PATHS
        )
        page = undo.enter_context(Server(app, page_socket, "web page"))
        _wait_for_model(registry)
        undo.pop_all()
    return [controller, worker, page]


def _wait_for_model(registry: Registry) -> None:
    deadline = time.monotonic() + REGISTER_TIMEOUT_S
    while not registry.models():
        if time.monotonic() > deadline:
            raise ServeError("the worker did not register at the controller", next_step="Its log says why")
        time.sleep(0.02)
