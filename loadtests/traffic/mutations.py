"""Files that were damaged on purpose, the same ones for the same seed.

Most changes keep a file recognisable, so that they reach the decoder behind the first check: sizes
and counts that lie, parts that are missing, repeated or from another file of the same modality.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

_HEAD_BYTES = 256
"""Where most formats keep their sizes."""

_MOST_GROWTH = 4096
_EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_WIDTHS = (1, 2, 4, 8)

_TEXTS = (
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n", b"\t", b";", b",", b'"', b"'"),
    *(b"nan", b"-inf", b"1e999", b"-1", b"9" * 40, b"{", b"]", b"null", b"%s%n", b"\\u0000"),
)

Mutate = Callable[[bytes, Sequence[bytes], random.Random], bytes]


def flip_bits(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Change a few bits anywhere."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def spoil_head(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Replace a few bytes of the head."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        changed[chance.randrange(min(len(changed), _HEAD_BYTES))] = chance.randrange(256)
    return bytes(changed)


def lie_about_size(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    """Replace a number, of any width and byte order, by an extreme one."""
    width = chance.choice(_WIDTHS)
    value: int = chance.choice(_EXTREMES) & ((1 << 8 * width) - 1)
    end = len(data) if chance.random() < 0.3 else min(len(data), _HEAD_BYTES)
    at = chance.randrange(max(1, end - width))
    number = value.to_bytes(width, chance.choice(("little", "big")))
    return data[:at] + number + data[at + width :]


def truncate(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    """Leave out the end."""
    return data[: chance.randrange(1, len(data) + 1)]


def append(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    """Add bytes to the end."""
    return data + chance.randbytes(chance.randint(1, _MOST_GROWTH))


def remove_part(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    """Leave out a part."""
    start, stop = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[stop:] or data[:1]


def repeat_part(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    """Repeat a part, sometimes often."""
    start = chance.randrange(len(data))
    part = data[start : start + chance.randint(1, _MOST_GROWTH)]
    return data[:start] + part * chance.choice((2, 2, 3, 64)) + data[start:]


def splice(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Join the beginning of a file to the end of another one."""
    other = chance.choice(others)
    return data[: chance.randrange(1, len(data) + 1)] + other[chance.randrange(len(other)) :]


def insert_text(data: bytes, _: Sequence[bytes], chance: random.Random) -> bytes:
    """Insert characters that mean something in some format."""
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(_TEXTS) + data[at:]


MUTATIONS: Mapping[str, Mutate] = {
    mutate.__name__: mutate
    for mutate in (
        *(flip_bits, spoil_head, lie_about_size, truncate, append),
        *(remove_part, repeat_part, splice, insert_text),
    )
}


def mutants(files: Sequence[bytes], seed: str) -> Iterator[tuple[str, bytes]]:
    """Yield damaged files without end: the names of what was done, and the bytes.

    Args:
        files: The whole files, of one modality; none is empty.
        seed: The seed: the same one yields the same files.
    """
    chance = random.Random(seed)
    while True:
        data = chance.choice(files)
        names = chance.choices(tuple(MUTATIONS), k=chance.choice((1, 1, 1, 2, 3)))
        for name in names:
            data = MUTATIONS[name](data, files, chance) or b"\0"
        yield "+".join(names), data
