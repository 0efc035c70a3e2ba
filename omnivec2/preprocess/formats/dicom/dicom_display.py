"""Stored DICOM values -> what a viewer shows (DICOM PS3.3 C.11, C.7.6.3).

They go through the modality lookup table or rescaling, then through the file's first usable
value-of-interest table or window, and MONOCHROME1 is inverted. These maps depend on nothing
but a pixel's value, so they are applied to the range of values rather than to the picture.
Tags that break the standard's rules are left out with a note.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import CODEC_ERRORS
from omnivec2.preprocess.formats.pictures.raster import stretch_to_uint8
from omnivec2.preprocess.notes import NoteCode, note

LEAST_IN_WINDOW = 0.05
"""A window that shows a smaller share of the pixels as more than black and white is wrong."""

USUAL_IN_WINDOW = 0.3
"""With a smaller share the window is followed, but noted: black borders are large at times."""

_MOST_ENTRIES, _SIGN = 2**16, 2**15
_MONOCHROME1 = "MONOCHROME1"
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def displayed(stored: Array, dataset: Dataset) -> npt.NDArray[np.uint8]:
    """Map a grey picture to what is shown, scaled by its own range, with padding black.

    Args:
        stored: An array (height, width) of stored values, MONOCHROME1 or 2.
        dataset: The data set; its tags say how to show them.

    Raises:
        InvalidInputError: there is nothing but padding.
    """
    padding = _padding_mask(stored, dataset)
    visible = stored if padding is None else stored[~padding]
    if visible.size == 0:
        raise InvalidInputError("the DICOM holds nothing but padding", field="inputs")
    low, high = int(visible.min()), int(visible.max())
    values = _modality_values(np.arange(low, high + 1, dtype=np.int32), dataset)
    places = np.subtract(stored, low, dtype=np.int32)
    np.clip(places, 0, high - low, out=places)
    counts = np.bincount(places[~padding] if padding is not None else places.ravel())
    table = _of_interest(values, counts, dataset).astype(np.float32)
    if dataset.PhotometricInterpretation == _MONOCHROME1:
        table = -table
    shown = stretch_to_uint8(table)[places]
    if padding is not None:
        shown[padding] = 0
    return shown


def number(dataset: Dataset, keyword: str) -> float | None:
    """Read the first number of an element, or None if it is absent, blank or unreadable."""
    found = _numbers(dataset, keyword)
    return found[0] if found else None


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    try:
        value: Any = dataset.get(keyword)
        values = list(value) if isinstance(value, list | tuple) or _is_multiple(value) else [value]
        numbers = [float(v) for v in values if v is not None and v != ""]
    except CODEC_ERRORS:
        numbers = [math.nan]
    if all(math.isfinite(n) for n in numbers):
        return numbers
    note(NoteCode.REPAIRED, f"{keyword} is no number and was not used", field=keyword)
    return []


def _is_multiple(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, str | bytes)


def _modality_values(values: npt.NDArray[np.int32], dataset: Dataset) -> Array:
    """Apply the modality table, or else slope and intercept."""
    if (table := _table(dataset, "ModalityLUTSequence", values)) is not None:
        return table.entries[np.clip(values - table.first, 0, table.entries.size - 1)]
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if slope == 0:
        _leave_out("RescaleSlope", "is 0")
        slope = None
    if slope is None and intercept is None:
        return values
    return values * (1.0 if slope is None else slope) + (intercept or 0.0)


def _of_interest(values: Array, counts: npt.NDArray[np.int64], dataset: Dataset) -> Array:
    """Apply the first table of interest, or else the first usable window.

    Args:
        values: The values after the modality map.
        counts: The number of pixels of each of them.
        dataset: The data set.
    """
    if (table := _table(dataset, "VOILUTSequence", values)) is not None:
        indices = np.rint(values).astype(np.int64) - table.first
        last = table.entries.size - 1
        name, inside = "VOI LUT", (indices >= 0) & (indices <= last)
        shown: Array = table.entries[np.clip(indices, 0, last)]
    elif (window := _window(dataset)) is not None:
        name = f"window (center {window[0]:g}, width {window[1]:g})"
        shown, inside = _windowed(values, *window)
    else:
        return values
    share = counts[inside].sum() / counts.sum()
    if counts.size > 1 and share < LEAST_IN_WINDOW:
        note(
            NoteCode.GUESSED,
            f"the {name} of the DICOM shows almost all of the picture as even black or white; its "
            "own range of values was taken instead",
            field="VOILUTSequence" if table is not None else "WindowCenter",
        )
        return values
    if share < USUAL_IN_WINDOW:
        note(
            NoteCode.UNUSUAL,
            f"the {name} of the DICOM shows {1 - share:.0%} of the picture as even black or white",
            field="VOILUTSequence" if table is not None else "WindowCenter",
        )
    return shown


def _windowed(
    values: Array, center: float, width: float, function: str
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return values through a window, 0 to 1, and which of them it does not clip."""
    if function == "SIGMOID":
        shown = 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -50, 50)))
        return shown, np.abs(values - center) <= width
    if function == "LINEAR" and width >= 1:  # C.11.2.1.2.1
        center, width = center - 0.5, width - 1
    low, high = center - width / 2, center + width / 2
    return np.clip((values - low) / max(width, 1e-9), 0, 1), (values > low) & (values <= high)


