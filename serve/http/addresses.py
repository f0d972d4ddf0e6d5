"""Which URLs and which IP addresses a client may make us call: text in, a checked target out. Pure; nothing is resolved here.

A server that fetches for strangers is their way into its own network (LMDeploy CVE-2026-33626 and CVE-2026-63764, vLLM
GHSA-3f6c-7fw2-ppm4). The blocks are those of vLLM's list, IANA's special-purpose registries and every way of writing an IPv4
address inside an IPv6 one.
"""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

import httpx

from llava_graph.errors import FetchError

MAX_URL_CHARS = 4096
SCHEMES = {"http": 80, "https": 443}
"""Scheme -> its port."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

BLOCKED = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",  # this network, unspecified
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata service (100.100.100.200)
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host
        "169.254.0.0/16",  # link-local; metadata services of AWS, Azure, GCP, Oracle
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocol assignments; Oracle's metadata service (192.0.0.192)
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/96",  # unspecified, loopback, v4-compatible
        "::ffff:0:0/96",  # v4-mapped
        "::ffff:0:0:0/96",  # v4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",
        "100::/64",  # discard
        "2001::/23",  # protocol assignments; Teredo, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique local; AWS's metadata service (fd00:ec2::254)
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local
        "ff00::/8",  # multicast
    )
)


@dataclass(frozen=True)
class Target:
    """A URL that may be called, once its host's addresses are checked too."""

    scheme: str
    host: str
    """Lower case, without a final dot, ASCII (IDNA); an IPv6 address without brackets."""
    port: int
    path: str
    """Path and query, percent-encoded."""

    @property
    def url(self) -> str:
        """As it is called; the port stands in it only if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == SCHEMES[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def is_public(address: Address) -> bool:
    """Whether an address belongs to a host on the internet, and to nothing that stands near us."""
    blocked = any(address.version == block.version and address in block for block in BLOCKED)
    return address.is_global and not blocked and not address.is_multicast


def checked_url(url: str, *, ports: Collection[int] = (80, 443), hosts: Collection[str] = ()) -> Target:
    """A URL as a client wrote it -> what may be called.

    `hosts`: the only ones allowed, or any if empty; ".example.org" stands for everything under it. Raises FetchError with the
    reason "refused": not http(s), with a user or a password, another port, a host that is no public name or address.
    """
    if len(url) > MAX_URL_CHARS:
        raise refused(f"the URL has more than {MAX_URL_CHARS} characters")
    if re.search(r"[\x00-\x20\x7f-\x9f\\]", url):
        raise refused("the URL has spaces, control characters or backslashes in it")
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii").lower().removesuffix(".")
        port = parsed.port or SCHEMES.get(parsed.scheme, 0)
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise refused("the URL cannot be read") from error
    if parsed.scheme not in SCHEMES:
        raise refused("only http and https URLs are fetched", next_step="Or send the image itself, as a data URI")
    if parsed.userinfo or "@" in url.partition("://")[2].partition("/")[0]:
        raise refused("a URL with a user or a password is not fetched")
    if port not in ports:
        raise refused(f"port {port} is not fetched from", next_step=f"Ports: {', '.join(map(str, sorted(ports)))}")
    _check_host(host)
    if hosts and not any(_allows(allowed, host) for allowed in hosts):
        raise refused(f"images from {host} are not fetched here", next_step="The operator allows some hosts only")
    return Target(parsed.scheme, host, port, parsed.raw_path.decode("ascii"))


def not_public(host: str) -> FetchError:
    """The same words for a host that does not exist and one inside: what names a network has is not told."""
    return refused(f"{host} is no public host")


def refused(what: str, *, next_step: str = "") -> FetchError:
    """A URL that is not called."""
    return FetchError(what, reason="refused", where="image URL", next_step=next_step)


_NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A host name with a dot in it whose last label is no number: what inet_aton would read (127.1, 0x7f.1, 2130706433) is none."""
INSIDE = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".onion", ".test", ".invalid")
"""Names that mean something only near us, whatever they resolve to."""


def _check_host(host: str) -> None:
    """Raises FetchError unless `host` is the name of a host on the internet or a public address in its usual spelling."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if not _NAME.fullmatch(host) or host.endswith(INSIDE):
            raise not_public(host[:80]) from None
        return
    if getattr(address, "scope_id", None) or not is_public(address):
        raise not_public(host)


def _allows(allowed: str, host: str) -> bool:
    allowed = allowed.lower().strip().removesuffix(".")
    return host.endswith(allowed) if allowed.startswith(".") else host == allowed
