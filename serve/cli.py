"""`llava-graph-serve controller | worker | web | all`, with the flags that FastChat's and LLaVA's commands have."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from llava_graph.command import run
from serve.controller.registry import HEART_BEAT_EXPIRATION_S

CONTROLLER_PORT, WORKER_PORT, WEB_PORT = 21001, 21002, 7860
"""FastChat's and gradio's."""
DispatchMethod = Literal["lottery", "shortest_queue"]
ModelListMode = Literal["once", "reload"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Serve a model: the controller, workers and the web page, or all of them at once.",
)
Host = Annotated[str, typer.Option(help="Address to listen on. The default is reached from this machine only.")]
ModelPath = Annotated[
    Path | None, typer.Option(help="A checkpoint folder or owner/name on the hub. Default: packaged.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, … Default: the GPU if there is one.")]
Concurrency = Annotated[
    int,
    typer.Option("--limit-worker-concurrency", "--limit-model-concurrency", min=1, help="Answers written at once."),
]
MaxWaiting = Annotated[int, typer.Option(min=0, help="Requests that may wait; the next one hears 'busy'.")]
LogLevel = Annotated[str, typer.Option(help="debug, info, warning or error.")]


@app.command()
def controller(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = CONTROLLER_PORT,
    dispatch_method: Annotated[DispatchMethod, typer.Option(help="How the next worker is chosen.")] = "shortest_queue",
    heart_beat_expiration: Annotated[
        float,
        typer.Option(
            min=1,
            envvar="FASTCHAT_CONTROLLER_HEART_BEAT_EXPIRATION",
            help="Seconds after which a silent worker is gone.",
        ),
    ] = HEART_BEAT_EXPIRATION_S,
    log_level: LogLevel = "info",
) -> None:
    """Keep the list of workers and say who serves which model.

    Off this machine's loopback a worker needs a token to register: set LLAVA_GRAPH_WORKER_TOKEN for both.

    Examples:

        llava-graph-serve controller --port 21001

        LLAVA_GRAPH_WORKER_TOKEN=… llava-graph-serve controller --host 0.0.0.0
    """
    from serve.controller.app import create_controller
    from serve.controller.registry import Registry
    from serve.http.guard import require_token_off_loopback, worker_token
    from serve.http.servers import Server, bind, wait_for_signal

    set_up_logging(log_level)
    require_token_off_loopback(host, worker_token())
    registry = Registry(dispatch_method, expire_after=heart_beat_expiration)
    server = Server(create_controller(registry, token=worker_token()), bind(host, port), "controller")
    server.start()
    print(f"controller at {server.url}", flush=True)
    wait_for_signal([server])


@app.command()
def worker(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = WORKER_PORT,
    worker_address: Annotated[
        str,
        typer.Option(
            "--worker-address", "--worker", help="The address under which the controller reaches this worker."
        ),
    ] = "",
    controller_address: Annotated[
        str, typer.Option("--controller-address", "--controller", help="The controller to register at.")
    ] = f"http://127.0.0.1:{CONTROLLER_PORT}",
    model_path: ModelPath = None,
    model_names: Annotated[
        str, typer.Option("--model-names", "--model-name", help="Names of the model, separated by commas.")
    ] = "",
    device: Device = None,
    limit_worker_concurrency: Concurrency = 5,
    max_waiting: MaxWaiting = 20,
    conv_template: Annotated[str, typer.Option(help="Name under which the conversation template is given out.")] = "",
    no_register: Annotated[bool, typer.Option("--no-register", help="Do not register at a controller.")] = False,
    multi_modal: Annotated[
        bool, typer.Option("--multi-modal", hidden=True, help="Accepted as in LLaVA's commands; every model here sees.")
    ] = True,
    heart_beat_interval: Annotated[
        float, typer.Option(min=0.1, envvar="FASTCHAT_WORKER_HEART_BEAT_INTERVAL", help="Seconds between heartbeats.")
    ] = 45.0,
    log_level: LogLevel = "info",
) -> None:
    """Serve one model.

    Examples:

        llava-graph-serve worker --model-path ./checkpoint --controller http://localhost:21001

        llava-graph-serve worker --port 40001 --worker http://10.0.0.5:40001 --host 0.0.0.0 --model-names figures
    """
    from llava_graph.explain import Explainer
    from serve.engines.in_process import ExplainerEngine
    from serve.http.guard import worker_token
    from serve.http.servers import Server, address_of, bind, wait_for_signal
    from serve.worker.app import WorkerOptions, create_worker
    from serve.worker.heartbeat import Heartbeat

    set_up_logging(log_level)
    sock = bind(host, port)
    address = worker_address or address_of(sock)
    beat = None
    if not no_register:
        beat = Heartbeat(
            controller_address, address, token=worker_token(), interval=heart_beat_interval, multimodal=multi_modal
        )
    engine = ExplainerEngine(Explainer(model_path, device=device))
    options = WorkerOptions(
        model_names=names_in(model_names),
        limit_worker_concurrency=limit_worker_concurrency,
        max_waiting=max_waiting,
        conv_template=conv_template,
    )
    server = Server(create_worker(engine, options, heartbeat=beat), sock, "worker")
    server.start()
    print(f"worker at {server.url}", flush=True)
    wait_for_signal([server])


@app.command()
def web(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, envvar="PORT", help="Port; 0 takes a free one.")] = WEB_PORT,
    controller_url: Annotated[
        str, typer.Option("--controller-url", "--controller-address", "--controller", help="The controller to ask.")
    ] = f"http://127.0.0.1:{CONTROLLER_PORT}",
    model_list_mode: Annotated[
        ModelListMode, typer.Option(help="Look the models up once, or on every visit.")
    ] = "reload",
    concurrency_count: Annotated[int, typer.Option(min=1, help="Answers at once, for all visitors together.")] = 16,
    log_level: LogLevel = "info",
) -> None:
    """Show the web page.

    Example:

        llava-graph-serve web --controller http://localhost:21001 --port 7860
    """
    from serve.http.servers import Server, bind, wait_for_signal
    from serve.web import WebOptions, create_web

    set_up_logging(log_level)
    sock = bind(host, port)
    options = WebOptions(model_list_mode=model_list_mode, concurrency_count=concurrency_count)
    server = Server(create_web(controller_url, options), sock, "web page")
    server.start()
    print(server.url, flush=True)
    wait_for_signal([server])


@app.command("all")
def everything(
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, envvar="PORT", help="Port of the web page; 0 takes a free one.")
    ] = WEB_PORT,
    model_path: ModelPath = None,
    model_names: Annotated[
        str, typer.Option("--model-names", "--model-name", help="Names of the model, separated by commas.")
    ] = "",
    device: Device = None,
    limit_worker_concurrency: Concurrency = 2,
    max_waiting: MaxWaiting = 20,
    log_level: LogLevel = "warning",
) -> None:
    """Controller, worker and web page in one process; prints the controller's and the page's address when a model answers.

    Examples:

        llava-graph-serve all

        llava-graph-serve all --model-path ./checkpoint --port 8000
    """
    from serve.http.servers import wait_for_signal
    from serve.together import start_all
    from serve.worker.app import WorkerOptions

    set_up_logging(log_level)
    options = WorkerOptions(
        model_names=names_in(model_names), limit_worker_concurrency=limit_worker_concurrency, max_waiting=max_waiting
    )
    servers = start_all(host, port, model_path, device, options)
    print(f"controller at {servers[0].url}", flush=True)
    print(servers[-1].url, flush=True)
    wait_for_signal(servers)


@app.command()
def votes(
    log_dir: Annotated[Path, typer.Argument(help="The --log-dir of the web page, or a log of FastChat's.")],
    rounds: Annotated[int, typer.Option(min=10, help="Draws of the bootstrap that the intervals come from.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say what visitors think of the models: blind battles with ratings, votes on answers, and the reasons given.

    Example:

        llava-graph-serve votes ./log
    """
    import json

    from rich.console import Console

    from serve.feedback.report import report, tables
    from serve.feedback.votes import read_votes

    read = read_votes(log_dir)
    if as_json:
        print(json.dumps(report(read, rounds=rounds), indent=2))
    else:
        Console().print(tables(read, rounds=rounds))


def names_in(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def set_up_logging(level: str) -> None:
    """One log on stderr; the HTTP library's own lines only for debugging."""
    if level.lower() not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter("must be debug, info, warning or error", param_hint="--log-level")
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if level.lower() != "debug":
        logging.getLogger("httpx").setLevel(logging.WARNING)
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(not_cancelled)


def not_cancelled(record: logging.LogRecord) -> bool:
    """A page that is still open when the server ends is no error: uvicorn cancels it, and reports that as one."""
    text = record.getMessage()
    ended = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not ended and "timeout graceful shutdown exceeded" not in text


def main() -> None:
    """Entry point of the console script."""
    run(app)


if __name__ == "__main__":
    main()
