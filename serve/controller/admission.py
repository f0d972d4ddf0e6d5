"""Who may register a worker, and at which address. Text and IP addresses in, nothing or ServeError out.

A controller calls every address that a worker registers: a stranger's registration would make it call anything
(CVE-2024-10044, CVE-2024-9309, CVE-2026-85695). So the caller is checked, then the address as it is written, and then every IP
address behind it, once more at each connection (`WorkerBackend`), so that a name cannot change its meaning in between.
"""

import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpcore
import httpx

from llava_graph.errors import InputError, ServeError
from serve.http.addresses import Address
from serve.http.fetch import CheckedBackend, Resolve, resolve
from serve.http.tokens import check_worker, is_loopback
from serve.protocol.codes import ErrorCode

log = logging.getLogger(__name__)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
NEVER = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",
        "100.100.100.200/32",  # Alibaba's metadata service
        "168.63.129.16/32",  # Azure's host
        "169.254.0.0/16",  # link-local; metadata services of AWS, Azure, GCP
        "192.0.0.192/32",  # Oracle's metadata service
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fd00:ec2::254/128",  # AWS's metadata service
        "fe80::/10",
        "ff00::/8",
    )
)
"""No worker lives here."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class HostList:
    """Names (".example.org" stands for everything under it) and networks."""

    names: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "HostList":
        """Names, addresses and CIDR blocks, separated by commas. Raises InputError for a block that is none."""
        names, networks = [], []
        for word in filter(None, (word.strip().lower() for word in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(word.strip("[]")))
            except ValueError as error:
                if "/" in word or ":" in word:
                    raise InputError(f"{word!r} is no host and no network ({error})") from error
                names.append(word)
        return cls(tuple(names), tuple(networks))

    def __bool__(self) -> bool:
        return bool(self.names or self.networks)

    def has(self, host: str, address: Address | None = None) -> bool:
        """Whether it names `host` or holds its `address`; without one, the address that `host` itself is."""
        if any(host == name or (name.startswith(".") and host.endswith(name)) for name in self.names):
            return True
        address = address or literal(host)
        return address is not None and any(
            address.version == block.version and address in block for block in self.networks
        )


def tokenless_networks(text: str) -> HostList:
    """--allow-tokenless-from: networks alone, for a caller has an address and no name. Warns where it holds strangers.

    Raises InputError.
    """
    listed = HostList.parse(text)
    if listed.names:
        raise InputError(
            f"--allow-tokenless-from takes addresses and networks, got {listed.names[0]!r}",
            next_step="Write it as 10.0.0.5 or 10.0.0.0/24",
        )
    for network in listed.networks:
        if not network.is_private:
            log.warning("--allow-tokenless-from %s: strangers there can serve models and read what is asked", network)
    return listed


@dataclass(frozen=True, kw_only=True)
class Admission:
    """The operator's rules."""

    token: str = field(default="", repr=False)
    """The secret shared with the workers. Empty: only this machine's workers register."""
    worker_hosts: HostList = HostList()
    """Where workers may live; empty: anywhere."""
    tokenless_from: HostList = HostList()
    """Networks whose callers need no token, for themselves alone: FastChat's workers cannot send one."""

    def check(self, headers: Mapping[str, str], peer: str, address: str) -> None:
        """May this caller (its IP address: `peer`) register the worker at `address`? Raises ServeError 40101 to 40103."""
        host = host_of(address)
        if not self._needs_no_token(headers, peer, host):
            check_worker(headers, address, self.token)
        if is_loopback(host) and peer and not is_loopback(peer):
            raise refused(address, "a worker on another machine cannot be reached there", "Give it --worker-address")
        port = urlsplit(address).port
        if port is not None and port < 1024 and port not in (80, 443):
            raise refused(address, f"port {port} belongs to another service", "Workers listen on 80, 443 or above 1023")
        if (known := literal(host)) is not None or self.worker_hosts.has(host):
            self._check_place(address, host, known)

    async def check_resolved(self, address: str, resolver: Resolve = resolve) -> None:
        """The same for every IP address behind a name. A name that nobody knows is no error: nobody answers there."""
        try:
            await self.addresses(host_of(address), urlsplit(address).port or 80, resolver)
        except httpcore.ConnectError:
            return

    async def addresses(self, host: str, port: int, resolver: Resolve) -> list[Address]:
        """All IP addresses of a worker's host. Raises ServeError 40103 if one is refused, httpcore.ConnectError for none."""
        name = "localhost" if is_loopback(host) else host.lower()
        try:
            found = [ipaddress.ip_address(text.partition("%")[0]) for text in await resolver(host, port)]
        except (OSError, UnicodeError, ValueError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved") from error
        for address in found:
            self._check_place(host, name, address)
        return found

    def _check_place(self, where: str, host: str, address: Address | None) -> None:
        if address is not None and not may_live(address):
            raise refused(where, "no worker lives at such an address")
        if self.worker_hosts and not self.worker_hosts.has(host, address):
            raise refused(where, "workers of this host are not taken here", "Add it to the controller's --worker-hosts")

    def _needs_no_token(self, headers: Mapping[str, str], peer: str, host: str) -> bool:
        known = literal(peer)
        return (
            bool(self.token)
            and "authorization" not in headers
            and known is not None
            and self.tokenless_from.has("", known)
            and literal(host) == known
        )


def refused(where: str, what: str, next_step: str = "") -> ServeError:
    """An address that is not called."""
    return ServeError(what, code=ErrorCode.NO_PERMISSION, where=where, next_step=next_step)


def host_of(address: str) -> str:
    """The host of a worker's address, in one spelling; this machine's is "localhost"."""
    host = (urlsplit(address).hostname or "").lower().removesuffix(".")
    return "localhost" if is_loopback(host) else host


def literal(host: str) -> Address | None:
    """The IP address that `host` is; None for a name other than localhost."""
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError:
        return None


def may_live(address: Address) -> bool:
    """Whether a worker may be at an IP address: not link-local, not a cloud's metadata service, however it is written."""
    inner = address
    if isinstance(address, ipaddress.IPv6Address):
        embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None
        inner = address.ipv4_mapped or address.sixtofour or embedded or address
    return not any(inner.version == block.version and inner in block for block in NEVER)


class WorkerBackend(CheckedBackend):
    """Connects to a worker only at addresses that `admission` lets in."""

    def __init__(self, admission: Admission, resolver: Resolve = resolve) -> None:
        super().__init__(resolver, httpcore.AnyIOBackend())
        self._admission = admission

    async def public_addresses(self, host: str, port: int) -> list[Address]:
        """Those of the worker's host. Raises ServeError, httpcore.ConnectError."""
        return await self._admission.addresses(host, port, self._resolve)


class WorkerTransport(httpx.AsyncHTTPTransport):
    """How the controller reaches workers."""

    def __init__(self, admission: Admission, resolver: Resolve = resolve) -> None:
        super().__init__(trust_env=False)
        # httpx has no other place for a backend.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=None,
            max_keepalive_connections=20,
            network_backend=WorkerBackend(admission, resolver),
        )
