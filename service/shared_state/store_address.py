"""The address of a store: which forms it may have, and what may be shown of it."""

from __future__ import annotations

from urllib.parse import urlsplit

from omnivec2.errors import ArtifactError

_SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "unix": "unix",
    "valkey": "redis",
    "valkeys": "rediss",
}
"""Schemes of addresses -> those that the client knows."""


def client_url(url: str) -> str:
    """Return the address in the form that the client takes.

    Args:
        url: An address: ``redis://[[user]:password@]host[:port][/database]``; ``rediss://``
            encrypts, and ``valkey://``, ``valkeys://`` mean the same. ``unix://path?db=0`` is a
            socket.

    Raises:
        ArtifactError: It is none of these; the message does not show passwords.
    """
    try:
        parts = urlsplit(url.strip())
        place = parts.path if parts.scheme == "unix" else parts.hostname
        _ = parts.port  # out of range, or no number: a ValueError
    except ValueError:
        parts, place = urlsplit(""), None
    if parts.scheme not in _SCHEMES or not place:
        raise ArtifactError(
            "OMNIVEC2_SHARED_STATE_URL: expected redis://host:6379/0, rediss:// for TLS, or"
            " unix:///path/of/socket"
        )
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not database.isdecimal():
        raise ArtifactError(
            "OMNIVEC2_SHARED_STATE_URL: expected the number of a database after the port, as in"
            " redis://host:6379/0"
        )
    return f"{_SCHEMES[parts.scheme]}:{url.strip().partition(':')[2]}"


def shown_address(url: str) -> str:
    """Return the part of an address that may be logged: without user, password and options."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or 6379}{parts.path.rstrip('/')}"
