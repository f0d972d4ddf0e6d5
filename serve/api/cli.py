"""`llava-graph-serve api`, and the options that `all` shares with it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llava_graph.errors import InputError
from serve.command import CONTROLLER_PORT, Host, LogLevel, names_in, server_address, set_up_logging

if TYPE_CHECKING:
    from serve.api import ApiKey, ApiOptions

API_PORT = 8000
"""FastChat's OpenAI server's, and vLLM's."""

ApiKeys = Annotated[
    Path | None,
    typer.Option(help="A file with one name:key a line (or name:sha256:HEX). LLAVA_GRAPH_API_KEYS holds keys too."),
]
AllowAnonymous = Annotated[
    bool, typer.Option("--allow-anonymous", help="Ask for no key although other machines can reach the server.")
]
RequestsPerMinute = Annotated[int | None, typer.Option(min=1, help="Of one key. Default: any number.")]
TokensPerMinute = Annotated[
    int | None, typer.Option(min=1, help="Of one key, prompts and answers together. Default: any number.")
]
CorsOrigin = Annotated[
    list[str] | None,
    typer.Option(
        "--cors-origin",
        "--allowed-origins",
        help="A web page's origin that may call, such as https://example.org; may stand several times. Default: none.",
    ),
]
AllowImageHosts = Annotated[
    str,
    typer.Option(
        help="Fetch images from these hosts only, by commas; .example.org is all under it. Default: any public."
    ),
]
NoImageUrls = Annotated[bool, typer.Option("--no-image-urls", help="Fetch no images: they come as data URIs only.")]
NoPapers = Annotated[bool, typer.Option("--no-papers", help="Open no papers for callers.")]
MaxBodyMb = Annotated[int, typer.Option(min=1, help="Megabytes of one request.")]


def api(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = API_PORT,
    controller_url: Annotated[
        str, typer.Option("--controller-address", "--controller-url", "--controller", help="The controller to ask.")
    ] = f"http://127.0.0.1:{CONTROLLER_PORT}",
    api_keys: ApiKeys = None,
    allow_anonymous: AllowAnonymous = False,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    cors_origin: CorsOrigin = None,
    allow_image_hosts: AllowImageHosts = "",
    no_image_urls: NoImageUrls = False,
    no_papers: NoPapers = False,
    max_body_mb: MaxBodyMb = 64,
    log_level: LogLevel = "info",
) -> None:
    """Answer OpenAI clients: /v1/chat/completions, /v1/models, /health, /metrics.

    A server that other machines can reach asks for a key: write them into a file or set LLAVA_GRAPH_API_KEYS.

    Examples:

        llava-graph-serve api --controller http://localhost:21001

        llava-graph-serve api --host 0.0.0.0 --api-keys keys.txt --requests-per-minute 60 --no-image-urls
    """
    from serve.api import configured_keys, create_api
    from serve.api.keys import keys_for
    from serve.http.servers import Server, bind, wait_for_signal
    from serve.papers import PaperShelf

    set_up_logging(log_level)
    controller_url = server_address(controller_url, "--controller-address")
    options = options_of(
        keys_for(host, configured_keys(api_keys), anonymous=allow_anonymous),
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        cors_origin=cors_origin,
        image_hosts=image_hosts(allow_image_hosts, no_urls=no_image_urls),
        max_body_mb=max_body_mb,
    )
    sock = bind(host, port)
    server = Server(create_api(controller_url, options, shelf=None if no_papers else PaperShelf()), sock, "API")
    server.start()
    print(f"{server.url}/v1", flush=True)
    wait_for_signal([server])


def options_of(
    keys: "tuple[ApiKey, ...] | None",
    *,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    cors_origin: list[str] | None,
    image_hosts: str | None,
    max_body_mb: int = 64,
) -> "ApiOptions":
    """What was said on the command line. `image_hosts` None: no image is fetched. Raises InputError."""
    from serve.api import ApiOptions
    from serve.http.fetch import FetchLimits

    return ApiOptions(
        keys=keys,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        allowed_origins=origins(cors_origin or []),
        fetch=None if image_hosts is None else FetchLimits(allowed_hosts=names_in(image_hosts)),
        max_body=max_body_mb * 2**20,
    )


def image_hosts(allowed: str, *, no_urls: bool) -> str | None:
    """Hosts that images are fetched from, by commas, "" for any public one; None: none is fetched. Raises InputError."""
    if allowed and no_urls:
        raise InputError(
            "--allow-image-hosts fetches images and --no-image-urls fetches none",
            next_step="Leave out the one or the other",
        )
    return None if no_urls else allowed


def origins(given: list[str]) -> tuple[str, ...]:
    """Origins one by one, or as FastChat's --allowed-origins takes them: a JSON list. Raises InputError."""
    found: list[str] = []
    for text in given:
        listed = [text]
        if text.lstrip().startswith("["):
            try:
                listed = json.loads(text)
            except ValueError as error:
                raise InputError(f"--allowed-origins {text[:80]!r} is no JSON list") from error
        found += [str(origin).rstrip("/") for origin in listed]
    for origin in found:
        if origin != "*" and not origin.startswith(("http://", "https://")):
            raise InputError(f"an origin is written https://example.org, got {origin[:80]!r}")
    return tuple(found)
