"""What the serving commands share: options with one meaning, one log, names in a list."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from llava_graph.errors import InputError, ServeError
from serve.protocol.workers import worker_address

CONTROLLER_PORT, WORKER_PORT, WEB_PORT = 21001, 21002, 7860
"""FastChat's and gradio's."""

Host = Annotated[str, typer.Option(help="Address to listen on. The default is reached from this machine only.")]
ModelPath = Annotated[
    Path | None,
    typer.Option(
        help="A checkpoint folder or owner/name on the hub. Default: packaged. With --upstream: the folder that the "
        "server has loaded; its config.json says how the model is prompted."
    ),
]
ModelNames = Annotated[
    str, typer.Option("--model-names", "--model-name", help="Names of the model, separated by commas.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, … Default: the GPU if there is one.")]
ModelBase = Annotated[
    Path | None,
    typer.Option(help="The model under an adapter (LoRA) in --model-path. Default: the one that the adapter names."),
]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"] | None,
    typer.Option(help="Type of the weights. Default: float32 on a CPU, the checkpoint's own elsewhere."),
]
Load8bit = Annotated[bool, typer.Option("--load-8bit", help="The language model's weights in 8 bits (bitsandbytes).")]
Load4bit = Annotated[bool, typer.Option("--load-4bit", help="The language model's weights in 4 bits (bitsandbytes).")]
MaxBatchSize = Annotated[
    int,
    typer.Option(
        "--max-batch-size",
        "--limit-worker-concurrency",
        "--limit-model-concurrency",
        min=1,
        help="Answers written at once.",
    ),
]
MaxBatchTokens = Annotated[
    int,
    typer.Option(
        min=0, help="Tokens in memory: answers at once times the longest, with its prompt. Default: what is free takes."
    ),
]
Upstream = Annotated[
    str,
    typer.Option(
        help="An OpenAI-compatible server that answers instead (vLLM, SGLang, llama.cpp, Ollama, a hosted model): its "
        "address, which ends in /v1. Its key, if it wants one: LLAVA_GRAPH_UPSTREAM_KEY."
    ),
]
UpstreamModel = Annotated[str, typer.Option(help="The model's name there. Default: its only one.")]
UpstreamTimeout = Annotated[
    float, typer.Option(min=1, help="Seconds without a byte from there after which an answer has failed.")
]
UpstreamWait = Annotated[
    float, typer.Option(min=0, help="Seconds to wait at the start until the model there has loaded.")
]
ContextLength = Annotated[
    int,
    typer.Option(
        min=0, help="With --upstream: tokens, prompt and answer together. Default: what the server there says."
    ),
]
QueueTimeout = Annotated[float, typer.Option(min=1, help="Seconds that a request waits for its turn.")]
MaxWaiting = Annotated[int, typer.Option(min=0, help="Requests that may wait; the next one hears 'busy'.")]
LogDir = Annotated[
    Path | None,
    typer.Option(
        help="Keep conversations and votes of visitors who agree there, in FastChat's format. Default: nothing is kept."
    ),
]
LogVisitors = Annotated[
    bool, typer.Option("--log-visitors", help="Tell visitors apart in that log, by a salted hash of their address.")
]
PapersCache = Annotated[
    Path | None,
    typer.Option(help="Folder that keeps opened papers. Default: the platform's cache folder."),
]
PapersCacheMb = Annotated[
    int, typer.Option(min=10, help="Megabytes that it may hold; the least recently used papers go first.")
]
ArxivContact = Annotated[
    str, typer.Option(help="An e-mail address for arXiv to write to, sent with every request to it.")
]
TableModel = Annotated[
    str,
    typer.Option(help="Served model that reads charts as tables (DePlot, …); the page then shows the chart's data."),
]
Medical = Annotated[
    bool, typer.Option("--medical", help="Say on the page at all times that this is no medical device.")
]
LogLevel = Annotated[str, typer.Option(help="debug, info, warning or error.")]


def names_in(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def server_address(text: str, option: str) -> str:
    """`text` if it is the address of a server of ours. Raises InputError that names the option."""
    try:
        return worker_address(text)
    except ServeError as error:
        raise InputError(
            f"{option} must be an address such as http://127.0.0.1:{CONTROLLER_PORT}, got {text[:80]!r}"
        ) from error


def kept_log(log_dir: Path | None, *, visitors: bool) -> None:
    """Raises InputError for --log-visitors where nothing is kept."""
    if visitors and log_dir is None:
        raise InputError("--log-visitors tells visitors apart in a log that is not kept", next_step="Give a --log-dir")


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
