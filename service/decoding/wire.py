"""Messages between the gateway and a decoder: JSON, and behind it the arrays and bytes it names.

::

    length of the JSON, 4 bytes │ JSON, with "$part": n in place of arrays and bytes │ parts
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from omnivec2.preprocess import Array

_LENGTH = struct.Struct("<I")
_MOST_JSON = 256 * 2**20
_KINDS = "biufc"
"""Kinds of numbers that an array may have; objects would have to be unpickled."""

_MOST_AXES = 32
_SMALL_BYTES = 2**17
"""Bytes that are copied faster than the other side is woken up."""


class WireError(Exception):
    """A message is not what it should be, or the other side is gone."""


def send(connection: socket.socket, message: Mapping[str, Any]) -> None:
    """Send a message of JSON values, tuples, bytes and arrays.

    Raises:
        OSError: The other side is gone, or did not take it in time.
    """
    send_encoded(connection, encode(message))


def encode(message: Mapping[str, Any]) -> list[memoryview | bytes]:
    """Return the pieces of a message as they are sent: its JSON, and the parts behind it.

    Raises:
        TypeError: It has a value that is none of JSON's types, no bytes and no array of numbers.
        ValueError: It holds itself.
        RecursionError: It is nested too deeply.
    """
    parts: list[memoryview | bytes] = []
    text = json.dumps(_outgoing(message, parts)).encode()
    return [_LENGTH.pack(len(text)) + text, *parts]


def send_encoded(connection: socket.socket, pieces: Sequence[memoryview | bytes]) -> None:
    """Send the pieces of an encoded message.

    Raises:
        OSError: The other side is gone, or did not take it in time.
    """
    if len(pieces) == 2 and len(pieces[1]) <= _SMALL_BYTES:
        # One call, so that the other side wakes up once.
        connection.sendall(b"".join(pieces))
        return
    for piece in pieces:
        connection.sendall(piece)


def receive(connection: socket.socket, most_bytes: int) -> dict[str, Any]:
    """Receive a message.

    Args:
        connection: The connection.
        most_bytes: The most bytes of its arrays; their memory is taken before they arrive.

    Raises:
        WireError: It is not a message, too large, or the other side is gone.
        OSError: It did not come in time.
    """
    (length,) = _LENGTH.unpack(_read(connection, _LENGTH.size))
    if length > _MOST_JSON:
        raise WireError(f"a message of {length:,} bytes")
    try:
        message = json.loads(bytes(_read(connection, length)))
        parts = [
            _receive_part(connection, declared, most_bytes) for declared in message.pop("parts")
        ]
        restored = _incoming(message["value"], parts)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise WireError(f"not a message: {error!r}") from error
    if not isinstance(restored, dict):
        raise WireError("not a message: no object")
    return restored


def _outgoing(message: Mapping[str, Any], parts: list[memoryview | bytes]) -> dict[str, Any]:
    declared: list[dict[str, Any]] = []
    converted = _convert(message, declared, parts)
    return {"value": converted, "parts": declared}


def _convert(value: Any, declared: list[dict[str, Any]], parts: list[memoryview | bytes]) -> Any:
    """Return a value as JSON, once its arrays and bytes are added to the parts.

    Not a function in a function: one that calls itself refers to itself, so that the parts, which
    are as large as inputs, would stay until the garbage collector looks for cycles.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            raise TypeError(f"an array of {value.dtype} cannot be sent; expected numbers")
        array = np.ascontiguousarray(value)
        declared.append({"dtype": array.dtype.str, "shape": array.shape})
        parts.append(array.reshape(-1).view(np.uint8).data)
        return {"$part": len(parts) - 1}
    if isinstance(value, bytes):
        declared.append({"nbytes": len(value)})
        parts.append(value)
        return {"$part": len(parts) - 1}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        return {"$tuple": [_convert(item, declared, parts) for item in value]}
    if isinstance(value, list):
        return [_convert(item, declared, parts) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _convert(item, declared, parts) for key, item in value.items()}
    return value


def _incoming(value: Any, parts: list[Array | bytes]) -> Any:
    if isinstance(value, list):
        return [_incoming(item, parts) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$part"}:
        return parts[value["$part"]]
    if value.keys() == {"$tuple"}:
        return tuple(_incoming(item, parts) for item in value["$tuple"])
    return {key: _incoming(item, parts) for key, item in value.items()}


def _receive_part(
    connection: socket.socket, declared: Mapping[str, Any], most_bytes: int
) -> Array | bytes:
    if "nbytes" in declared:
        nbytes = int(declared["nbytes"])
        if not 0 <= nbytes <= most_bytes:
            raise WireError(f"{nbytes:,} bytes")
        return bytes(_read(connection, nbytes))
    dtype = np.dtype(str(declared["dtype"]))
    shape = tuple(int(size) for size in declared["shape"])
    if dtype.kind not in _KINDS or len(shape) > _MOST_AXES or min(shape, default=0) < 0:
        raise WireError(f"an array {dtype} {shape}")
    nbytes = dtype.itemsize * math.prod(shape)
    if nbytes > most_bytes:
        raise WireError(f"an array of {nbytes:,} bytes")
    return np.frombuffer(_read(connection, nbytes), dtype).reshape(shape)


def _read(connection: socket.socket, nbytes: int) -> bytearray:
    data = bytearray(nbytes)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            raise WireError("the other side is gone")
        view = view[count:]
    return data
