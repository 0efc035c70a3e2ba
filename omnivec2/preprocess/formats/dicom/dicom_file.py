"""DICOM files as they occur: with or without preamble, meta group and header -> a data set."""

from __future__ import annotations

import io
import zlib

from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.dicom.dicom_start import PREAMBLE, PREFIX, bare_syntax
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

MAX_READS = 100_000
"""The largest number of reads of a file: two or three per element, of which a radiograph has
hundreds."""

_PIXEL_DATA = 0x7FE00010
_META_GROUP = 0x0002


class MeteredBytes(io.BytesIO):
    """Bytes with a limited number of reads.

    The parser needs a few reads per element, also for the millions of empty elements or
    fragments that fit into a small file.
    """

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read like any file, and count."""
        self.reads += 1
        if self.reads > MAX_READS:
            raise TooLargeError("the DICOM has too many elements", field="inputs")
        return super().read(size)


def parse(data: bytes, limits: Limits) -> Dataset:
    """Parse all elements; values stay raw until they are accessed.

    Raises:
        UndecodableError: the file ends inside its pixels.
        TooLargeError: it has too many elements, or unpacks to more than ``decoded_bytes``.
        InvalidInputError: there is no pixel data.
    """
    stream = MeteredBytes(data)
    meta, syntax = _read_start(data, stream)
    if syntax.is_deflated:
        stream = MeteredBytes(_inflate(data[stream.tell() :], limits))
    seen = False

    def watch(tag: BaseTag, *_: object) -> bool:
        nonlocal seen
        seen = seen or tag == _PIXEL_DATA
        return False

    dataset = read_dataset(stream, syntax.is_implicit_VR, syntax.is_little_endian, stop_when=watch)
    dataset.file_meta = meta
    dataset.file_meta.TransferSyntaxUID = syntax
    if "PixelData" in dataset:
        return dataset
    if seen:
        raise UndecodableError("the DICOM is truncated inside its pixels", field="inputs")
    raise InvalidInputError("the DICOM holds no pixel data", field="inputs")


def _read_start(data: bytes, stream: MeteredBytes) -> tuple[FileMetaDataset, uid.UID]:
    """Read what stands before the data set, and leave the stream there."""
    if data[PREAMBLE : PREAMBLE + len(PREFIX)] == PREFIX:
        stream.seek(PREAMBLE + len(PREFIX))
    elif data.startswith(PREFIX):
        stream.seek(len(PREFIX))
    elif (bare := bare_syntax(data)) is not None:
        note(
            NoteCode.GUESSED,
            "the DICOM is a bare data set without header; its encoding was concluded from its "
            f"first element: {uid.UID(bare).name}",
        )
        return FileMetaDataset(), uid.UID(bare)
    if stream.tell() < PREAMBLE:
        note(NoteCode.REPAIRED, "the DICOM lacks the preamble before its header")
    meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag.group != _META_GROUP)
    syntax = meta.get("TransferSyntaxUID")
    if not syntax:
        at = stream.tell()
        syntax = bare_syntax(data[at : at + 64]) or uid.ImplicitVRLittleEndian
        note(
            NoteCode.GUESSED,
            f"the DICOM does not state its transfer syntax; {uid.UID(syntax).name} was taken",
            field="TransferSyntaxUID",
        )
    return FileMetaDataset(meta), uid.UID(syntax)


def _inflate(data: bytes, limits: Limits) -> bytes:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflate.decompress(data, limits.decoded_bytes)
    if inflate.unconsumed_tail:
        raise TooLargeError(
            f"the DICOM inflates to more than {limits.decoded_bytes:,} bytes (decoded_bytes)",
            field="inputs",
        )
    return inflated
