"""Names of common file formats by their first bytes, for messages about files not taken.

A caller who sends a spreadsheet to a head for pictures, or a format that is not read, is told
what the file is and how to convert it, rather than what it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from omnivec2.preprocess.formats.guards.text_encoding import looks_like_text

_TO_PICTURE = "convert it to JPEG or PNG, for example with: magick INPUT output.png"
_TO_MEDIA = "convert it with: ffmpeg -i INPUT OUTPUT"
_RENDER = "export the page or drawing as PNG"
_UNPACK = "unpack it and send the file inside"
_EXPORT = "export it in one of the formats that are taken"


@dataclass(frozen=True)
class ForeignFormat:
    """A format that was recognised.

    Attributes:
        name: The name that people know, e.g. ``"HEIC"``.
        advice: The way to convert such a file.
    """

    name: str
    advice: str


_AT_START: tuple[tuple[bytes, ForeignFormat], ...] = (
    (b"\xff\xd8\xff", ForeignFormat("JPEG", _EXPORT)),
    (b"\x89PNG\r\n\x1a\n", ForeignFormat("PNG", _EXPORT)),
    (b"GIF8", ForeignFormat("GIF", _EXPORT)),
    (b"II*\0", ForeignFormat("TIFF", _EXPORT)),
    (b"MM\0*", ForeignFormat("TIFF", _EXPORT)),
    (b"\0\0\0\x0cjP  \r\n\x87\n", ForeignFormat("JPEG 2000", _TO_PICTURE)),
    (b"\xff\x4f\xff\x51", ForeignFormat("a JPEG 2000 codestream", _TO_PICTURE)),
    (b"\0\0\0\x0cJXL \r\n\x87\n", ForeignFormat("JPEG XL", _TO_PICTURE)),
    (b"\xff\x0a", ForeignFormat("JPEG XL", _TO_PICTURE)),
    (b"II\xbc\x01", ForeignFormat("JPEG XR", _TO_PICTURE)),
    (b"IIRO", ForeignFormat("a camera's raw file (ORF)", _TO_PICTURE)),
    (b"IIU\0", ForeignFormat("a camera's raw file (RW2)", _TO_PICTURE)),
    (b"FUJIFILMCCD-RAW", ForeignFormat("a camera's raw file (RAF)", _TO_PICTURE)),
    (b"8BPS", ForeignFormat("PSD (Photoshop)", _TO_PICTURE)),
    (b"\0\0\1\0", ForeignFormat("ICO", _TO_PICTURE)),
    (b"v/1\x01", ForeignFormat("OpenEXR", _TO_PICTURE)),
    (b"#?RADIANCE", ForeignFormat("Radiance HDR", _TO_PICTURE)),
    (b"DDS ", ForeignFormat("DDS", _TO_PICTURE)),
    (b"qoif", ForeignFormat("QOI", _TO_PICTURE)),
    (b"BPG\xfb", ForeignFormat("BPG", _TO_PICTURE)),
    (b"SIMPLE  =", ForeignFormat("FITS", _EXPORT)),
    (b"%PDF-", ForeignFormat("PDF", _RENDER)),
    (b"%!PS", ForeignFormat("PostScript", _RENDER)),
    (b"<svg", ForeignFormat("SVG", _RENDER)),
    (b"<!DOCTYPE html", ForeignFormat("an HTML page", "send the file itself, not its page")),
    (b"<html", ForeignFormat("an HTML page", "send the file itself, not its page")),
    (b"version https://git-lfs", ForeignFormat("a Git LFS pointer", "fetch the real file first")),
    (b"PK\x03\x04", ForeignFormat("a ZIP archive or Office document", _UNPACK)),
    (b"\x1f\x8b", ForeignFormat("compressed with gzip", _UNPACK)),
    (b"BZh", ForeignFormat("compressed with bzip2", _UNPACK)),
    (b"\xfd7zXZ\0", ForeignFormat("compressed with xz", _UNPACK)),
    (b"(\xb5/\xfd", ForeignFormat("compressed with zstd", _UNPACK)),
    (b"7z\xbc\xaf", ForeignFormat("a 7z archive", _UNPACK)),
    (b"Rar!", ForeignFormat("a RAR archive", _UNPACK)),
    (b"\x89HDF\r\n", ForeignFormat("HDF5", _EXPORT)),
    (b"\x93NUMPY", ForeignFormat("NPY", _EXPORT)),
    (b"PAR1", ForeignFormat("Parquet", _EXPORT)),
    (b"\x1aE\xdf\xa3", ForeignFormat("Matroska or WebM", _TO_MEDIA)),
    (b"OggS", ForeignFormat("OGG", _TO_MEDIA)),
    (b"fLaC", ForeignFormat("FLAC", _TO_MEDIA)),
    (b"ID3", ForeignFormat("MP3", _TO_MEDIA)),
)
_RIFF_KINDS = {
    b"WAVE": ForeignFormat("WAV", _TO_MEDIA),
    b"AVI ": ForeignFormat("AVI", _TO_MEDIA),
    b"WEBP": ForeignFormat("WebP", _TO_PICTURE),
}
_HEIC = ForeignFormat(
    "HEIC", "export it as JPEG, or convert it with: heif-convert INPUT output.jpg"
)
_AVIF = ForeignFormat("AVIF", _TO_PICTURE)
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1"), _HEIC),
    **dict.fromkeys((b"msf1", b"mif2", b"miaf"), _HEIC),
    **dict.fromkeys((b"avif", b"avis"), _AVIF),
    b"crx ": ForeignFormat("a camera's raw file (CR3)", _TO_PICTURE),
    b"jp2 ": ForeignFormat("JPEG 2000", _TO_PICTURE),
}
_DICOM_PREFIX = 128
_SHOWN_BYTES = 8
_READ_BYTES = 4096


def name_of_format(data: bytes) -> ForeignFormat | None:
    """Recognise a common format, or return None."""
    start = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    for magic, known in _AT_START:
        if data.startswith(magic) or (magic[:1] == b"<" and start.startswith(magic)):
            return known
    if data[:4] == b"RIFF":
        return _RIFF_KINDS.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], ForeignFormat("MP4 or QuickTime", _TO_MEDIA))
    if data[_DICOM_PREFIX : _DICOM_PREFIX + 4] == b"DICM":
        return ForeignFormat("DICOM", "send it to a head for X-rays")
    if start.startswith(b"<?xml") and b"<svg" in data[:1024]:
        return ForeignFormat("SVG", _RENDER)
    return None


def describe_bytes(data: bytes) -> str:
    """Return in a clause what the bytes of no known format look like."""
    if data.count(0) == len(data):
        return "all of them are zero, as in a file that was not written or downloaded in full"
    if looks_like_text(data[:_READ_BYTES]):
        return "they look like text"
    return f"they begin with {data[:_SHOWN_BYTES].hex(' ')}, which is the start of no known format"
