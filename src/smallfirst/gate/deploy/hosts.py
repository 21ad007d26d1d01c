"""Whom an adapter may be given to: a server on this machine or on a private network, at the address that was looked at."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from smallfirst.errors import DeployError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_PRIVATE = tuple(
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)  # RFC 1918, RFC 4193


async def addresses_of(url: URL, *, allow_public: bool) -> tuple[Address, ...]:
    """The host's addresses, each of which may be asked. Raises `DeployError`.

    A name that stands for a public address besides is refused: whoever answers for the name chooses which it is. Link-local addresses, where
    clouds keep their machines' secrets, are refused even with `allow_public`.
    """
    host = url.host or ""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeployError(
            f"{host}: no such host ({getattr(error, 'strerror', None) or type(error).__name__})"
        ) from error
    addresses = tuple(dict.fromkeys(_address(str(info[4][0])) for info in found))
    for address in addresses:
        _check(host, address, url, allow_public=allow_public)
    return addresses


def is_private(address: Address) -> bool:
    """Whether it is this machine's, or of a private network."""
    return address.is_loopback or any(address in network for network in _PRIVATE)


class Pinned(AbstractResolver):
    """Answers with the addresses that were looked at, whatever the name says by now."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Holds nothing."""


def _address(text: str) -> Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _check(host: str, address: Address, url: URL, *, allow_public: bool) -> None:
    shown = host if host == str(address) else f"{host} ({address})"
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise DeployError(f"{shown} is no address that a server is asked at")
    if is_private(address):
        return
    if not allow_public:
        raise DeployError(
            f"{shown} is neither this machine nor on a private network, and an adapter may hold what it was trained on. "
            "--allow-public deploys there all the same"
        )
    if url.scheme != "https":
        raise DeployError(f"{shown} is public and not encrypted: give its https:// address")
