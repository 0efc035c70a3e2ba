from __future__ import annotations

import base64

import pytest
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import preprocessor_type
from omnivec2.preprocess.formats.guards.misplaced_content import (
    decode_file,
    decode_value,
    file_in_base64,
    refuse_misplaced,
)
from omnivec2.preprocess.notes import collect_notes
from omnivec2.spec import Modality
from tests.support.documents import ROOT

FILE = b"\x89PNG" + bytes(range(256))


def sniff(data: bytes) -> str | None:
    return "image/png" if data.startswith(b"\x89PNG") else None


@pytest.mark.parametrize(
    "content",
    [
        b"https://example.org/cat.jpg",
        b"@cat.jpg\n",
        "s3://bucket/cloud.ply",
        "/home/me/table.csv",
        {"url": "https://example.org/dog.wav"},
        {"path": "dog.wav"},
    ],
)
def test_an_address_or_a_name_is_named_as_the_reason(content: bytes | JsonValue) -> None:
    with pytest.raises(InvalidInputError, match=r"address|path"):
        refuse_misplaced(content, "letters")


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2", b"\xff\xd8\xff", "CCO.CCN", "a text", {"a": 1}, [1], None, "1.5"]
)
def test_other_content_is_not(content: bytes | JsonValue) -> None:
    refuse_misplaced(content, "letters")


@pytest.mark.parametrize(
    "body",
    [
        base64.b64encode(FILE),
        base64.encodebytes(FILE),
        base64.urlsafe_b64encode(FILE).rstrip(b"="),
        b"data:image/png;base64," + base64.b64encode(FILE),
    ],
)
def test_a_file_in_base64_is_found(body: bytes) -> None:
    assert file_in_base64(body, 1000, sniff) == FILE
    assert file_in_base64(body, 100, sniff) is None


@pytest.mark.parametrize("body", [b"abc", b"word " * 20, FILE, base64.b64encode(b"text" * 20)])
def test_what_is_no_file_in_base64_is_left_alone(body: bytes) -> None:
    assert file_in_base64(body, 1000, sniff) is None


def test_a_body_in_base64_is_read_and_noted() -> None:
    kind = preprocessor_type(Modality.IMAGE)
    image = kind(kind.parameters_type())
    picture = (ROOT / "tests/data/image/blood_smear.png").read_bytes()
    with collect_notes() as notes:
        found = decode_file(image, base64.encodebytes(picture), None)
    assert found.size == image.decode(picture).size
    assert [note.code for note in notes] == ["guessed"]
    with pytest.raises(InvalidInputError, match="not fetched"):
        decode_file(image, b"https://example.org/cat.jpg", None)
    with pytest.raises(InvalidInputError, match="not its path"):
        decode_value(image, {"url": "cat.jpg"})
    with pytest.raises(InvalidInputError, match="base64 string"):
        decode_value(image, 3)
