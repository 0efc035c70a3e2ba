from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from service.runtimes.triton.server_names import (
    ServerName,
    parse_server_name,
    resolve_host,
    resolve_now,
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("triton:8001", "triton", 8001),
        ("triton.models.svc.cluster.local:1", "triton.models.svc.cluster.local", 1),
        ("10.0.0.1:65535", "10.0.0.1", 65535),
        ("[fd00::1]:8001", "fd00::1", 8001),
    ],
)
def test_a_host_and_a_port_are_read_and_written_alike(text: str, host: str, port: int) -> None:
    name = parse_server_name(text)
    assert (name.host, name.port) == (host, port)
    assert str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        "triton",
        "triton:",
        ":8001",
        "triton:grpc",
        "triton:0",
        "triton:65536",
        "fd00::1:8001",
        "grpc://triton:8001",
        "[]:8001",
        "triton:٣",
    ],
)
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|no port"):
        parse_server_name(text)


def test_every_address_of_a_host_is_returned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        assert (host, port) == ("triton", 8001)
        tcp = socket.SOCK_STREAM
        return [
            (socket.AF_INET6, tcp, 6, "", ("fd00::1", 8001, 0, 0)),
            (socket.AF_INET, tcp, 6, "", ("10.0.0.1", 8001)),
            (socket.AF_INET, tcp, 6, "", ("10.0.0.2", 8001)),
            (socket.AF_INET, tcp, 6, "", ("10.0.0.1", 8001)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    expected = ["fd00::1", "10.0.0.1", "10.0.0.2"]
    assert resolve_now(ServerName("triton", 8001)) == expected
    assert asyncio.run(resolve_host("triton", 8001)) == expected


def test_an_address_resolves_to_itself() -> None:
    assert asyncio.run(resolve_host("127.0.0.1", 8001)) == ["127.0.0.1"]
