"""Who may register a worker: one shared secret, or nobody but this machine. No server's package is needed to ask.

FastChat's controller believes any registration (CVE-2024-10044, CVE-2024-9309, CVE-2026-85695): a stranger can make it call
any address, or take over a model's name and read every prompt. Here a registration needs the shared token; without a token
only workers on this machine may register, and only while the controller itself listens on this machine.
"""

import hmac
import ipaddress
import os
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from llava_graph.errors import InputError, ServeError
from serve.protocol.codes import ErrorCode

TOKEN_VARIABLE = "LLAVA_GRAPH_WORKER_TOKEN"  # noqa: S105  (the name of the variable)


MIN_TOKEN_CHARS = 16
"""Of a secret that strangers can try to guess."""


def worker_token() -> str:
    """The shared secret from the environment; empty when there is none. Raises InputError for one that no header carries."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not (token.isascii() and token.isprintable()):
        raise InputError(
            f"{TOKEN_VARIABLE} holds a character that no HTTP header carries",
            next_step="Use ASCII letters and digits: openssl rand -hex 16",
        )
    return token


def bearer(token: str) -> dict[str, str]:
    """The header that carries `token`."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def check_worker(headers: Mapping[str, str], address: str, token: str) -> None:
    """May this caller register the worker at `address`? Raises ServeError 40101 / 40102 / 40103."""
    if not token:
        if not is_loopback(urlsplit(address).hostname or ""):
            raise ServeError(
                "without a token only workers on this machine may register",
                code=ErrorCode.NO_PERMISSION,
                where=address,
                next_step=f"Set {TOKEN_VARIABLE} to the same secret for the controller and its workers",
            )
        return
    given = headers.get("authorization", "")
    if not given:
        raise ServeError(
            "a worker needs the token",
            code=ErrorCode.INVALID_AUTH_KEY,
            next_step=f"Set {TOKEN_VARIABLE} for the worker",
        )
    if not hmac.compare_digest(given.encode(), bearer(token)["Authorization"].encode()):
        raise ServeError(
            "the worker's token is not the controller's",
            code=ErrorCode.INCORRECT_AUTH_KEY,
            next_step=f"Set {TOKEN_VARIABLE} to the same secret for both",
        )


def require_long_token(hosts: Iterable[str], token: str) -> None:
    """Where one of `hosts` is another machine's or reached from there, a token is no short word. Raises InputError."""
    away = [host for host in hosts if not is_loopback(host)]
    if token and away and len(token) < MIN_TOKEN_CHARS:
        raise InputError(
            f"{TOKEN_VARIABLE} has {len(token)} characters; with {away[0]}, which is not this machine alone, it needs at least "
            f"{MIN_TOKEN_CHARS}",
            next_step="Make one: openssl rand -hex 16",
        )


def require_token_off_loopback(host: str, token: str) -> None:
    """A controller that others can reach needs a token, and no short one. Raises InputError."""
    require_long_token([host], token)
    if not token and not is_loopback(host):
        raise InputError(
            f"a controller on {host} can be reached from other machines, and then registering a worker needs a token",
            next_step=f"Set {TOKEN_VARIABLE} to a secret (the same for its workers), or listen on 127.0.0.1",
        )


def is_loopback(host: str) -> bool:
    """True for localhost, 127.0.0.0/8 and ::1, by name alone: nothing is resolved."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
