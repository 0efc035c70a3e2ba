"""Hosts: requests must be addressed to a name that is this service's.

A page on the web can have its own name resolve to 127.0.0.1 (DNS rebinding) and then talk to
whatever listens there as if it were its own server. What gives it away is the name in ``Host``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import problem
from service.http.raw_headers import header_text
from service.settings import Settings

ANY = "*"

LOCAL = "<local>"
"""Stands for all names without a dot, such as those of containers: no name server of the internet
answers for them."""

_LOOPBACK_NAMES = ("*.localhost", LOCAL)
"""Names that browsers resolve to loopback addresses themselves (RFC 6761), and local ones."""

_KNOWN_HOSTS = 64
"""The hosts whose check is remembered."""


def allowed_hosts(settings: Settings) -> tuple[str, ...]:
    """Return the names that requests may be addressed to; ``*`` stands for any.

    By default these are loopback and local names where only this machine can call, and needs no
    key. A key is what a rebound page does not have, and other machines call by names that are not
    known here.
    """
    if settings.allowed_hosts:
        return settings.allowed_hosts
    if settings.api_keys_file is None and _is_loopback(settings.host):
        return _LOOPBACK_NAMES
    return (ANY,)


class AllowedHostsMiddleware:
    """Middleware that refuses requests to foreign names with 421.

    Addresses in numbers are always allowed: nobody's name has to resolve to one. So are requests
    without ``Host``, which no browser sends.

    Args:
        app: The application that it wraps.
        hosts: The names; ``*.example.com`` stands for all below ``example.com``, and ``LOCAL`` for
            all without a dot.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self.app = app
        self._hosts = tuple(host.lower().rstrip(".") for host in hosts)
        self._known: dict[str, bool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        host = header_text(scope, b"host")
        if host is None or self._knows(host):
            await self.app(scope, receive, send)
            return
        name = host[:80]
        response = problem(
            Request(scope),
            HTTPStatus.MISDIRECTED_REQUEST,
            HTTPStatus.MISDIRECTED_REQUEST.phrase,
            f"requests to the host {name!r} are not answered here; to allow it, name it in "
            "OMNIVEC2_ALLOWED_HOSTS",
        )
        await response(scope, receive, send)

    def _knows(self, host: str) -> bool:
        known = self._known.get(host)
        if known is None:
            known = self._is_allowed(host)
            if len(self._known) >= _KNOWN_HOSTS:
                self._known.clear()
            self._known[host] = known
        return known

    def _is_allowed(self, host: str) -> bool:
        name = _name_of(host)
        if name is None or _is_address(name):
            return name is not None
        return any(
            name == allowed
            or (allowed == LOCAL and "." not in name)
            or (allowed.startswith("*.") and name.endswith(allowed[1:]))
            for allowed in self._hosts
        )


def _name_of(host: str) -> str | None:
    """Return the name or address of a ``Host`` header, without its port; None if it has none."""
    name, colon, port = host.strip().lower().rpartition(":")
    if not colon or "]" in port:
        name, port = host.strip().lower(), ""
    if port and not (port.isascii() and port.isdigit()):
        return None
    return name.rstrip(".") or None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
