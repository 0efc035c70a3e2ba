"""Predictions for files without a server: the model is loaded in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from omnivec2.errors import InputError
from service.pipeline.answers import FilesAnswer, RequestNotes
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import FileInput, Head
from service.pipeline.in_process.named_files import NamedFile, message_with_file_name
from service.request_context import REQUEST, PartAnswer, in_request
from service.runtimes.embedded.runtime import EmbeddedRuntime
from service.settings import Settings


def predict_in_process(
    settings: Settings,
    head_name: str,
    files: Sequence[NamedFile],
    parameters: Mapping[str, JsonValue],
    *,
    strict: bool = False,
    on_part: Callable[[PartAnswer], None] | None = None,
) -> FilesAnswer:
    """Load one model in this process and return its answer to files.

    Args:
        settings: The settings of the runtime, such as where the model repository lies.
        head_name: The name of the head, ``<modality>/<task>``.
        files: The inputs; at least one.
        parameters: The parameters of the request.
        strict: Whether notes on a file are errors.
        on_part: The callback for parts of the answer as they are computed; None asks for none.

    Raises:
        OmniVecError: The model cannot be served, or an input is wrong.
    """
    of_one_head = settings.model_copy(update={"only": (head_name,), "required": ()})
    context = REQUEST.get()
    if on_part is not None:
        context = replace(context, parts=_PassedOn(on_part))
    with in_request(context):
        return asyncio.run(_predict(of_one_head, head_name, files, parameters, strict))


class _PassedOn:
    """A ``PartSink`` that passes parts on to a callback."""

    def __init__(self, on_part: Callable[[PartAnswer], None]) -> None:
        self._on_part = on_part

    async def put(self, part: PartAnswer) -> None:
        self._on_part(part)


async def _predict(
    settings: Settings,
    head_name: str,
    files: Sequence[NamedFile],
    parameters: Mapping[str, JsonValue],
    strict: bool,
) -> FilesAnswer:
    runtime = EmbeddedRuntime(settings)
    await runtime.start()
    plane = DataPlane(runtime, settings.host_workers)
    try:
        head = plane.head(*head_name.split("/", 1))
        parts = [part for file in files for part in _parts_of(head, file)]
        files = [file for file, _ in parts]
        inputs = [raw for _, raw in parts]
        notes = RequestNotes(strict=strict or settings.strict_input)
        answer = await plane.predict(head, inputs, parameters, batched=len(inputs) > 1, notes=notes)
    except InputError as error:
        raise InputError(message_with_file_name(str(error), error.field, files)) from error
    finally:
        plane.close()
        await runtime.close()
    return FilesAnswer(json.loads(answer.body), [note.to_json() for note in answer.notes])


def _parts_of(head: Head, file: NamedFile) -> list[tuple[NamedFile, FileInput]]:
    """Return the inputs that a file holds: itself, unless it is a list by nature."""
    accepted = head.preprocessor.media_types
    media_type = file.guessed_type if file.guessed_type in accepted else None
    parts = head.preprocessor.split_file(file.data, media_type)
    if parts is None:
        return [(file, FileInput(file.data, media_type))]
    return [
        (NamedFile(f"{file.name} (part {number})", part), FileInput(part, media_type))
        for number, part in enumerate(parts, 1)
    ]
