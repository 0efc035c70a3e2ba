"""The chunks of a PNG: what a picture needs of them, without those that only get in the way.

Decoders refuse a file for a comment of a megabyte or for a wrong checksum of a comment, though
every pixel is there. Chunks that show nothing are left out before the decoder sees them, and
the colour profile is unpacked here, within a bound of its own (PNG specification, chapter 11).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from omnivec2.errors import TooLargeError
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.colour_profile import MAX_PROFILE_BYTES
from omnivec2.preprocess.notes import NoteCode, note

MAX_CHUNKS = 100_000
"""The most chunks of a file; encoders write one for 8 KiB of pixels or more."""

_SIGNATURE_BYTES = 8
_FRAME_BYTES = 12  # length, name and checksum of a chunk
_HEAD = struct.Struct(">I4s")
_HEADER = struct.Struct(">8xBB")  # after width and height: bit depth and colour type
_ANCILLARY = 0x20  # the case of the first letter of a chunk's name
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_ORIENTATION_TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
_MAX_TEXT_BYTES = 2**18
_SRGB_GAMMA, _GAMMA_TOLERANCE, _GAMMA_BYTES = 45455, 2500, 4  # gAMA holds 100,000 x gamma
_GREY, _COLOUR = 0, 2


@dataclass
class PngFile:
    """What a PNG states beside its pixels.

    Attributes:
        data: The file without the chunks that show nothing.
        bit_depth: The bits per sample.
        colour_type: The kind: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
        significant_bits: The largest number of bits of the original samples, or None.
        transparent: The sample values that mean "transparent" in grey or RGB, or None.
        profile: The ICC profile, or None.
        frames: The number of frames that an animation declares, else 1.
        orientation: The EXIF orientation, 1 to 8.
    """

    data: bytes
    bit_depth: int = 8
    colour_type: int = _COLOUR
    significant_bits: int | None = None
    transparent: tuple[int, ...] | None = None
    profile: bytes | None = None
    frames: int = 1
    orientation: int = 1


def read_chunks(data: bytes) -> PngFile:
    """Walk over the chunks of a PNG; what is damaged in its pixels is left to the decoder.

    Raises:
        TooLargeError: there are more than :data:`MAX_CHUNKS`.
    """
    file = PngFile(data)
    kept: list[bytes] = []
    damaged: list[str] = []
    stated: dict[bytes, bytes] = {}
    texts: dict[str, str] = {}
    kept_to = 0
    for at, end, name in _chunks(data):
        if name != b"IHDR" and not name[0] & _ANCILLARY:
            continue
        body = data[at + 8 : end - 4]
        whole = zlib.crc32(body, zlib.crc32(name)) == int.from_bytes(data[end - 4 : end])
        if whole and name not in _TEXTS:
            stated.setdefault(name, body)
        elif whole and body.startswith(_ORIENTATION_TEXTS):
            texts.setdefault(body.partition(b"\0")[0].decode(), _text(name, body))
        if name != b"IHDR" and (not whole or name != b"tRNS" or not body):
            kept.append(data[kept_to:at])
            kept_to = end
            if not whole:
                damaged.append(name.decode("latin-1"))
    if kept:
        file.data = b"".join([*kept, data[kept_to:]])
    if damaged:
        note(
            NoteCode.REPAIRED,
            f"{', '.join(sorted(set(damaged)))} of the PNG has a wrong checksum and was left out; "
            "its pixels are whole",
            count=len(damaged),
        )
    _interpret(stated, file)
    if b"eXIf" in stated or texts:
        file.orientation = _orientation(stated.get(b"eXIf"), texts)
    return file


def _chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Iterate over the start, the end and the name of every whole chunk before the end mark."""
    end = _SIGNATURE_BYTES
    for _ in range(MAX_CHUNKS):
        if end + _FRAME_BYTES > len(data):
            return
        length, name = _HEAD.unpack_from(data, end)
        at, end = end, end + _FRAME_BYTES + length
        if end > len(data) or name == b"IEND":
            return
        yield at, end, name
    raise TooLargeError(f"the PNG has more than {MAX_CHUNKS:,} chunks", field="inputs")


def _interpret(stated: dict[bytes, bytes], file: PngFile) -> None:
    if len(stated.get(b"IHDR", b"")) >= _HEADER.size:
        file.bit_depth, file.colour_type = _HEADER.unpack_from(stated[b"IHDR"])
    if bits := stated.get(b"sBIT"):
        file.significant_bits = max(bits[:3] if file.colour_type & _COLOUR else bits[:1])
    transparent = stated.get(b"tRNS", b"")
    if transparent and file.colour_type in (_GREY, _COLOUR) and len(transparent) % 2 == 0:
        file.transparent = struct.unpack(f">{len(transparent) // 2}H", transparent)
    if len(animation := stated.get(b"acTL", b"")) >= _HEAD.size:
        file.frames = int.from_bytes(animation[:4])
    if b"iCCP" in stated:
        file.profile = _unpack_profile(stated[b"iCCP"])
    elif b"sRGB" not in stated and len(gamma := stated.get(b"gAMA", b"")) == _GAMMA_BYTES:
        value = int.from_bytes(gamma)
        if abs(value - _SRGB_GAMMA) > _GAMMA_TOLERANCE:
            note(
                NoteCode.IGNORED,
                f"the PNG states a gamma of {value / 100_000:.3f} for its colours, which was not "
                "applied; save it in sRGB",
                field="gAMA",
            )


def _text(name: bytes, body: bytes) -> str:
    """Return the text of a chunk, as far as it is no longer than a bound; empty if damaged."""
    rest = body.partition(b"\0")[2]
    packed = name == b"zTXt"
    if name == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif packed:
        rest = rest[1:]
    try:
        rest = zlib.decompressobj().decompress(rest, _MAX_TEXT_BYTES) if packed else rest
    except zlib.error:
        return ""
    return rest[:_MAX_TEXT_BYTES].decode("utf-8", errors="replace")


def _orientation(exif: bytes | None, texts: dict[str, str]) -> int:
    """Let Pillow find the orientation in the places where programs write it."""
    bearer = Image.new("1", (1, 1))
    bearer.info.update(texts)
    if exif is not None:
        bearer.info["exif"] = exif
    return raster.orientation_of(bearer)


def _unpack_profile(body: bytes) -> bytes | None:
    _, _, packed = body.partition(b"\0")
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(packed[1:], MAX_PROFILE_BYTES + 1)
    except zlib.error:
        profile = b""
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        return profile
    reason = "is too large" if profile else "is damaged"
    note(
        NoteCode.IGNORED,
        f"the colour profile of the PNG {reason} and was not used; the colours were taken as sRGB",
        field="iCCP",
    )
    return None
