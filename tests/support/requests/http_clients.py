"""httpx in tests, whose servers speak plain HTTP on loopback."""

from __future__ import annotations

import functools
import ssl
from typing import Any

import httpx


def share_certificates() -> None:
    """Let all clients of this process share the certificate authorities that they trust.

    Each of them, and each call of ``httpx.get``, would read the whole list, which takes 30 ms.
    """
    for transport in (httpx.HTTPTransport, httpx.AsyncHTTPTransport):
        _share(transport)


def _share(transport: type[httpx.HTTPTransport | httpx.AsyncHTTPTransport]) -> None:
    init = transport.__init__

    @functools.wraps(init)
    def with_shared(self: Any, verify: Any = True, *arguments: Any, **options: Any) -> None:
        init(self, _authorities() if verify is True else verify, *arguments, **options)

    transport.__init__ = with_shared  # type: ignore[method-assign]


@functools.cache
def _authorities() -> ssl.SSLContext:
    return ssl.create_default_context()
