"""`llava-graph-serve controller`."""

from typing import Annotated, Literal

import typer

from llava_graph.errors import InputError
from serve.command import CONTROLLER_PORT, Host, LogLevel, set_up_logging
from serve.controller.registry import HEART_BEAT_EXPIRATION_S

DispatchMethod = Literal["lottery", "shortest_queue"]


def controller(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = CONTROLLER_PORT,
    dispatch_method: Annotated[DispatchMethod, typer.Option(help="How the next worker is chosen.")] = "shortest_queue",
    heart_beat_expiration: Annotated[
        float,
        typer.Option(
            envvar="FASTCHAT_CONTROLLER_HEART_BEAT_EXPIRATION",
            help="Seconds after which a silent worker is gone.",
        ),
    ] = HEART_BEAT_EXPIRATION_S,
    worker_hosts: Annotated[
        str,
        typer.Option(
            help="Where workers may live: names, addresses, networks (10.0.0.0/24), by commas. Default: anywhere."
        ),
    ] = "",
    replica_hosts: Annotated[
        str,
        typer.Option(
            help="Hosts that may serve a model together, written likewise. Otherwise a model's name belongs to the host "
            "whose worker serves it."
        ),
    ] = "",
    allow_tokenless_from: Annotated[
        str,
        typer.Option(
            help="Networks from which FastChat's workers, which cannot send a token, may register themselves. Whoever is "
            "there can serve a model under a new name."
        ),
    ] = "",
    log_level: LogLevel = "info",
) -> None:
    """Keep the list of workers and say who serves which model.

    Off this machine's loopback a worker needs a token to register: set LLAVA_GRAPH_WORKER_TOKEN for both.

    Examples:

        llava-graph-serve controller --port 21001

        LLAVA_GRAPH_WORKER_TOKEN=… llava-graph-serve controller --host 0.0.0.0 --worker-hosts 10.0.0.0/24 \\
            --replica-hosts 10.0.0.5,10.0.0.6
    """
    from serve.controller.admission import Admission, HostList, tokenless_networks
    from serve.controller.app import create_controller
    from serve.controller.membership import Probing
    from serve.controller.registry import Registry
    from serve.http.servers import Server, bind, wait_for_signal
    from serve.http.tokens import require_token_off_loopback, worker_token

    set_up_logging(log_level)
    round_s = Probing().every_s + Probing().timeout_s
    if heart_beat_expiration < round_s:
        raise InputError(
            f"--heart-beat-expiration {heart_beat_expiration:g} is shorter than the {round_s:g} s in which every worker is asked "
            "once: models would come and go"
        )
    require_token_off_loopback(host, worker_token())
    admission = Admission(
        token=worker_token(),
        worker_hosts=HostList.parse(worker_hosts),
        tokenless_from=tokenless_networks(allow_tokenless_from),
    )
    replicas = HostList.parse(replica_hosts)
    registry = Registry(dispatch_method, expire_after=heart_beat_expiration, replica_hosts=replicas)
    server = Server(create_controller(registry, admission=admission), bind(host, port), "controller")
    server.start()
    print(f"controller at {server.url}", flush=True)
    wait_for_signal([server])
