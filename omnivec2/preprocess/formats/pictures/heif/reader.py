"""HEIC pictures of phones: the primary item, its tiles put together and turned upright.

The tiles are HEVC pictures, which FFmpeg decodes. Formats: ISO/IEC 23008-12 (HEIF), 6.5 for
properties and 6.6.2.3 for grids.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from PIL import Image

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.formats.guards.decoding_guard import check_pixels, undecodable
from omnivec2.preprocess.formats.pictures.heif.boxes import HeifFile, Item, parse_heif
from omnivec2.preprocess.formats.pictures.plain_pictures import StoredPicture
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

if TYPE_CHECKING:
    import av

HOW_TO_CONVERT = "export it as JPEG, or convert it with: heif-convert INPUT output.jpg"

_MAX_DEPTH = 4
_CODED, _GRID, _IDENTITY = "hvc1", "grid", "iden"
_LEAST_MAX_PIXELS = 2**16
_CODING_BLOCK = 64
_BT709, _BT601 = 1, 5  # of PyAV's and FFmpeg's AVCOL_SPC numbers
_MATRICES = {1: _BT709, 5: _BT601, 6: _BT601, 9: 9}
_NARROW, _FULL = 1, 2
_SRGB_PRIMARIES = frozenset({1, 2})
_ROTATIONS = {
    1: Image.Transpose.ROTATE_90,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_270,
}
_MIRRORS = (Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_LEFT_RIGHT)


def read_heif(data: bytes, limits: Limits) -> StoredPicture:
    """Decode the primary picture of a HEIC file, upright.

    Raises:
        UndecodableError: the file is damaged or truncated.
        TooLargeError: the declared size is over ``limits.pixels``.
        InvalidInputError: its coding is not supported.
    """
    if find_spec("av") is None:
        raise _unsupported("HEIC pictures, as this service has no decoder for them")
    import av

    with undecodable("HEIC", av.FFmpegError):
        file = parse_heif(data)
        item = file.items[file.primary]
        if file.has_alpha:
            note(NoteCode.IGNORED, "the transparency of the HEIC was not used")
        picture = _Reader(file, limits).read(item)
        return StoredPicture(picture, picture.size, profile=_profile(file, item))


def _unsupported(what: str) -> InvalidInputError:
    return InvalidInputError(f"unsupported: {what}; {HOW_TO_CONVERT}", field="inputs")


class _Reader:
    """Reads items of one file; every size is checked before anything is decoded."""

    def __init__(self, file: HeifFile, limits: Limits) -> None:
        self.file, self.limits = file, limits

    def read(self, item: Item, depth: int = 0) -> Image.Image:
        """Decode an item and apply its transformations."""
        if depth > _MAX_DEPTH:
            raise UndecodableError("the HEIC nests its items too deep", field="inputs")
        if item.kind == _CODED:
            (picture,) = self._decoded([item])
        elif item.kind == _GRID:
            picture = self._grid(item)
        elif item.kind == _IDENTITY and len(item.sources) == 1:
            picture = self.read(self.file.items[item.sources[0]], depth + 1)
        else:
            raise _unsupported(f"a HEIF picture of coding {item.kind!r}")
        return _transformed(picture, item)

    def _grid(self, item: Item) -> Image.Image:
        content = self.file.content(item)
        rows, columns = content[2] + 1, content[3] + 1
        width, height = struct.unpack_from(">II" if content[1] & 1 else ">HH", content, 4)
        check_pixels(width, height, self.limits, "HEIC")
        tiles = [self.file.items[number] for number in item.sources]
        if len(tiles) != rows * columns or any(tile.kind != _CODED for tile in tiles):
            raise UndecodableError(
                f"the HEIC declares {rows} x {columns} tiles, but has {len(tiles)}", field="inputs"
            )
        sizes = {_size(tile) for tile in tiles}
        tile_width, tile_height = sizes.pop()
        # Tiles cover the picture, and each of them a part of it.
        if sizes or not (
            (columns - 1) * tile_width < width <= columns * tile_width
            and (rows - 1) * tile_height < height <= rows * tile_height
        ):
            raise UndecodableError("the tiles of the HEIC do not fit together", field="inputs")
        whole = Image.new("RGB", (width, height))
        for number, tile in enumerate(self._decoded(tiles)):
            row, column = divmod(number, columns)
            whole.paste(tile, (column * tile_width, row * tile_height))
        return whole

    def _decoded(self, items: Sequence[Item]) -> Iterator[Image.Image]:
        """Decode coded items of the same size, in their order."""
        import av

        decoder: av.VideoCodecContext | None = None
        configuration: bytes | None = None
        waiting: list[Item] = []
        for item in items:
            width, height = _size(item)
            check_pixels(width, height, self.limits, "HEIC")
            if item.first("hvcC") != configuration or decoder is None:
                if decoder is not None:
                    yield from self._frames(decoder, None, waiting)
                configuration = item.first("hvcC")
                decoder = _open_decoder(configuration, width, height)
            waiting.append(item)
            yield from self._frames(decoder, av.Packet(self.file.content(item)), waiting)
        if decoder is not None:
            yield from self._frames(decoder, None, waiting)
        if waiting:
            raise UndecodableError("tiles of the HEIC are missing or damaged", field="inputs")

    def _frames(
        self, decoder: av.VideoCodecContext, packet: av.Packet[Any] | None, waiting: list[Item]
    ) -> Iterator[Image.Image]:
        for frame in decoder.decode(packet):
            item = waiting.pop(0)
            if (frame.width, frame.height) != _size(item):
                raise UndecodableError(
                    f"the HEIC declares {_size(item)} pixels and holds "
                    f"{frame.width} x {frame.height}",
                    field="inputs",
                )
            yield _in_rgb(frame, _nclx(item) or _nclx(self.file.items[self.file.primary]))


def _open_decoder(configuration: bytes | None, width: int, height: int) -> av.VideoCodecContext:
    import av

    if configuration is None:
        raise UndecodableError("the HEIC lacks its decoder's configuration", field="inputs")
    decoder = av.CodecContext.create("hevc", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = configuration
    decoder.thread_count = 1
    # The stream has a size of its own, which counts whole blocks; no larger one is allocated.
    across, down = (-(-side // _CODING_BLOCK) * _CODING_BLOCK for side in (width, height))
    decoder.options = {"max_pixels": str(max(across * down, _LEAST_MAX_PIXELS))}
    return decoder


def _size(item: Item) -> tuple[int, int]:
    body = item.first("ispe")
    if body is None:
        raise UndecodableError("the HEIC does not declare its size", field="inputs")
    width, height = struct.unpack_from(">II", body, 4)
    return width, height


def _nclx(item: Item) -> tuple[int, int, bool] | None:
    """Return (primaries, matrix, whether the range is full) of an item's colours, or None."""
    for found in item.properties:
        if found.kind == "colr" and found.body[:4] == b"nclx":
            primaries, _, matrix, flags = struct.unpack_from(">HHHB", found.body, 4)
            return primaries, matrix, bool(flags & 0x80)
    return None


