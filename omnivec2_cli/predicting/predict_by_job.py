"""``omnivec2 predict --job``: a file that a running service answers later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from omnivec2.errors import InputError

if TYPE_CHECKING:
    from service.pipeline.answers import FilesAnswer


def predict_by_job(
    url: str | None,
    api_key: str | None,
    route: str,
    files: Sequence[str],
    parameters: Mapping[str, JsonValue],
    *,
    strict: bool,
) -> FilesAnswer:
    """Return the answer to a file, for which a service is given time; an interrupt cancels it.

    Args:
        url: The address of the service.
        api_key: The API key, if the service requires one.
        route: The name of the head, ``<modality>/<task>``.
        files: The file; a single one.
        parameters: The parameters of the request.
        strict: Whether notes on the file are errors.

    Raises:
        InputError: No service is named, or other than one file.
        OmniVecError: The service does not take the job, or it failed.
    """
    from omnivec2_api.client import Client
    from omnivec2_api.progress_lines import Progress
    from service.pipeline.answers import FilesAnswer

    if url is None or len(files) != 1 or files[0] == "-" or Path(files[0]).is_dir():
        raise InputError("--job takes one file, and the service that answers it: --url URL")
    given: dict[str, Any] = dict(parameters)
    with Client(url, api_key=api_key) as client, Progress(None, title=route) as shown:
        job = client.start_job(route, Path(files[0]), strict=strict, **given)
        try:
            answer = job.wait(on_progress=lambda seen: shown.show(seen.done, seen.total))
        except KeyboardInterrupt:
            job.cancel()
            raise
    return FilesAnswer(answer.value, [note.to_json() for note in answer.notes])
