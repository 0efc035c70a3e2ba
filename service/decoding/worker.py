"""The work of a decoder process: decode and prepare one input after the other."""

from __future__ import annotations

import gc
import json
import signal
import socket
import time
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from omnivec2.errors import InputError
from omnivec2.preprocess import Prepared, Preprocessor, collate
from omnivec2.preprocess.formats.guards.misplaced_content import decode_file, decode_value
from omnivec2.preprocess.notes import Note, collect_notes
from omnivec2.preprocess.source_options import SourceOptions, state
from omnivec2.spec import Limits
from service.decoding.wire import WireError, encode, receive, send_encoded

_MOST_REQUEST_BYTES = 2**30
_MOST_PREPROCESSORS = 256
_GRACE_SECONDS = 5
"""The time after which a decoder ends itself, if the gateway that should have is gone."""


def work(connection: socket.socket, most_bytes: int) -> None:
    """Answer requests until the gateway closes the connection.

    Args:
        connection: The connection to the gateway.
        most_bytes: The most bytes of the arrays of an answer.
    """
    preprocessors: dict[str, Preprocessor[Any, Any]] = {}
    while True:
        try:
            request = receive(connection, _MOST_REQUEST_BYTES)
        except (WireError, OSError):
            return
        # The default action of the signal ends the process, wherever a decoder hangs.
        signal.alarm(int(request["seconds"]) + _GRACE_SECONDS)
        if len(preprocessors) > _MOST_PREPROCESSORS:
            preprocessors.clear()
        send_encoded(connection, _encode_answer(request, preprocessors, most_bytes))
        signal.alarm(0)
        # Frames of codecs are parts of cycles: without this, those of many inputs would pile up.
        # What is left is no input's and not looked through again: this takes microseconds.
        del request
        gc.collect()
        gc.freeze()


def _encode_answer(
    request: Mapping[str, Any], preprocessors: dict[str, Preprocessor[Any, Any]], most_bytes: int
) -> list[memoryview | bytes]:
    """Return the answer to a request as it is sent.

    A value that cannot be sent is a defect as well: it must not end the process, which would look
    as if the file had crashed a decoder.
    """
    try:
        return encode(_answer(request, preprocessors, most_bytes))
    except MemoryError:
        return encode({"failed": "memory", "trace": ""})
    except Exception as error:  # a defect of a decoder, which the gateway logs
        trace = traceback.format_exc(limit=-8)
        return encode({"failed": type(error).__name__, "trace": trace})


def _answer(
    request: Mapping[str, Any], preprocessors: dict[str, Preprocessor[Any, Any]], most_bytes: int
) -> dict[str, Any]:
    try:
        preprocessor = _preprocessor(request, preprocessors)
        return {"prepared": _prepare(preprocessor, request, most_bytes)}
    except InputError as error:
        return {"refused": _describe_error(error)}


def _preprocessor(
    request: Mapping[str, Any], known: dict[str, Preprocessor[Any, Any]]
) -> Preprocessor[Any, Any]:
    """Return the preprocessor that a request names; one that is not known yet is built."""
    name = request["preprocessor"]
    key = json.dumps([name, request["parameters"], request["limits"]])
    if key not in known:
        kind = _load(name)
        parameters = kind.parameters_type.model_validate_json(request["parameters"])
        known[key] = kind(parameters, Limits.model_validate_json(request["limits"]))
    return known[key]


def _load(name: str) -> type[Preprocessor[Any, Any]]:
    module, _, qualified = name.partition(":")
    found: Any = import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    kind: type[Preprocessor[Any, Any]] = found
    return kind


def _prepare(
    preprocessor: Preprocessor[Any, Any], request: Mapping[str, Any], most_bytes: int
) -> dict[str, Any]:
    kind = preprocessor.source_options_type
    source = request["source"]
    options: SourceOptions | None = kind.model_validate(source) if source is not None else None
    started = time.perf_counter()
    with state(options):
        with collect_notes() as decode_notes:
            native = _decoder(preprocessor, request)()
        decoded = time.perf_counter()
        with collect_notes() as prepare_notes:
            prepared = preprocessor.prepare(native)
        if _is_lazy(prepared, request["max_rows"]) and isinstance(native, np.ndarray):
            # The windows of a cube take many times its memory, so they are made in the gateway.
            return {
                "native": native,
                "notes": list(map(_note, decode_notes)),
                "decode_seconds": decoded - started,
            }
        batch = collate(list(prepared.samples)) if len(prepared.samples) else {}
    if sum(array.nbytes for array in batch.values()) > most_bytes:
        raise MemoryError
    return {
        "batch": batch,
        "rows": len(prepared.samples),
        "context": dict(prepared.context),
        "notes": [*map(_note, decode_notes), *map(_note, prepare_notes)],
        "decode_seconds": decoded - started,
        "preprocess_seconds": time.perf_counter() - decoded,
    }


def _decoder(preprocessor: Preprocessor[Any, Any], request: Mapping[str, Any]) -> Callable[[], Any]:
    if "file" in request:
        return lambda: decode_file(preprocessor, request["file"], request["media_type"])
    return lambda: decode_value(preprocessor, json.loads(request["json"]))


def _is_lazy(prepared: Prepared, max_rows: int) -> bool:
    samples = prepared.samples
    return len(samples) > max_rows and not isinstance(samples, (list, tuple))


def _note(note: Note) -> list[Any]:
    return [note.code.value, note.text, note.field, note.count]


def _describe_error(error: InputError) -> dict[str, Any]:
    """Return an error as JSON values."""
    return {
        "name": type(error).__name__,
        "message": str(error),
        "field": error.field,
        "known": list(error.known),
    }
