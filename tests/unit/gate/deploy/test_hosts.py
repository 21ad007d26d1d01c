"""Adapters go to this machine and to private networks; a name is asked at the addresses that were looked at."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
from yarl import URL

from smallfirst.errors import DeployError
from smallfirst.gate.deploy.hosts import Pinned, addresses_of, is_private


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "10.2.3.4", "172.16.0.1", "172.31.255.255", "192.168.1.9", "[fd12::5]"]
)
async def test_this_machine_and_private_networks_are_asked(host: str) -> None:
    found = await addresses_of(URL(f"http://{host}:8000/v1"), allow_public=False)
    assert [str(address) for address in found] == [host.strip("[]")]


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "172.32.0.1", "100.64.0.1", "[2001:4860::8888]", "[::ffff:8.8.8.8]"]
)
async def test_a_public_address_is_refused(host: str) -> None:
    with pytest.raises(DeployError, match="--allow-public"):
        await addresses_of(URL(f"https://{host}/v1"), allow_public=False)
    assert await addresses_of(URL(f"https://{host}/v1"), allow_public=True)
    with pytest.raises(DeployError, match="not encrypted"):
        await addresses_of(URL(f"http://{host}/v1"), allow_public=True)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fe80::1]", "0.0.0.0", "[::ffff:169.254.169.254]", "224.0.0.1"]
)
@pytest.mark.parametrize("allow_public", [False, True])
async def test_where_clouds_keep_their_secrets_nobody_is_asked(host: str, allow_public: bool) -> None:
    with pytest.raises(DeployError, match="no address that a server is asked at"):
        await addresses_of(URL(f"https://{host}/v1"), allow_public=allow_public)


async def test_every_address_of_a_name_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stands for a private and for a public address is refused: its owner chooses which is used."""
    answers(monkeypatch, "10.0.0.1", "93.184.216.34")
    with pytest.raises(DeployError, match=r"gpu.example \(93.184.216.34\)"):
        await addresses_of(URL("http://gpu.example:8000/v1"), allow_public=False)
    answers(monkeypatch, "10.0.0.1", "10.0.0.2")
    found = await addresses_of(URL("http://gpu.example:8000/v1"), allow_public=False)
    assert [str(address) for address in found] == ["10.0.0.1", "10.0.0.2"]


async def test_a_name_that_nobody_has() -> None:
    with pytest.raises(DeployError, match=r"nowhere\.invalid: no such host"):
        await addresses_of(URL("http://nowhere.invalid/v1"), allow_public=True)


async def test_the_name_means_what_it_meant() -> None:
    """Whatever it means by the time it is asked."""
    resolver = Pinned([ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("fd00::1")])
    found = await resolver.resolve("localhost", 8000)
    assert [(one["host"], one["family"], one["port"]) for one in found] == [
        ("10.0.0.1", socket.AF_INET, 8000),
        ("fd00::1", socket.AF_INET6, 8000),
    ]
    assert not is_private(ipaddress.ip_address("fe80::1"))


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 8000)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
