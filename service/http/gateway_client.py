"""A client of a running gateway: predictions for files, and waiting for a version of a head."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import JsonValue

from omnivec2.canary.canary_state import candidate_name
from omnivec2.errors import (
    InputError,
    InvalidParameterError,
    ModelNotReadyError,
    OmniVecError,
)
from service.access.strictness import STRICT_HEADER
from service.http.notes_header import NOTES_HEADER, parse_notes
from service.http.streams.accepted_events import EVENT_STREAM
from service.http.streams.read_events import read_events
from service.pipeline.answers import FilesAnswer
from service.pipeline.in_process.named_files import NamedFile, message_with_file_name
from service.request_context import PartAnswer

_POLL_SECONDS = 0.2

_PARTS: Mapping[str, Literal["window", "token"]] = {"window": "window", "token": "token"}
"""The events that are parts of an answer; others of a later release are skipped."""


def predict_by_gateway(
    url: str,
    head_name: str,
    files: Sequence[NamedFile],
    parameters: Mapping[str, JsonValue],
    timeout_seconds: float,
    *,
    strict: bool = False,
    api_key: str | None = None,
    on_part: Callable[[PartAnswer], None] | None = None,
) -> FilesAnswer:
    """Return the answer of a running gateway to files.

    Args:
        url: The address of the gateway, such as ``http://127.0.0.1:8080``.
        head_name: The name of the head, ``<modality>/<task>``.
        files: The inputs; at least one.
        parameters: The parameters of the request.
        timeout_seconds: The longest time between two parts of the answer.
        strict: Whether notes on a file are errors.
        api_key: The API key, if the gateway requires one.
        on_part: The callback for parts of the answer as they come; None asks for none.

    Raises:
        InputError: It refused the request; the message is its own. Or its address is none.
        OmniVecError: It cannot be reached or failed.
    """
    url = gateway_address(url)
    content_type, body = _form(files, parameters)
    headers = {"Content-Type": content_type} | ({STRICT_HEADER: "true"} if strict else {})
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    if on_part is not None:
        headers["Accept"] = EVENT_STREAM
    request = urllib.request.Request(f"{url}/predict/{head_name}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
            if on_part is not None and response.headers.get_content_type() == EVENT_STREAM:
                return _streamed_answer(read_events(response), files, on_part)
            notes = parse_notes(response.headers.get(NOTES_HEADER, ""))
            return FilesAnswer(json.load(response), notes)
    except urllib.error.HTTPError as error:
        kind = InputError if error.code < 500 else OmniVecError
        raise kind(message_with_file_name(*_message(error), files)) from error
    except (OSError, ValueError, HTTPException) as error:
        raise ModelNotReadyError(f"{url} does not answer ({error}); does it run?") from error


def _streamed_answer(
    events: Iterable[tuple[str, Any]],
    files: Sequence[NamedFile],
    on_part: Callable[[PartAnswer], None],
) -> FilesAnswer:
    """Return the answer at the end of a stream, and pass its parts on.

    Raises:
        InputError: The gateway refused the request within the stream.
        OmniVecError: It failed within the stream.
        ValueError: The stream ended without an answer.
    """
    for name, data in events:
        if name == "error":
            kind = InputError if data["status"] < HTTPStatus.INTERNAL_SERVER_ERROR else OmniVecError
            raise kind(message_with_file_name(str(data["error"]), data.get("field"), files))
        if name == "answer":
            return FilesAnswer(
                data["answer"], parse_notes(data["headers"].get(NOTES_HEADER.lower(), ""))
            )
        if (kind_of_part := _PARTS.get(name)) is not None:
            place = (data["task"], data["input"], data["index"], data.get("count"))
            on_part(PartAnswer(kind_of_part, *place, data["answer"]))
    raise ValueError("its stream ended before the answer")


def wait_for_version(url: str, head_name: str, version: str, seconds: float = 60.0) -> None:
    """Wait until a running gateway serves a version of a head.

    Args:
        url: The address of the gateway, such as ``http://127.0.0.1:8080``.
        head_name: The name of the head, ``<modality>/<task>``.
        version: The version to wait for.
        seconds: The longest time to wait.

    Raises:
        OmniVecError: It refuses the version, does not load it in time, or cannot be reached.
    """
    name = head_name.replace("/", "_")
    what = f"version {version} of {head_name}"
    _wait_for_model(
        url,
        seconds,
        (head_name, what),
        name,
        lambda model: model["name"] == name and model["version"] == version,
    )


def wait_for_canary(url: str, head_name: str, version: str, seconds: float = 60.0) -> None:
    """Wait until a running gateway has a version of a head as its running canary.

    Args:
        url: The address of the gateway, such as ``http://127.0.0.1:8080``.
        head_name: The name of the head, ``<modality>/<task>``.
        version: The version to wait for.
        seconds: The longest time to wait.

    Raises:
        OmniVecError: It refuses the version, does not load it in time, or cannot be reached.
    """
    name = head_name.replace("/", "_")

    def is_loaded(model: Mapping[str, Any]) -> bool:
        canary = model.get("canary") or {}
        return model["name"] == name and (canary.get("version"), canary.get("loaded")) == (
            version,
            True,
        )

    what = f"the canary {version} of {head_name}"
    _wait_for_model(url, seconds, (head_name, what), candidate_name(name), is_loaded)


def _wait_for_model(
    url: str,
    seconds: float,
    what: tuple[str, str],
    name: str,
    is_wanted: Callable[[Mapping[str, Any]], bool],
) -> None:
    """Wait until one of a gateway's models is what is wanted.

    Args:
        url: The address of the gateway.
        seconds: The longest time to wait.
        what: The head, and its version in words, for errors.
        name: The name of the model, as the gateway lists it if it refuses it.
        is_wanted: Whether an entry of ``/models`` is what is wanted.

    Raises:
        OmniVecError: The gateway refuses the model of that name, or does not load it in time.
    """
    url = gateway_address(url)
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=seconds) as response:
                listed = json.load(response)
        except (OSError, ValueError, HTTPException) as error:
            raise ModelNotReadyError(f"{url} does not answer ({error}); does it run?") from error
        if any(map(is_wanted, listed["models"])):
            return
        if refused := [r["reason"] for r in listed["refused"] if r["name"] == name]:
            raise OmniVecError(f"{url} refuses {what[0]}: {refused[0]}")
        time.sleep(_POLL_SECONDS)
    raise ModelNotReadyError(
        f"{url} does not serve {what[1]} after {seconds:g} s. It never will if it was started with "
        "--only (OMNIVEC2_ONLY) without this head, on another --model-repo, or with "
        "OMNIVEC2_REFRESH_SECONDS=0; else it may still be loading: see its log"
    )


def gateway_address(url: str) -> str:
    """Return the address of a gateway without a slash at its end; ``http://`` may be left out.

    Raises:
        InvalidParameterError: It is no address of a gateway.
    """
    address = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(address)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise InvalidParameterError(
            f"expected the address of a gateway, such as http://127.0.0.1:8080, got {url!r}"
        )
    return address.rstrip("/")


def _form(files: Sequence[NamedFile], parameters: Mapping[str, JsonValue]) -> tuple[str, bytes]:
    """Return the content type and the body of a multipart form."""
    boundary = uuid.uuid4().hex
    parts = [
        (f'name="file"; filename="input"\r\nContent-Type: {file.guessed_type}', file.data)
        for file in files
    ]
    if parameters:
        parts.append(('name="parameters"', json.dumps(parameters).encode()))
    lines = [
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n"
        % (boundary.encode(), disposition.encode(), data)
        for disposition, data in parts
    ]
    body = b"".join(lines) + f"--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body


def _message(error: urllib.error.HTTPError) -> tuple[str, str | None]:
    """Return the message of a gateway's answer, and the field of the request that it names."""
    try:
        problem = json.load(error)
        return str(problem["error"]), problem.get("field")
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"HTTP {error.code} {error.reason}", None
