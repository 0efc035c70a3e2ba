"""Answering files without a server, or asking a server that runs."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from omnivec2.errors import InputError, ModelNotReadyError, OmniVecError
from omnivec2.spec import model_name
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import FileInput
from service.runtimes.embedded.runtime import EmbeddedRuntime
from service.settings import Settings

_POLL_SECONDS = 0.2
_INPUT = re.compile(r"inputs\[(\d+)\]")


@dataclass(frozen=True)
class NamedFile:
    """A file to be answered."""

    name: str
    data: bytes

    @property
    def guessed_type(self) -> str:
        """What its name suggests."""
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


def predict_here(
    settings: Settings,
    route: str,
    files: Sequence[NamedFile],
    parameters: Mapping[str, JsonValue],
) -> JsonValue:
    """Load one model in this process and answer.

    Raises:
        OmniVecError: the model cannot be served, or an input is wrong.
    """
    alone = settings.model_copy(update={"only": (route,), "required": ()})
    return asyncio.run(_predict(alone, route, files, parameters))


async def _predict(
    settings: Settings,
    route: str,
    files: Sequence[NamedFile],
    parameters: Mapping[str, JsonValue],
) -> JsonValue:
    runtime = EmbeddedRuntime(settings)
    await runtime.start()
    plane = DataPlane(runtime, settings.host_workers)
    try:
        head = plane.head(*route.split("/", 1))
        accepted = head.preprocessor.media_types
        inputs = [
            FileInput(file.data, file.guessed_type if file.guessed_type in accepted else None)
            for file in files
        ]
        answer = await plane.predict(head, inputs, parameters, batched=len(inputs) > 1)
    except InputError as error:
        raise InputError(_with_file(str(error), error.field, files)) from error
    finally:
        plane.close()
        await runtime.close()
    value: JsonValue = json.loads(answer.body)
    return value


def predict_there(
    url: str,
    route: str,
    files: Sequence[NamedFile],
    parameters: Mapping[str, JsonValue],
    timeout_seconds: float,
) -> JsonValue:
    """Ask a running gateway.

    Raises:
        InputError: it refused the request; the message is its own.
        OmniVecError: it cannot be reached or failed.
    """
    content_type, body = _form(files, parameters)
    request = urllib.request.Request(
        f"{url.rstrip('/')}/predict/{route}", body, {"Content-Type": content_type}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
            value: JsonValue = json.load(response)
    except urllib.error.HTTPError as error:
        kind = InputError if error.code < 500 else OmniVecError
        raise kind(_with_file(*_message(error), files)) from error
    except (OSError, ValueError) as error:
        raise ModelNotReadyError(f"{url} does not answer ({error}); does it run?") from error
    return value


def wait_for_version(url: str, route: str, version: str, seconds: float = 60.0) -> None:
    """Wait until a running gateway serves a version of a head.

    Raises:
        OmniVecError: it refuses it, does not take it up in time, or cannot be reached.
    """
    name = model_name(route)
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
            raise OmniVecError(f"{url} refuses {route}: {refused[0]}")
        time.sleep(_POLL_SECONDS)
    raise ModelNotReadyError(f"{url} does not serve version {version} of {route} yet")


def _form(files: Sequence[NamedFile], parameters: Mapping[str, JsonValue]) -> tuple[str, bytes]:
    """A multipart form: content type and body."""
    boundary = uuid.uuid4().hex
    parts = [
        (f'name="file"; filename="input"\r\nContent-Type: {file.guessed_type}', file.data)
        for file in files
    ]
    if parameters:
        parts.append(('name="parameters"', json.dumps(parameters).encode()))
    lines = [
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n"
        % (boundary.encode(), head.encode(), data)
        for head, data in parts
    ]
    body = b"".join(lines) + f"--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body


def _message(error: urllib.error.HTTPError) -> tuple[str, str | None]:
    """What a gateway said, and which part of the request it meant."""
    try:
        problem = json.load(error)
        return str(problem["error"]), problem.get("field")
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"HTTP {error.code} {error.reason}", None


def _with_file(message: str, field: str | None, files: Sequence[NamedFile]) -> str:
    """A message with the name of the file it is about, if its field is one of several inputs."""
    found = _INPUT.match(field or "")
    number = int(found[1]) if found else -1
    return f"{files[number].name}: {message}" if 0 <= number < len(files) else message
