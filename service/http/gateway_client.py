"""A client of a running gateway: predictions for files, and waiting for a version of a head."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from omnivec2.errors import InputError, ModelNotReadyError, OmniVecError
from service.http.notes_header import NOTES_HEADER, STRICT_HEADER, parse_notes
from service.pipeline.answers import FilesAnswer
from service.pipeline.named_files import NamedFile, message_with_file_name

_POLL_SECONDS = 0.2


def predict_by_gateway(
    url: str,
    head_name: str,
    files: Sequence[NamedFile],
    parameters: Mapping[str, JsonValue],
    timeout_seconds: float,
    *,
    strict: bool = False,
    api_key: str | None = None,
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

    Raises:
        InputError: It refused the request; the message is its own.
        OmniVecError: It cannot be reached or failed.
    """
    content_type, body = _form(files, parameters)
    headers = {"Content-Type": content_type} | ({STRICT_HEADER: "true"} if strict else {})
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    request = urllib.request.Request(f"{url.rstrip('/')}/predict/{head_name}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
            notes = parse_notes(response.headers.get(NOTES_HEADER, ""))
            return FilesAnswer(json.load(response), notes)
    except urllib.error.HTTPError as error:
        kind = InputError if error.code < 500 else OmniVecError
        raise kind(message_with_file_name(*_message(error), files)) from error
    except (OSError, ValueError) as error:
        raise ModelNotReadyError(f"{url} does not answer ({error}); does it run?") from error


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
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        try:
            with urllib.request.urlopen(f"{url.rstrip('/')}/models", timeout=seconds) as response:
                listed = json.load(response)
        except (OSError, ValueError) as error:
            raise ModelNotReadyError(f"{url} does not answer ({error}); does it run?") from error
        if any(m["name"] == name and m["version"] == version for m in listed["models"]):
            return
        if refused := [r["reason"] for r in listed["refused"] if r["name"] == name]:
            raise OmniVecError(f"{url} refuses {head_name}: {refused[0]}")
        time.sleep(_POLL_SECONDS)
    raise ModelNotReadyError(f"{url} does not serve version {version} of {head_name} yet")


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