@dataclass(frozen=True)
class _Table:
    """A lookup table: its entries, and the value that the first of them is for."""

    entries: npt.NDArray[np.float32]
    first: int


def _table(dataset: Dataset, keyword: str, values: Array) -> _Table | None:
    """Read the first table of a sequence; None if there is none, or it is damaged (noted)."""
    try:
        if not (items := dataset.get(keyword)):
            return None
        count, first, _ = (int(n) for n in items[0].LUTDescriptor)
        data: Any = items[0].LUTData
        if isinstance(data, bytes):
            wide = len(data) >= 2 * (count or _MOST_ENTRIES)  # else 8-bit entries, packed
            order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
            data = np.frombuffer(data, f"{order}u2" if wide else np.uint8)
        entries = np.asarray(data, dtype=np.float32)[: count or _MOST_ENTRIES]
    except CODEC_ERRORS:
        entries, count, first = np.zeros(0, np.float32), 1, 0
    if entries.size < (count or _MOST_ENTRIES):
        _leave_out(keyword, "is damaged")
        return None
    # The descriptor's type does not tell negative numbers from large ones.
    if first >= _SIGN and values.min() < 0:
        first -= 2 * _SIGN
    return _Table(entries, first)


def _window(dataset: Dataset) -> tuple[float, float, str] | None:
    centers, widths = _numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth")
    if not centers or not widths:
        return None
    usable = [(c, w) for c, w in zip(centers, widths, strict=False) if w > 0]
    if not usable:
        _leave_out("WindowWidth", "is not positive, which means no window,")
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper().strip()
    if function not in _FUNCTIONS:
        note(
            NoteCode.REPAIRED,
            f"the VOI LUT function {function[:16]!r} is not one of {', '.join(_FUNCTIONS)}; "
            "LINEAR was taken",
            field="VOILUTFunction",
        )
        function = "LINEAR"
    return (*usable[0], function)


def _leave_out(keyword: str, reason: str) -> None:
    note(NoteCode.REPAIRED, f"{keyword} {reason} and was not used", field=keyword)


def _padding_mask(stored: Array, dataset: Dataset) -> npt.NDArray[np.bool_] | None:
    """Return a mask of the pixels outside the picture (PS3.3 C.7.5.1.1.2), or None."""
    first = number(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted(_as_stored(int(v), stored) for v in (first, first if last is None else last))
    outside: npt.NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return outside


def _as_stored(padding: int, stored: Array) -> int:
    """Give a padding value the sign of the pixels: some programs write it with the other one."""
    kind = np.iinfo(stored.dtype)
    if kind.min <= padding <= kind.max:
        return padding
    turn = 1 << 8 * stored.dtype.itemsize
    return padding - turn if padding > kind.max else padding + turn
