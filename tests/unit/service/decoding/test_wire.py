"""Messages between gateway and decoder keep their values, and nothing else gets through."""

from __future__ import annotations

import gc
import json
import socket
import struct
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from service.decoding.wire import WireError, receive, send

MOST = 2**20


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def exchange(pair: tuple[socket.socket, socket.socket], message: dict[str, Any]) -> dict[str, Any]:
    thread = threading.Thread(target=send, args=(pair[0], message))
    thread.start()
    received = receive(pair[1], 64 * MOST)
    thread.join()
    return received


def test_values_come_back_as_they_were(pair: tuple[socket.socket, socket.socket]) -> None:
    arrays: dict[str, np.ndarray] = {
        "large": np.random.default_rng(0).standard_normal((300, 1000)),
        "empty": np.zeros((0, 3), np.int16),
        "scalar": np.array(2.5, np.float32),
        "flags": np.array([[True], [False]]),
        "strided": np.arange(12)[::3],
    }
    message = {"arrays": arrays, "size": (3, (4, 5)), "data": b"\x00\xff", "number": np.int64(3)}
    received = exchange(pair, {**message, "none": None, "list": [1.5, "ü"]})
    assert received["size"] == (3, (4, 5))
    assert received["data"] == b"\x00\xff"
    assert (received["number"], received["none"], received["list"]) == (3, None, [1.5, "ü"])
    for name, array in arrays.items():
        assert received["arrays"][name].dtype == array.dtype
        np.testing.assert_array_equal(received["arrays"][name], array)


def test_what_was_sent_is_not_kept(pair: tuple[socket.socket, socket.socket]) -> None:
    array = np.zeros(2**16)
    freed = weakref.ref(array)
    gc.disable()  # of what refers to itself, it alone would free the memory, and much later
    try:
        exchange(pair, {"arrays": [array], "data": b"x"})
        del array
        assert freed() is None
    finally:
        gc.enable()


def framed(value: Any) -> bytes:
    text = json.dumps(value).encode()
    return struct.pack("<I", len(text)) + text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xff\xff\xff",
        framed([]),
        framed({"value": {}}),
        framed({"value": 1, "parts": []}),
        framed({"value": {"$part": 3}, "parts": []}),
        framed({"value": {}, "parts": [{"dtype": "|O", "shape": [1]}]}),
        framed({"value": {}, "parts": [{"dtype": "<U9", "shape": [1]}]}),
        framed({"value": {}, "parts": [{"dtype": "<f8", "shape": [-1, -1]}]}),
        framed({"value": {}, "parts": [{"dtype": "<f8", "shape": [2**40]}]}),
        framed({"value": {}, "parts": [{"nbytes": -1}]}),
        framed({"value": {}, "parts": [{"nbytes": 2**60}]}),
    ],
)
def test_what_is_no_message_is_refused(
    pair: tuple[socket.socket, socket.socket], data: bytes
) -> None:
    pair[0].sendall(data)
    pair[0].shutdown(socket.SHUT_WR)
    with pytest.raises(WireError):
        receive(pair[1], MOST)
