"""The frames of MPEG audio (MP3), which need no container: where they start, how many there are."""

from __future__ import annotations

from typing import Final, NamedTuple

_MPEG_SEARCH_BYTES = 8192
_MPEG_PROOFS = 3
_MPEG_RATES_HZ = (44_100, 48_000, 32_000)
_MPEG_KBITS: Final = {
    # (version 1?, layer) -> kbit/s by index
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


class _Frame(NamedTuple):
    """The size of a frame.

    Attributes:
        length: The number of bytes.
        samples: The number of samples of a channel.
    """

    length: int
    samples: int


def mpeg_samples(data: bytes, start: int) -> int:
    """Return the samples of a channel in the frames that follow each other from a position on."""
    samples = 0
    while (frame := _frame(data[start : start + 4])) is not None:
        samples += frame.samples
        start += frame.length
    return samples


def mpeg_start(data: bytes) -> int | None:
    """Return where the first of several MPEG audio frames starts, near the start; or None."""
    at = data.find(b"\xff", 0, _MPEG_SEARCH_BYTES)
    while at >= 0:
        end = at
        for _ in range(_MPEG_PROOFS):
            if (frame := _frame(data[end : end + 4])) is None:
                break
            end += frame.length
        else:
            if end <= len(data):
                return at
        at = data.find(b"\xff", at + 1, _MPEG_SEARCH_BYTES)
    return None


def _frame(head: bytes) -> _Frame | None:
    """Return the size of an MPEG audio frame from its header; None if it is none (ISO 11172-3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    kbit_index, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or kbit_index in (0, 15) or rate_index == 3:
        return None
    first = version == 3
    rate = _MPEG_RATES_HZ[rate_index] // (1 if first else 2 if version == 2 else 4)
    bits = 1000 * _MPEG_KBITS[first, layer][kbit_index]
    if layer == 1:
        return _Frame((12 * bits // rate + padding) * 4, 384)
    samples = 1152 if first or layer == 2 else 576
    return _Frame(samples // 8 * bits // rate + padding, samples)
