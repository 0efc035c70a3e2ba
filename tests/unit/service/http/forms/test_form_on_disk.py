from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from service.http.forms.form_on_disk import FormOnDisk, read_form_on_disk

KIND = 'multipart/form-data; boundary="x"'
DATA = bytes(range(256)) * 4096


def part(name: str, data: bytes, more: str = "", kind: str = "") -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n'
    head += f"Content-Type: {kind}\r\n" if kind else ""
    return head.encode() + b"\r\n" + data + b"\r\n"


FILE = part("file", DATA, '; filename="a.wav"', "audio/wav")
END = b"--x--\r\n"


def read(tmp_path: Path, body: bytes) -> FormOnDisk | None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    return asyncio.run(read_form_on_disk(KIND, chunks(), tmp_path))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (b"", None),
        (part("parameters", b'{"top_k": 1}'), b'{"top_k": 1}'),
        (part("parameters", b'{"top_k": 1}', '; filename="p.json"'), b'{"top_k": 1}'),
    ],
)
def test_the_file_of_a_form_is_on_disk(
    tmp_path: Path, parameters: bytes, expected: bytes | None
) -> None:
    form = read(tmp_path, parameters + FILE + END)
    assert form is not None
    assert form.file.read_bytes() == DATA
    assert form.file.parent == tmp_path
    assert (form.content_type, form.parameters) == ("audio/wav", expected)


def test_of_several_files_there_is_no_form(tmp_path: Path) -> None:
    assert read(tmp_path, FILE + part("inputs[]", b"more", '; filename="b"') + END) is None


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (b"nonsense", UndecodableError, "not a valid multipart"),
        (FILE + part("top_k", b"1") + END, InvalidInputError, "unknown form field 'top_k'"),
        (part("x", b"12", '; filename="b"') + END, InvalidInputError, "unknown form field 'x'"),
        (part("parameters", b"{}") + END, InvalidInputError, 'no field "file"'),
        (FILE + part("parameters", b"1" * 2**21) + END, InputError, "parameters|multipart"),
        (
            FILE + part("parameters", b"1" * 2**21, '; filename="b"') + END,
            TooLargeError,
            "parameters are too large",
        ),
    ],
)
def test_what_is_no_form_with_a_file_is_refused(
    tmp_path: Path, body: bytes, error: type[InputError], words: str
) -> None:
    with pytest.raises(error, match=words):
        read(tmp_path, body)
