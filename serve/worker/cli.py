"""`llava-graph-serve worker`: a checkpoint in this process, or a model on an OpenAI-compatible server."""

from typing import Annotated
from urllib.parse import urlsplit

import typer

from serve.command import (
    CONTROLLER_PORT,
    WORKER_PORT,
    ContextLength,
    Device,
    Dtype,
    Host,
    Load4bit,
    Load8bit,
    LogLevel,
    MaxBatchTokens,
    MaxWaiting,
    ModelBase,
    ModelNames,
    ModelPath,
    QueueTimeout,
    Upstream,
    UpstreamModel,
    UpstreamTimeout,
    UpstreamWait,
    names_in,
    server_address,
    set_up_logging,
)

IN_PROCESS, UPSTREAM = 16, 32
"""Answers at once: `Limits`' default, and what one vLLM on one GPU takes with ease."""


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
    model_names: ModelNames = "",
    model_base: ModelBase = None,
    device: Device = None,
    dtype: Dtype = None,
    load_8bit: Load8bit = False,
    load_4bit: Load4bit = False,
    upstream: Upstream = "",
    upstream_model: UpstreamModel = "",
    upstream_timeout: UpstreamTimeout = 90.0,
    upstream_wait: UpstreamWait = 900.0,
    context_length: ContextLength = 0,
    limit_worker_concurrency: Annotated[
        int | None,
        typer.Option(
            "--max-batch-size",
            "--limit-worker-concurrency",
            "--limit-model-concurrency",
            min=1,
            help=f"Answers written at once. Default: {IN_PROCESS}, with --upstream {UPSTREAM}.",
        ),
    ] = None,
    max_batch_tokens: MaxBatchTokens = 0,
    max_waiting: MaxWaiting = 64,
    queue_timeout: QueueTimeout = 90.0,
    conv_template: Annotated[str, typer.Option(help="Name under which the conversation template is given out.")] = "",
    no_register: Annotated[bool, typer.Option("--no-register", help="Do not register at a controller.")] = False,
    multi_modal: Annotated[
        bool, typer.Option("--multi-modal", hidden=True, help="Accepted as in LLaVA's commands; every model here sees.")
    ] = True,
    heart_beat_interval: Annotated[
        float,
        typer.Option(
            min=0.1,
            envvar="FASTCHAT_WORKER_HEART_BEAT_INTERVAL",
            help="Seconds between heartbeats, at most; a controller of ours hears one every 3 s.",
        ),
    ] = 45.0,
    log_level: LogLevel = "info",
) -> None:
    """Serve one model.

    Examples:

        llava-graph-serve worker --model-path ./checkpoint --controller http://localhost:21001

        llava-graph-serve worker --model-path ./llava-7b --load-4bit --max-batch-size 8

        llava-graph-serve worker --port 40001 --worker http://10.0.0.5:40001 --host 0.0.0.0 --model-names figures

        llava-graph-serve worker --upstream http://localhost:8000/v1 --upstream-model Qwen/Qwen3-VL-8B-Instruct
    """
    from serve.engines.batching.limits import Limits
    from serve.engines.opening import EngineChoice, bits_of, open_engine
    from serve.engines.upstream.discovery import upstream_options
    from serve.http.servers import Server, address_of, bind, wait_for_signal
    from serve.http.tokens import require_long_token, worker_token
    from serve.worker.answering import WorkerOptions
    from serve.worker.app import create_worker
    from serve.worker.heartbeat import Heartbeat

    set_up_logging(log_level)
    options = WorkerOptions(model_names=names_in(model_names), conv_template=conv_template)
    token, controller_address = worker_token(), server_address(controller_address, "--controller-address")
    require_long_token([host, urlsplit(controller_address).hostname or ""], token)
    own = server_address(worker_address, "--worker-address") if worker_address else ""
    limit = limit_worker_concurrency or (UPSTREAM if upstream else IN_PROCESS)
    choice = EngineChoice(
        model_path=model_path,
        model_base=model_base,
        device=device,
        dtype=dtype,
        bits=bits_of(load_8bit=load_8bit, load_4bit=load_4bit),
        upstream=upstream_options(upstream, upstream_model, context_length, upstream_timeout),
        upstream_wait_s=upstream_wait,
        limits=Limits(
            max_batch_size=limit,
            max_batch_tokens=max_batch_tokens,
            max_waiting=max_waiting,
            max_queue_s=queue_timeout,
        ),
    )
    with bind(host, port) as sock:
        beat = None
        if not no_register:
            beat = Heartbeat(
                controller_address,
                own or address_of(sock),
                token=token,
                interval=heart_beat_interval,
                multimodal=multi_modal,
            )
        server = Server(create_worker(open_engine(choice), options, heartbeat=beat), sock, "worker")
        server.start()
        print(f"worker at {server.url}", flush=True)
        wait_for_signal([server])
