"""What a recording is, told by its first bytes, whatever it is called."""

from __future__ import annotations

from typing import Final

from omnivec2.preprocess.formats.media.mpeg_frames import mpeg_start

_GIF_MAGICS = (b"GIF87a", b"GIF89a")
_EBML_MAGIC = b"\x1a\x45\xdf\xa3"
_QUICKTIME_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_PICTURE_BRANDS: Final = {
    b"heic": "HEIC picture", b"heix": "HEIC picture", b"hevc": "HEIC sequence",
    b"hevx": "HEIC sequence", b"mif1": "HEIF picture", b"msf1": "HEIF sequence",
    b"avif": "AVIF picture", b"avis": "AVIF sequence", b"crx ": "CR3 raw picture",
}  # fmt: skip

_TS_SYNC = 0x47
_TS_PACKETS = (188, 192, 204)
"""Bytes per packet of a transport stream: plain, with a time stamp (AVCHD), with check bytes."""
_TS_PROOFS = 5

_ID3_HEAD = 10
_PREFIXES: Final = (
    (b"fLaC", "FLAC"), (b"OggS", "OGG"), (b".snd", "AU"), (b"caff", "CAF"),
    (b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", "W64"), (b"#!AMR", "AMR"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"), (b"\x00\x00\x01\xba", "MPEG-PS"),
    *((magic, "GIF") for magic in _GIF_MAGICS),
)  # fmt: skip
_RIFF_KINDS: Final = {b"WAVE": "WAV", b"AVI ": "AVI"}

_OTHER_PREFIXES: Final = (
    (b"FLV", "Flash video (FLV)"), (b"\x06\x0e\x2b\x34\x02\x05", "MXF"),
    (b".RMF", "RealMedia"), (b".ra\xfd", "RealAudio"), (b"YUV4MPEG2", "Y4M video"),
    (b"\x00\x00\x01\xb3", "a bare MPEG video stream"),
    (b"\x00\x00\x00\x01\x67", "a bare H.264 stream"), (b"\x00\x00\x01\x67", "a bare H.264 stream"),
    (b"\x00\x00\x00\x01\x09", "a bare H.264 stream"),
    (b"\x00\x00\x00\x01\x40", "a bare HEVC stream"),
    (b"\x0b\x77", "AC-3"), (b"\x7f\xfe\x80\x01", "DTS"), (b"MAC ", "Monkey's Audio"),
    (b"wvpk", "WavPack"), (b"TTA1", "TTA"), (b"MPCK", "Musepack"), (b"MP+", "Musepack"),
    (b"DSD ", "DSD (DSF)"), (b"FRM8", "DSD (DFF)"), (b"MThd", "MIDI, which holds no sound"),
    (b"Creative Voice File", "VOC"), (b"NIST_1A", "NIST Sphere"), (b"ADIF", "AAC (ADIF)"),
    (b"\x89PNG", "PNG picture"), (b"\xff\xd8\xff", "JPEG picture"),
    (b"%PDF", "PDF document"), (b"PK\x03\x04", "ZIP archive"), (b"\x1f\x8b", "gzip archive"),
    (b"#EXTM3U", "a playlist, which holds only addresses"),
)  # fmt: skip


def container_of(data: bytes) -> str | None:
    """Return the name of a recording's container, such as ``"WAV"`` or ``"MP4"``.

    Returns:
        MP4, MOV, WebM (also for Matroska), AVI, GIF, MPEG-TS, MPEG-PS, WAV, FLAC, OGG, MP3, AAC,
        AIFF, AU, CAF, W64, AMR or WMA; None for anything else.
    """
    for magic, name in _PREFIXES:
        if data.startswith(magic):
            return name
    if data[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return _RIFF_KINDS.get(data[8:12])
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    if data.startswith(_EBML_MAGIC):
        return "WebM"
    if data[4:8] in _QUICKTIME_BOXES:
        if data[4:8] != b"ftyp" or data[8:12] == b"qt  ":
            return "MOV"
        return None if data[8:12] in _PICTURE_BRANDS else "MP4"
    if _is_transport_stream(data):
        return "MPEG-TS"
    return _tagged_or_bare_sound(data)


def unsupported_format(data: bytes) -> str | None:
    """Return what a file is that no reader here takes, in words; None if it is not known."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP picture"
    if data[4:8] == b"ftyp":
        return _PICTURE_BRANDS.get(data[8:12])
    return next((name for magic, name in _OTHER_PREFIXES if data.startswith(magic)), None)


def id3_end(data: bytes) -> int:
    """Return the length of the ID3v2 tags in front of a recording; 0 if there are none."""
    at = 0
    while data[at : at + 3] == b"ID3" and at + _ID3_HEAD <= len(data):
        sizes = data[at + 6 : at + _ID3_HEAD]  # seven bits each
        if max(sizes) > 0x7F:
            break
        length = sum(size << shift for size, shift in zip(sizes, (21, 14, 7, 0), strict=True))
        footer = _ID3_HEAD if data[at + 5] & 0x10 else 0
        at += _ID3_HEAD + length + footer
    return min(at, len(data))


def _tagged_or_bare_sound(data: bytes) -> str | None:
    """Return the kind of a file without a container: frames, perhaps with ID3 tags in front."""
    if data[:3] == b"ID3":
        behind = data[id3_end(data) :].lstrip(b"\0")[:64]
        known = container_of(behind) if behind and behind[:3] != b"ID3" else None
        return known or "MP3"
    if len(data) > 1 and data[0] == 0xFF:
        if data[1] & 0xF6 == 0xF0:  # ADTS: a sync word of 12 bits, layer 0
            return "AAC"
        if data[1] & 0xE0 == 0xE0:
            return "MP3"
    # A stream that was picked up in the middle of a frame; pictures hold such bytes by chance.
    if unsupported_format(data) is None and mpeg_start(data) is not None:
        return "MP3"
    return None


def _is_transport_stream(data: bytes) -> bool:
    """Whether packets of a transport stream follow each other; the first may be cut."""
    for size in _TS_PACKETS:
        for offset in range(size):
            places = range(offset, min(len(data), offset + _TS_PROOFS * size), size)
            sure = len(places) == _TS_PROOFS or (offset in (0, 4) and len(places) >= 2)
            if sure and all(data[at] == _TS_SYNC for at in places):
                return True
    return False
