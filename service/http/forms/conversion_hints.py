"""How to convert what is not taken into what is, for messages."""

from __future__ import annotations

from collections.abc import Iterable

_BY_TYPE = {
    "application/pdf": "save its pages as PNG (pdftoppm -png), or send its text (pdftotext)",
    "application/msword": "send its text, saved as text/plain",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "send its text, "
    "saved as text/plain",
    "application/vnd.ms-excel": "save the sheet as CSV",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "save the sheet as CSV",
    "application/vnd.oasis.opendocument.spreadsheet": "save the sheet as CSV",
    "application/gzip": "decompress it (gunzip)",
    "application/x-gzip": "decompress it (gunzip)",
    "application/zstd": "decompress it (unzstd)",
    "application/x-tar": "send the files in it one by one",
    "application/zip": "send the files in it one by one",
    "application/xml": "send its content without the markup",
    "text/xml": "send its content without the markup",
    "text/html": "send its text without the markup, as text/plain",
    "text/rtf": "send its text, saved as text/plain",
    "application/rtf": "send its text, saved as text/plain",
    "application/x-python-pickle": "save the array as NPY",
    "application/x-hdf5": "save the array as NPY",
    "image/svg+xml": "convert it to PNG (rsvg-convert in.svg -o out.png)",
}
_BY_FAMILY = {
    "image": ("PNG", "convert it to {0} (ImageMagick: magick in out.{1})"),
    "audio": ("WAV", "convert it to {0} (ffmpeg -i in out.{1})"),
    "video": ("MP4", "convert it to {0} (ffmpeg -i in out.{1})"),
}


def names_other_content(media_type: str) -> bool:
    """Whether a type is known to be that of content that no modality reads."""
    return media_type in _BY_TYPE


def conversion_hint(media_type: str, accepted: Iterable[str]) -> str:
    """Return how to convert a type into one that is taken; empty if that is not known.

    Args:
        media_type: The type that is not taken.
        accepted: The short names of the formats that are.
    """
    names = list(accepted)
    if hint := _BY_TYPE.get(media_type):
        return hint
    preferred, hint = _BY_FAMILY.get(media_type.partition("/")[0], ("", ""))
    return hint.format(preferred, preferred.lower()) if preferred in names else ""
