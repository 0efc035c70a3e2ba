"""ENVI headers: ``key = value`` lines as cameras and GIS software write them.

Format: NV5, "ENVI Header Files". Real headers differ from it: they are written in Latin-1 or
with a byte order mark, lack fields whose value is usual, and hold lists over many lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.formats.cubes.wavelengths import to_nanometres
from omnivec2.preprocess.notes import NoteCode, note

_MAGIC = "ENVI"
_SIZES = ("lines", "samples", "bands")
_TYPES = {
    "1": "u1", "2": "i2", "3": "i4", "4": "f4", "5": "f8",
    "12": "u2", "13": "u4", "14": "i8", "15": "u8",
}  # fmt: skip
_COMPLEX_TYPES = ("6", "9")
_LIST_FIELDS = ("data gain values", "data offset values")


@dataclass(frozen=True)
class EnviHeader:
    """What a header says.

    Attributes:
        shape: The numbers of lines, samples and bands.
        interleave: The order of the values: ``bsq``, ``bil`` or ``bip``.
        dtype: The type of the values, with their byte order.
        offset: The number of bytes before the values.
        fields: All fields as text, by name in lower case.
        is_library: Whether the data is a list of spectra, each a line, instead of a picture.
    """

    shape: tuple[int, int, int]
    interleave: str
    dtype: np.dtype[np.generic]
    offset: int
    fields: Mapping[str, str]
    is_library: bool = False

    @property
    def nbytes(self) -> int:
        """The bytes of the values, without what lies before them."""
        lines, samples, bands = self.shape
        return lines * samples * bands * self.dtype.itemsize

    def number(self, name: str) -> float | None:
        """Return a field as a number; None, and a note, if it is something else."""
        text = _word(self.fields, name)
        if not text:
            return None
        try:
            return float(text)
        except ValueError:
            note(
                NoteCode.IGNORED,
                f"the ENVI header's field {name!r} is no number ({text[:40]!r}) and is not used",
                field=name,
            )
            return None

    def numbers(self, name: str) -> npt.NDArray[np.float64] | None:
        """Return a field as one number per band; None, and a note, if it is something else."""
        text = self.fields.get(name)
        if text is None:
            return None
        cells = [cell for cell in text.strip("{} \t\n").replace("\n", ",").split(",")]
        cells = [cell.strip() for cell in cells if cell.strip()]
        try:
            values = np.array([float(cell) for cell in cells])
        except ValueError:
            values = np.empty(0)
        if len(values) != self.shape[2]:
            note(
                NoteCode.IGNORED,
                f"the ENVI header's field {name!r} does not hold one number for each of the "
                f"{self.shape[2]} bands and is not used",
                field=name,
            )
            return None
        return values

    def wavelengths_nm(self) -> npt.NDArray[np.float64] | None:
        """Return the wavelengths of the bands in nanometres, None if they are not stated."""
        values = self.numbers("wavelength")
        if values is None:
            return None
        return to_nanometres(values, self.fields.get("wavelength units", ""))

    def bad_bands(self) -> npt.NDArray[np.bool_] | None:
        """Return whether each band is bad (0 in ``bbl``), None if it is not stated."""
        values = self.numbers("bbl")
        return None if values is None else values == 0

    def unused(self) -> tuple[str, ...]:
        """Return the fields that would change the values and are not used."""
        return tuple(name for name in _LIST_FIELDS if name in self.fields)


def parse_header(data: bytes) -> EnviHeader:
    """Read a header.

    Raises:
        UndecodableError: It is not an ENVI header, or a list in it has no end.
        InvalidInputError: A needed field is missing or impossible, or the values are complex,
            compressed or framed.
    """
    fields = _fields(_text(data))
    lines, samples, bands = shape = tuple(_integer(fields, name) for name in _SIZES)
    offset = _integer(fields, "header offset", 0)
    if min(shape) < 1 or offset < 0:
        raise InvalidInputError("the ENVI header declares an impossible size", field="inputs")
    _check_unsupported(fields)
    interleave = _interleave(fields)
    dtype = _dtype(fields)
    is_library = "spectral library" in fields.get("file type", "").lower()
    if is_library and bands == 1:
        return EnviHeader((lines, 1, samples), "bip", dtype, offset, fields, is_library=True)
    return EnviHeader((lines, samples, bands), interleave, dtype, offset, fields)


def _text(data: bytes) -> str:
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"),
                           (b"\xfe\xff", "utf-16")):  # fmt: skip
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _fields(text: str) -> dict[str, str]:
    """Return the fields by name in lower case; of one that stands twice the last counts."""
    lines = iter(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    first = next((line for line in lines if line.strip()), "")
    if not first.strip().upper().startswith(_MAGIC):
        if not all(re.search(rf"^\s*{name}\s*=", text, re.I | re.M) for name in _SIZES):
            raise UndecodableError(
                "the .hdr file is not an ENVI header: its first line must be ENVI", field="inputs"
            )
        note(NoteCode.REPAIRED, "the ENVI header does not begin with the line ENVI")
        lines = iter(text.splitlines())
    fields: dict[str, str] = {}
    for line in lines:
        name, equals, value = line.partition("=")
        if not equals or name.lstrip().startswith(";"):
            continue
        parts = [value.strip()]
        if parts[0].startswith("{"):
            while "}" not in parts[-1]:
                following = next(lines, None)
                if following is None:
                    raise UndecodableError(
                        f"the ENVI header's list {name.strip()[:40]!r} has no closing brace",
                        field="inputs",
                    )
                parts.append(following)
        fields[" ".join(name.lower().split())] = "\n".join(parts)
    return fields


def _word(fields: Mapping[str, str], name: str) -> str:
    """Return the first word of a field in lower case, without braces and comments behind it."""
    return fields.get(name, "").partition(";")[0].strip("{} \t\n").lower()


def _integer(fields: Mapping[str, str], name: str, usual: int | None = None) -> int:
    text = _word(fields, name)
    if not text and usual is not None:
        return usual
    if not text:
        raise InvalidInputError(f"the ENVI header has no field {name!r}", field="inputs")
    try:
        value = float(text)
        if value == int(value):
            return int(value)
        raise ValueError(text)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(
            f"expected a whole number in the ENVI header's field {name!r}, got {text[:40]!r}",
            field="inputs",
        ) from error


def _check_unsupported(fields: Mapping[str, str]) -> None:
    if _integer(fields, "file compression", 0):
        raise InvalidInputError(
            "compressed ENVI data is not supported; save it uncompressed", field="inputs"
        )
    for name in ("major frame offsets", "minor frame offsets"):
        if any(c not in "0{}, \t\n." for c in fields.get(name, "")):
            raise InvalidInputError(
                f"ENVI data with {name} is not supported; save it without frames", field="inputs"
            )


def _interleave(fields: Mapping[str, str]) -> str:
    interleave = _word(fields, "interleave")
    if not interleave:
        note(
            NoteCode.GUESSED,
            "the ENVI header states no interleave; the data was read as bsq, band after band",
            field="interleave",
        )
        return "bsq"
    if interleave not in ("bsq", "bil", "bip"):
        raise InvalidInputError(
            "expected the interleave bsq, bil or bip in the ENVI header", field="inputs"
        )
    return interleave


def _dtype(fields: Mapping[str, str]) -> np.dtype[np.generic]:
    number = _word(fields, "data type")
    if number in _COMPLEX_TYPES or number not in _TYPES:
        found = f"data type {number}" if number else "no field 'data type'"
        raise InvalidInputError(
            f"expected real numbers (data type {', '.join(_TYPES)}) in the ENVI header, "
            f"got {found[:40]}",
            field="inputs",
        )
    dtype = np.dtype(_TYPES[number])
    order = _word(fields, "byte order")
    if order in ("1", "msf", "network (ieee)"):
        return dtype.newbyteorder(">")
    if order in ("0", "lsf", "host (intel)"):
        return dtype.newbyteorder("<")
    if order:
        raise InvalidInputError(
            f"expected the byte order 0 or 1 in the ENVI header, got {order[:20]!r}",
            field="inputs",
        )
    if dtype.itemsize > 1:
        note(
            NoteCode.GUESSED,
            "the ENVI header states no byte order; the data was read as little-endian (0)",
            field="byte order",
        )
    return dtype.newbyteorder("<")
