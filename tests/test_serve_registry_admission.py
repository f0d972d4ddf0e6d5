"""Who may register a worker, and where it may live: every address that a controller must never call."""

import asyncio
import ipaddress

import httpx
import pytest

from llava_graph.errors import InputError, ServeError
from serve.controller.admission import Admission, HostList, WorkerTransport, host_of, may_live
from serve.protocol.workers import worker_address
from tests.serving import ScriptedEngine, running_worker

TOKEN = {"authorization": "Bearer t"}


def check(address, *, peer="10.0.0.9", headers=TOKEN, **rules):
    Admission(**{"token": "t", **rules}).check(headers, peer, address)


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254",
        "http://169.254.169.254:8080/latest/meta-data",
        "http://[fe80::1]:21002",
        "http://[fd00:ec2::254]:8080",
        "http://[::ffff:169.254.169.254]:21002",
        "http://[64:ff9b::a9fe:a9fe]:21002",
        "http://[2002:a9fe:a9fe::1]:21002",
        "http://100.100.100.200:21002",
        "http://168.63.129.16:21002",
        "http://0.0.0.0:21002",
        "http://[::]:21002",
        "http://224.0.0.1:21002",
        "http://10.0.0.5:22",
        "http://10.0.0.5:25",
        "http://127.0.0.1:21002",
        "http://localhost:6379",
        "http://[::1]:21002",
    ],
)
def test_no_worker_lives_there_even_with_the_token(address):
    with pytest.raises(ServeError) as raised:
        check(worker_address(address))
    assert raised.value.code == 40103


@pytest.mark.parametrize(
    "address", ["http://10.0.0.5:21002", "https://gpu1.example.org", "http://[fd12::5]:21002", "http://w/under/a/path"]
)
def test_a_worker_of_the_own_network_is_taken(address):
    check(worker_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "http://user@10.0.0.5:21002",
        "http://u:p@10.0.0.5",
        "ftp://10.0.0.5",
        "http://10.0.0.5:21002?x=1",
        "http://a b",
        7,
        None,
    ],
)
def test_what_is_no_plain_address_is_refused(address):
    with pytest.raises(ServeError, match="must be the worker's address"):
        worker_address(address)


def test_workers_live_on_the_listed_hosts_only():
    rules = {"worker_hosts": HostList.parse("10.0.0.0/24, gpu1, .cluster.example")}
    for address in ("http://10.0.0.7:21002", "http://gpu1:21002", "http://GPU1.:21002", "http://a.cluster.example"):
        check(address, **rules)
    for address in ("http://10.0.1.7:21002", "http://[::ffff:10.0.0.7]:21002"):
        with pytest.raises(ServeError, match="--worker-hosts"):
            check(address, **rules)


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        (["10.0.0.7"], True),
        (["10.0.0.7", "169.254.169.254"], False),
        (["192.168.1.1"], False),
        (["::ffff:169.254.169.254"], False),
        ([], True),  # nobody answers there
    ],
)
def test_every_address_behind_a_name_is_checked(found, taken):
    async def resolver(host, port):
        return found

    admission = Admission(token="t", worker_hosts=HostList.parse("10.0.0.0/24"))
    asked = admission.check_resolved("http://elsewhere:21002", resolver)
    if taken:
        asyncio.run(asked)
    else:
        with pytest.raises(ServeError) as raised:
            asyncio.run(asked)
        assert raised.value.code == 40103


def test_a_name_that_changes_its_meaning_after_the_check_is_not_called():
    """DNS rebinding: the name was a worker's when it registered, and leads to a metadata service now."""

    async def rebound(host, port):
        return ["169.254.169.254"]

    async def call():
        async with httpx.AsyncClient(transport=WorkerTransport(Admission(token="t"), rebound)) as client:
            await client.post("http://gpu1:21002/worker_get_status", timeout=5)

    with pytest.raises(ServeError, match="no worker lives at such an address"):
        asyncio.run(call())


def test_a_name_is_called_at_the_address_that_was_checked():
    async def resolver(host, port):
        assert host == "gpu1"
        return ["127.0.0.1"]

    with running_worker(ScriptedEngine()) as worker:
        port = int(worker.url.rpartition(":")[2])

        async def call():
            async with httpx.AsyncClient(transport=WorkerTransport(Admission(), resolver)) as client:
                return (await client.post(f"http://gpu1:{port}/worker_get_status", timeout=5)).json()

        assert asyncio.run(call())["model_names"] == ["scripted"]


def test_a_host_that_nobody_knows_is_a_failed_connection():
    async def nobody(host, port):
        raise OSError("no such host")

    async def call():
        async with httpx.AsyncClient(transport=WorkerTransport(Admission(), nobody)) as client:
            await client.post("http://gone:21002/worker_get_status", timeout=5)

    with pytest.raises(httpx.ConnectError):
        asyncio.run(call())


def test_fastchats_workers_register_themselves_from_the_listed_networks_only():
    rules = {"headers": {}, "tokenless_from": HostList.parse("10.0.0.0/24")}
    check("http://10.0.0.9:21002", **rules)
    for address, peer in (
        ("http://10.0.0.5:21002", "10.0.0.9"),  # somebody else's address
        ("http://10.0.1.9:21002", "10.0.1.9"),  # another network
        ("http://gpu1:21002", "10.0.0.9"),  # a name
    ):
        with pytest.raises(ServeError, match="a worker needs the token"):
            check(address, peer=peer, **rules)
    with pytest.raises(ServeError, match="not the controller's"):
        check(
            "http://10.0.0.9:21002", headers={"authorization": "Bearer wrong"}, tokenless_from=rules["tokenless_from"]
        )


def test_without_a_token_only_this_machine_registers():
    check("http://127.0.0.1:21002", peer="127.0.0.1", headers={}, token="")
    with pytest.raises(ServeError, match="only workers on this machine"):
        check("http://10.0.0.9:21002", headers={}, token="", tokenless_from=HostList.parse("10.0.0.0/24"))


def test_lists_of_hosts_are_read_strictly():
    assert HostList.parse(" ,10.0.0.1, Gpu1,") == HostList(("gpu1",), (ipaddress.ip_network("10.0.0.1"),))
    assert not HostList.parse("")
    for text in ("10.0.0.1/24", "10.0.0.0/40", "::g"):
        with pytest.raises(InputError, match="is no host and no network"):
            HostList.parse(text)


def test_addresses_in_one_spelling():
    assert host_of("http://LocalHost:1") == host_of("http://127.0.0.53") == host_of("http://[::1]:3") == "localhost"
    assert host_of("https://GPU1.Example.org.:3/x") == "gpu1.example.org"
    assert may_live(ipaddress.ip_address("2001:db8::1"))
