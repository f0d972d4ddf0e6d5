"""`llava-graph-serve controller | worker | web | api | all | votes`, with the flags that FastChat's and LLaVA's commands have."""

from typing import Annotated, Literal

import typer

from llava_graph.command import run
from serve.api.cli import (
    AllowAnonymous,
    AllowImageHosts,
    ApiKeys,
    CorsOrigin,
    NoImageUrls,
    RequestsPerMinute,
    TokensPerMinute,
    api,
    image_hosts,
    options_of,
)
from serve.command import (
    CONTROLLER_PORT,
    WEB_PORT,
    ArxivContact,
    ContextLength,
    Device,
    Dtype,
    Host,
    Load4bit,
    Load8bit,
    LogDir,
    LogLevel,
    LogVisitors,
    MaxBatchSize,
    MaxBatchTokens,
    MaxWaiting,
    Medical,
    ModelBase,
    ModelNames,
    ModelPath,
    PapersCache,
    PapersCacheMb,
    TableModel,
    Upstream,
    UpstreamModel,
    UpstreamTimeout,
    UpstreamWait,
    kept_log,
    names_in,
    server_address,
    set_up_logging,
)
from serve.controller.cli import controller
from serve.feedback.cli import votes
from serve.worker.cli import worker

ModelListMode = Literal["once", "reload"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Serve a model: the controller, workers, the web page and the API, or all of them at once.",
)
app.command()(controller)
app.command()(worker)
app.command()(api)


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
    papers_cache: PapersCache = None,
    papers_cache_mb: PapersCacheMb = 2000,
    arxiv_contact: ArxivContact = "",
    medical: Medical = False,
    table_model: TableModel = "",
    log_dir: LogDir = None,
    log_visitors: LogVisitors = False,
    log_level: LogLevel = "info",
) -> None:
    """Show the web page.

    Examples:

        llava-graph-serve web --controller http://localhost:21001 --port 7860

        llava-graph-serve web --log-dir ./log   # keeps conversations of visitors who agree, and their votes
    """
    from serve.http.servers import Server, bind, wait_for_signal
    from serve.papers.options import shelf_options
    from serve.web import WebOptions, create_web

    set_up_logging(log_level)
    kept_log(log_dir, visitors=log_visitors)
    controller_url = server_address(controller_url, "--controller-url")
    sock = bind(host, port)
    options = WebOptions(
        model_list_mode=model_list_mode,
        concurrency_count=concurrency_count,
        papers=shelf_options(papers_cache, papers_cache_mb, arxiv_contact),
        medical=medical,
        table_model=table_model,
        log_dir=log_dir,
        log_visitors=log_visitors,
    )
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
    max_batch_size: MaxBatchSize = 16,
    max_batch_tokens: MaxBatchTokens = 0,
    max_waiting: MaxWaiting = 64,
    papers_cache: PapersCache = None,
    papers_cache_mb: PapersCacheMb = 2000,
    arxiv_contact: ArxivContact = "",
    medical: Medical = False,
    table_model: TableModel = "",
    log_dir: LogDir = None,
    log_visitors: LogVisitors = False,
    api_keys: ApiKeys = None,
    allow_anonymous: AllowAnonymous = False,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    cors_origin: CorsOrigin = None,
    allow_image_hosts: AllowImageHosts = "",
    no_image_urls: NoImageUrls = False,
    log_level: LogLevel = "warning",
) -> None:
    """Controller, worker, web page and API in one process; prints the controller's and the page's address when a model answers.

    The API is under the page's address: /v1, /health, /metrics. Where other machines reach it, it asks for a key.

    Examples:

        llava-graph-serve all

        llava-graph-serve all --model-path ./checkpoint --port 8000

        llava-graph-serve all --host 0.0.0.0 --api-keys keys.txt

        llava-graph-serve all --upstream http://localhost:8000/v1 --max-batch-size 64
    """
    from serve.api.keys import keys_beside_page
    from serve.engines.batching.limits import Limits
    from serve.engines.opening import EngineChoice, bits_of
    from serve.engines.upstream.discovery import upstream_options
    from serve.http.servers import wait_for_signal
    from serve.papers.options import shelf_options
    from serve.together import start_all
    from serve.web import WebOptions
    from serve.worker.answering import WorkerOptions

    set_up_logging(log_level)
    kept_log(log_dir, visitors=log_visitors)
    options = WorkerOptions(model_names=names_in(model_names))
    choice = EngineChoice(
        model_path=model_path,
        model_base=model_base,
        device=device,
        dtype=dtype,
        bits=bits_of(load_8bit=load_8bit, load_4bit=load_4bit),
        upstream=upstream_options(upstream, upstream_model, context_length, upstream_timeout),
        upstream_wait_s=upstream_wait,
        limits=Limits(max_batch_size=max_batch_size, max_batch_tokens=max_batch_tokens, max_waiting=max_waiting),
    )
    api_options = options_of(
        keys_beside_page(host, api_keys, anonymous=allow_anonymous),
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        cors_origin=cors_origin,
        image_hosts=image_hosts(allow_image_hosts, no_urls=no_image_urls),
    )
    papers = shelf_options(papers_cache, papers_cache_mb, arxiv_contact)
    web_options = WebOptions(
        papers=papers, medical=medical, table_model=table_model, log_dir=log_dir, log_visitors=log_visitors
    )
    servers = start_all(host, port, choice, options, web=web_options, api=api_options)
    print(f"controller at {servers[0].url}", flush=True)
    print(servers[-1].url, flush=True)
    wait_for_signal(servers)


app.command()(votes)


def main() -> None:
    """Entry point of the console script."""
    run(app)


if __name__ == "__main__":
    main()
