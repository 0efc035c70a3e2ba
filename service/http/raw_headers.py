"""Headers as ASGI has them: lists of pairs of bytes, whose names are in lower case.

Middleware sees every message. Starlette's classes search and encode anew at every access, which
costs more than all that the middleware does with what they find.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Message, Scope

RawHeader = tuple[bytes, bytes]


def request_header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first value of a header of a request, or None.

    Args:
        scope: The scope of the request.
        name: The name in lower case.
    """
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return None


def header_text(scope: Scope, name: bytes) -> str | None:
    """Return the first value of a header of a request as text, or None; see ``request_header``."""
    value = request_header(scope, name)
    return None if value is None else value.decode("latin-1")


def set_header(message: Message, name: bytes, value: bytes) -> None:
    """Set a header of a response, in the place of any of its name.

    Args:
        message: The message that starts the response.
        name: The name in lower case.
        value: The value.
    """
    headers = [header for header in message.get("headers", ()) if header[0] != name]
    headers.append((name, value))
    message["headers"] = headers


def add_headers(
    message: Message, always: Iterable[RawHeader], unless_set: Iterable[RawHeader]
) -> None:
    """Add headers to a response.

    Args:
        message: The message that starts the response.
        always: The headers that replace those of their names.
        unless_set: The headers that give way to those of their names.
    """
    always = list(always)
    own = {name for name, _ in always}
    headers = [header for header in message.get("headers", ()) if header[0] not in own]
    there = {header[0] for header in headers}
    headers += always
    headers += [header for header in unless_set if header[0] not in there]
    message["headers"] = headers
