"""The boxes of a HEIF file: its items, where they are, their properties and relations.

Layout: ISO/IEC 14496-12 (boxes, ``meta``) and 23008-12 (HEIF). Only what leads to the primary
picture is read. All numbers come from strangers: whatever points outside of the file raises
``ValueError`` or ``struct.error``, which the caller turns into a refusal.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_ITEMS = 4096
"""The most items of a file; a phone's picture of 48 megapixels has about 200 tiles."""

_HEAD_BYTES, _WIDE_HEAD_BYTES = 8, 16
_MAX_BOXES = 20_000


@dataclass(frozen=True)
class Property:
    """A property of an item, e.g. ``irot``.

    Attributes:
        kind: Its four letters.
        body: Its content, with version and flags.
    """

    kind: str
    body: bytes


@dataclass
class Item:
    """An item: a coded picture, a grid of tiles, metadata.

    Attributes:
        kind: Its four letters, e.g. ``hvc1``, ``grid``, ``Exif``.
        extents: The (offset, length) of its pieces.
        inside_idat: Whether the offsets count from the ``idat`` box rather than the file.
        properties: Its properties, in the order in which they are to be applied.
        sources: The items that it is made from (``dimg``), in order.
    """

    kind: str = ""
    extents: list[tuple[int, int]] = field(default_factory=list)
    inside_idat: bool = False
    properties: list[Property] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)

    def first(self, kind: str) -> bytes | None:
        """Return the content of the first property of a kind, or None."""
        return next((p.body for p in self.properties if p.kind == kind), None)


@dataclass
class HeifFile:
    """A parsed file.

    Attributes:
        data: The whole file.
        primary: The id of the picture to show.
        items: The items by their id.
        idat: The content of the ``idat`` box.
        has_alpha: Whether the primary item has a plane of transparency.
    """

    data: bytes
    primary: int = 0
    items: dict[int, Item] = field(default_factory=dict)
    idat: bytes = b""
    has_alpha: bool = False

    def content(self, item: Item) -> bytes:
        """Return the bytes of an item.

        Raises:
            ValueError: it lies outside of the file, or is longer than it.
        """
        source = self.idat if item.inside_idat else self.data
        if sum(length for _, length in item.extents) > len(source):
            raise ValueError("an item is larger than its file")
        parts = []
        for offset, length in item.extents:
            if offset + length > len(source):
                raise ValueError("an item lies beyond the end of its file")
            parts.append(source[offset : offset + length] if length else source[offset:])
        return b"".join(parts)


def parse_heif(data: bytes) -> HeifFile:
    """Read the boxes of a file.

    Raises:
        ValueError: the file has no ``meta`` box, or breaks its format.
        struct.error: a box is cut off.
    """
    file = HeifFile(data)
    for kind, body in _boxes(data, 0, len(data)):
        if kind == "meta":
            _read_meta(file, body)
            return file
    raise ValueError("there is no meta box")


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[str, bytes]]:
    at = start
    for _ in range(_MAX_BOXES):
        if at + _HEAD_BYTES > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        head = _HEAD_BYTES
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + _HEAD_BYTES)
            head = _WIDE_HEAD_BYTES
        elif size == 0:
            size = end - at
        if size < head or at + size > end:
            raise ValueError("a box lies beyond its end")
        yield kind.decode("latin-1"), data[at + head : at + size]
        at += size
    raise ValueError("there are too many boxes")


def _read_meta(file: HeifFile, body: bytes) -> None:
    boxes = dict(_boxes(body, 4, len(body)))
    file.idat = boxes.get("idat", b"")
    pitm = boxes["pitm"]
    (file.primary,) = struct.unpack_from(">I" if pitm[0] else ">H", pitm, 4)
    _read_kinds(file, boxes["iinf"])
    _read_places(file, boxes["iloc"])
    _read_properties(file, boxes["iprp"])
    if "iref" in boxes:
        _read_relations(file, boxes["iref"])


def _read_kinds(file: HeifFile, body: bytes) -> None:
    for kind, entry in _boxes(body, 8 if body[0] else 6, len(body)):
        if kind != "infe" or entry[0] < 2:
            continue
        wide = entry[0] > 2
        (number,) = struct.unpack_from(">I" if wide else ">H", entry, 4)
        at = 10 if wide else 8  # after the protection index
        file.items[number] = Item(entry[at : at + 4].decode("latin-1"))
        if len(file.items) > MAX_ITEMS:
            raise ValueError("there are too many items")


class _Numbers:
    """Big-endian numbers of given sizes, one after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def read(self, size: int) -> int:
        if self.at + size > len(self.data):
            raise ValueError("a box is cut off")
        value = int.from_bytes(self.data[self.at : self.at + size])
        self.at += size
        return value


def _read_places(file: HeifFile, body: bytes) -> None:
    version = body[0]
    numbers = _Numbers(body, 4)
    sizes = numbers.read(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    id_size = 2 if version < 2 else 4
    for _ in range(min(numbers.read(id_size), MAX_ITEMS)):
        item = file.items.get(numbers.read(id_size), Item())
        method = numbers.read(2) & 15 if version else 0
        if method > 1:
            raise ValueError("an item is made from others in an unknown way")
        item.inside_idat = method == 1
        numbers.read(2)  # data reference
        base = numbers.read(base_size)
        for _ in range(min(numbers.read(2), MAX_ITEMS)):
            numbers.read(index_size)
            offset = base + numbers.read(offset_size)
            item.extents.append((offset, numbers.read(length_size)))


def _read_properties(file: HeifFile, body: bytes) -> None:
    known: list[Property] = []
    for kind, inner in _boxes(body, 0, len(body)):
        if kind == "ipco":
            known = [Property(name, content) for name, content in _boxes(inner, 0, len(inner))]
        elif kind == "ipma":
            numbers = _Numbers(inner, 4)
            id_size, index_size = (4 if inner[0] else 2), (2 if inner[3] & 1 else 1)
            for _ in range(min(numbers.read(4), MAX_ITEMS)):
                item = file.items.get(numbers.read(id_size), Item())
                for _ in range(numbers.read(1)):
                    index = numbers.read(index_size) & (0x7FFF if index_size == 2 else 0x7F)
                    if 0 < index <= len(known):
                        item.properties.append(known[index - 1])


def _read_relations(file: HeifFile, body: bytes) -> None:
    size = 4 if body[0] else 2
    for kind, inner in _boxes(body, 4, len(body)):
        numbers = _Numbers(inner, 0)
        source = numbers.read(size)
        targets = [numbers.read(size) for _ in range(min(numbers.read(2), MAX_ITEMS))]
        item = file.items.get(source, Item())
        if kind == "dimg":
            item.sources = targets
        elif kind == "auxl" and file.primary in targets:
            file.has_alpha |= b"auxid:1" in (item.first("auxC") or b"")
