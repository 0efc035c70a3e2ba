"""What a request's head must be, beyond what uvicorn's parser asks for, and answers to bad ones.

Whatever two readers of a message could understand differently (its host, where its body ends) is
refused: a proxy in front may be the other reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from pydantic_core import to_json

_VERSIONS = ("1.0", "1.1")


def problem_answer(status: HTTPStatus, detail: str) -> bytes:
    """Return a whole answer of a problem document, after which the connection is closed."""
    body = to_json(
        {"title": status.phrase, "status": int(status), "detail": detail, "error": detail}
    )
    head = (
        f"HTTP/1.1 {int(status)} {status.phrase}\r\n"
        "content-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body


def fault_of_head(version: str, method: bytes, headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return why a head is refused; empty if it is not.

    Args:
        version: The version of HTTP.
        method: The method.
        headers: The headers, with names in lower case.
    """
    if version not in _VERSIONS:
        return f"HTTP/{version} is not served; HTTP/1.1 is"
    if method == b"CONNECT":
        return "this is no proxy: CONNECT is not served"
    hosts = codings = 0
    coding = b""
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            codings += 1
            coding = value
    # https://www.rfc-editor.org/rfc/rfc9112#section-3.2
    if hosts > 1 or (hosts == 0 and version != "1.0"):
        return f"expected one Host header, got {hosts}"
    if codings and (codings > 1 or version == "1.0" or coding.strip().lower() != b"chunked"):
        return "expected Transfer-Encoding: chunked alone, or a Content-Length"
    return ""


def head_of_body(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a head that is followed by the same body as the given one, and says nothing else."""
    framing = (b"content-length", b"transfer-encoding")
    lines = [b"%s: %s\r\n" % header for header in headers if header[0] in framing]
    return b"POST / HTTP/1.1\r\nhost: x\r\n%s\r\n" % b"".join(lines)
