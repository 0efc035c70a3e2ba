"""Where webhooks may go: to hosts that are allowed, at addresses that are looked at.

A caller names an address to which the gateway then sends, from inside of the operator's network. So
a host must be listed; its address must be a public one, or in a network that is listed; the
connection is made to the very address that was looked at; and redirects are not followed.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from omnivec2.errors import ArtifactError, ForbiddenError, InvalidParameterError
from service.jobs.job import WEBHOOK_HEADER

_LONGEST_URL = 2048
_PORTS = {"https": 443, "http": 80}

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses that a gateway translates into the IPv4 address of their last four bytes (RFC 6052)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Target:
    """An address that a webhook goes to.

    Attributes:
        scheme: The scheme: ``https``, or ``http`` for a host on the loopback interface.
        host: The name of the host.
        port: The port.
        path: The path with its query.
    """

    scheme: str
    host: str
    port: int
    path: str


class WebhookRules:
    """The hosts that may be told of the end of jobs.

    Args:
        allowed: The names of hosts, addresses, and networks in which listed hosts may be.

    Raises:
        ArtifactError: One of them is neither.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._hosts: set[str] = set()
        self._networks: list[Network] = []
        for name in allowed:
            if "/" in name:
                try:
                    self._networks.append(ipaddress.ip_network(name))
                except ValueError as error:
                    raise ArtifactError(
                        f"OMNIVEC2_JOBS_WEBHOOK_HOSTS: {name} is no network such as 10.0.0.0/8"
                    ) from error
            else:
                self._hosts.add(name.lower().strip("[]"))

    def check(self, url: str) -> Target:
        """Return the target of an address.

        Raises:
            InvalidParameterError: It is no address of the kind that is expected.
            ForbiddenError: Its host is not allowed.
        """
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            parts, host, port = urlsplit(""), "", None
        is_plain = url.isascii() and url.isprintable() and " " not in url
        if not (host and is_plain and parts.scheme in _PORTS and len(url) <= _LONGEST_URL):
            raise _invalid("expected an address such as https://hooks.example/jobs")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise _invalid("expected an address without a user, a password and a fragment")
        if host not in self._hosts:
            raise ForbiddenError(
                f"{WEBHOOK_HEADER}: webhooks may not go to {host}; the hosts that are allowed are"
                " those of OMNIVEC2_JOBS_WEBHOOK_HOSTS"
            )
        if parts.scheme == "http" and not _is_loopback_name(host):
            raise _invalid(
                "expected https://; only a host on the loopback interface may do without"
            )
        query = f"?{parts.query}" if parts.query else ""
        return Target(parts.scheme, host, port or _PORTS[parts.scheme], (parts.path or "/") + query)

    def resolve(self, target: Target) -> str:
        """Return the address to connect to. It looks names up, so not in the event loop.

        Raises:
            ForbiddenError: One of the addresses of the host is not allowed.
            OSError: The host is not known.
        """
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        for address in addresses:
            if not self._is_allowed(address, target.host):
                raise ForbiddenError(
                    f"{target.host} is at {address}, which is no public address; list its network"
                    " in OMNIVEC2_JOBS_WEBHOOK_HOSTS if webhooks may go there"
                )
        return str(addresses[0])

    def _is_allowed(self, address: Address, host: str) -> bool:
        plain = _address_behind(address)
        if plain.is_loopback:
            return _is_loopback_name(host)
        if any(plain in network for network in self._networks):
            return True
        return plain.is_global and not plain.is_multicast


def _address_behind(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to; the address itself if to none."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


def _is_loopback_name(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _invalid(message: str) -> InvalidParameterError:
    return InvalidParameterError(f"{WEBHOOK_HEADER}: {message}", field=WEBHOOK_HEADER)