def _in_rgb(frame: av.VideoFrame, nclx: tuple[int, int, bool] | None) -> Image.Image:
    # Without a statement in the container that of the stream counts.
    primaries, matrix, is_full = nclx or (1, int(frame.colorspace), frame.color_range != _NARROW)
    if primaries not in _SRGB_PRIMARIES:
        note(
            NoteCode.IGNORED,
            "the colours of the HEIC are of a wider space than sRGB (nclx) and were taken as sRGB",
            field="colr",
        )
    converted: Any = frame.reformat(
        format="rgb24",
        src_colorspace=_MATRICES.get(matrix, _BT601),
        src_color_range=_FULL if is_full else _NARROW,
        dst_color_range=_FULL,
        threads=1,
    )
    return Image.fromarray(converted.to_ndarray())


def _transformed(picture: Image.Image, item: Item) -> Image.Image:
    """Apply crop, rotation and mirroring in the order in which they are listed."""
    for found in item.properties:
        if found.kind == "clap":
            picture = _cropped(picture, found.body)
        elif found.kind == "irot" and (turn := _ROTATIONS.get(found.body[0] & 3)) is not None:
            picture = picture.transpose(turn)
        elif found.kind == "imir":
            picture = picture.transpose(_MIRRORS[found.body[0] & 1])
    return picture


def _cropped(picture: Image.Image, body: bytes) -> Image.Image:
    """Cut to the clean aperture: width, height and the offsets of its middle, as fractions."""
    numbers = struct.unpack_from(">IIIIiIiI", body)
    width, height, right, down = (a / b for a, b in zip(numbers[::2], numbers[1::2], strict=True))
    left = round((picture.width - width) / 2 + right)
    top = round((picture.height - height) / 2 + down)
    box = (left, top, left + round(width), top + round(height))
    if not (0 <= left < box[2] <= picture.width and 0 <= top < box[3] <= picture.height):
        raise UndecodableError("the HEIC is cut outside of its picture", field="inputs")
    return picture.crop(box)


def _profile(file: HeifFile, item: Item) -> bytes | None:
    """Return the ICC profile of an item, or of its first tile."""
    for source in (item, *(file.items[number] for number in item.sources[:1])):
        for found in source.properties:
            if found.kind == "colr" and found.body[:4] in (b"prof", b"rICC"):
                return found.body[4:]
    return None
