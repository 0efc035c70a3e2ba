from __future__ import annotations

import pytest

from omnivec2.errors import UndecodableError, UnsupportedMediaTypeError
from omnivec2.preprocess.formats.guards.decoding_guard import format_of
from omnivec2.preprocess.formats.guards.foreign_formats import name_of_format
from omnivec2.preprocess.notes import collect_notes

TAKEN = {"image/png": "PNG", "image/jpeg": "JPEG", "application/x-npy": "NPY"}


def typed(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + bytes(12)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (typed(b"heic"), "HEIC"),
        (typed(b"avif"), "AVIF"),
        (typed(b"isom"), "MP4 or QuickTime"),
        (typed(b"crx "), "a camera's raw file (CR3)"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"%PDF-1.7", "PDF"),
        (b"\xef\xbb\xbf\n <svg width='3'>", "SVG"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"<!DOCTYPE html>", "an HTML page"),
        (b"PK\x03\x04", "a ZIP archive or Office document"),
        (b"RIFF\0\0\0\0WAVE", "WAV"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"8BPS", "PSD (Photoshop)"),
        (b"version https://git-lfs.github.com", "a Git LFS pointer"),
    ],
)
def test_a_file_of_another_format_is_named_with_what_to_do(data, name):
    found = name_of_format(data)
    assert found is not None
    assert found.name == name
    with pytest.raises(UndecodableError, match="unsupported: the file is") as refusal:
        format_of(data, None, None, TAKEN)
    assert found.advice in str(refusal.value)
    assert "damaged" not in str(refusal.value)


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"hello", "they look like text"),
        (b"<p>no page</p>", "they look like text"),
        (bytes(200), "all of them are zero"),
        (b"RIFF\0\0\0\0????", "they begin with 52 49 46 46 00 00 00 00"),
        (b"\x01\x9c", "they begin with 01 9c,"),
    ],
)
def test_other_bytes_have_no_name_and_are_described_with_what_to_send(data, looks):
    assert name_of_format(data) is None
    with pytest.raises(UndecodableError, match="the bytes are not PNG, JPEG, NPY: ") as refusal:
        format_of(data, None, None, TAKEN)
    assert looks in str(refusal.value)
    with pytest.raises(UndecodableError, match=r"not JPEG: .* as one of: PNG, JPEG, NPY"):
        format_of(data, None, "image/jpeg", TAKEN)


def test_a_picture_under_the_type_of_another_is_read_with_a_note():
    with collect_notes() as notes:
        assert format_of(b"...", "image/png", "image/jpeg", TAKEN) == "PNG"
    assert "declared as JPEG, but the bytes are PNG" in next(iter(notes)).text
    with pytest.raises(UndecodableError, match="declared as NPY, but the bytes are PNG"):
        format_of(b"...", "image/png", "application/x-npy", TAKEN)
    with pytest.raises(UnsupportedMediaTypeError, match="text/plain"):
        format_of(b"...", "image/png", "text/plain", TAKEN)
