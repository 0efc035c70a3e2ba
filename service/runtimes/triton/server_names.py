"""Names of Triton servers, and the addresses that they resolve to.

A name may have many addresses: a headless Service of Kubernetes has one per pod, a service of
Compose one per container. gRPC alone would connect to the first of them and stay there.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""A callback that returns the IP addresses of a host, given the host and a port."""


@dataclass(frozen=True)
class ServerName:
    """A host and a port; the host may have many addresses.

    Attributes:
        host: A DNS name or an IP address, without brackets.
        port: The port of each of its servers.
    """

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as ``host:port``, with brackets around an IPv6 address."""
        return join_address(self.host, self.port)


def parse_server_name(text: str) -> ServerName:
    """Read ``host:port``.

    Raises:
        ValueError: There is no port, or something that is neither a host nor a port.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not colon or not bare or (":" in bare and not bracketed) or "/" in bare:
        raise ValueError(f"{text!r} is not HOST:PORT, such as triton:8001 or [::1]:8001")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise ValueError(f"{text!r} has no port from 1 to 65535 after its colon")
    return ServerName(bare, int(port))


def join_address(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolve_host(host: str, port: int) -> list[str]:
    """Return all addresses of a host, IPv4 and IPv6, in the system's order.

    The system's resolver runs in a thread: it may wait for a name server for seconds.

    Raises:
        OSError: The name does not resolve.
    """
    loop = asyncio.get_running_loop()
    return _addresses(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def resolve_now(name: ServerName) -> list[str]:
    """Return all addresses of a name, and wait for the system's resolver.

    Raises:
        OSError: The name does not resolve.
    """
    return _addresses(socket.getaddrinfo(name.host, name.port, type=socket.SOCK_STREAM))


def _addresses(found: Sequence[tuple[object, ...]]) -> list[str]:
    """Return each address of a resolver's answer once."""
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))  # type: ignore[index]
