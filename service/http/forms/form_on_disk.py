"""Multipart forms whose file is too large for memory: it is written to disk as it is read."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from service.http.forms.content_type import MULTIPART
from service.http.forms.form_fields import FILE_FIELDS, PARAMETERS, field_name

_MOST_FIELD_BYTES = 2**20
_MOST_FIELDS = 8
_MOST_FILES = 1000


@dataclass(frozen=True)
class FormOnDisk:
    """A form with a single file.

    Attributes:
        file: The file.
        content_type: The content type that the form declares for it; empty if it declares none.
        parameters: The JSON of the parameters; None if there are none.
    """

    file: Path
    content_type: str
    parameters: bytes | None


async def read_form_on_disk(
    content_type: str, chunks: AsyncGenerator[bytes, None], directory: Path
) -> FormOnDisk | None:
    """Read a form piece by piece.

    Args:
        content_type: The header ``Content-Type``, with the boundary.
        chunks: The body.
        directory: The directory for its files, which is removed by whoever has made it.

    Returns:
        The form; None if it has several files, of which each may be small.

    Raises:
        UndecodableError: It is no form.
        InvalidInputError: A field is unknown, or there is no file.
        TooLargeError: The parameters are too large.
    """
    parser = _OnDiskParser(
        Headers({"content-type": content_type}),
        chunks,
        max_files=_MOST_FILES,
        max_fields=_MOST_FIELDS,
        max_part_size=_MOST_FIELD_BYTES,
    )
    parser.directory = directory
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        reason = getattr(error, "message", "it names no boundary")
        raise UndecodableError(f"not a valid {MULTIPART} body: {reason}", field="body") from error
    try:
        return await _read(form)
    finally:
        await form.close()


async def _read(form: FormData) -> FormOnDisk | None:
    parameters: bytes | None = None
    files: list[UploadFile] = []
    for name, part in form.multi_items():
        if name == PARAMETERS:
            parameters = part.encode() if isinstance(part, str) else await _small(part)
        elif field_name(name) in FILE_FIELDS and not isinstance(part, str):
            files.append(part)
        else:
            raise InvalidInputError(
                f'unknown form field {name[:80]!r}; expected a file in "file", and "parameters"',
                field=name[:80],
                known=["file", "parameters"],
            )
    if not files:
        raise InvalidInputError('the form has no field "file"', field="file")
    if len(files) > 1:
        return None
    return FormOnDisk(Path(str(files[0].file.name)), files[0].content_type or "", parameters)


async def _small(part: UploadFile) -> bytes:
    if (part.size or 0) > _MOST_FIELD_BYTES:
        raise TooLargeError("the parameters are too large", field=PARAMETERS)
    return await part.read()


class _OnDiskParser(MultiPartParser):
    """A parser that keeps files in a directory, and no bytes of them in memory.

    Attributes:
        directory: The directory.
    """

    directory: Path

    def on_headers_finished(self) -> None:
        """Begin a part; a file of its own takes the place of one that is in memory at first."""
        super().on_headers_finished()
        upload = self._current_part.file
        if upload is not None:
            upload.file.close()
            file = tempfile.NamedTemporaryFile(dir=self.directory, delete=False)  # noqa: SIM115
            upload.file = cast(BinaryIO, file)
            self._files_to_close_on_error[-1] = file  # type: ignore[call-overload]
