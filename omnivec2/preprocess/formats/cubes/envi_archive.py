"""ENVI cubes in ZIP archives: the right header, the right data file, and what lies beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.cubes.cube import Cube, check_pixels
from omnivec2.preprocess.formats.cubes.envi_header import EnviHeader, parse_header
from omnivec2.preprocess.formats.guards.archives import ZipArchive
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_HEADER = ".hdr"
MAX_HEADER_BYTES = 2**20
_MOST_HEADERS = 16

_COMPANIONS = frozenset({
    "png", "jpg", "jpeg", "jp2", "gif", "bmp", "tif", "tiff", "xml", "txt", "log", "json", "csv",
    "kml", "kmz", "pdf", "html", "md", "prj", "pgw", "jgw", "tfw", "wld", "ovr", "rrd", "enp",
    "enm", "sta", "evf", "gpx", "lnk", "db", "roi", "shp", "shx", "dbf", "cpg", "zip", "gz",
})  # fmt: skip
"""Endings of quick looks, logs, georeferences and statistics, which are never a cube's data."""

_REFERENCES = re.compile(r"(^|[/_-])(dark|white)[_-]?(ref|reference|current)?s?([/_.-]|$)", re.I)
"""Names of the dark and white references that push-broom cameras save beside a scene."""


def has_header(archive: ZipArchive) -> bool:
    """Whether an archive has an ENVI header."""
    return any(_is_header(name) for name in archive.sizes)


def read_envi(archive: ZipArchive, limits: Limits, bands: int) -> Cube:
    """Read the cube (BSQ, BIL or BIP) of an archive.

    Args:
        archive: The archive.
        limits: The head's limits; what the header declares is compared with them first.
        bands: The number of bands by which one of several cubes is chosen.

    Raises:
        UndecodableError: The header is unreadable, or the data truncated.
        TooLargeError: The cube is over a limit.
        InvalidInputError: There is no cube to choose, or it is of a kind that is not taken.
    """
    name, header = _choose_header(archive, bands)
    check_pixels(header.shape[0] * header.shape[1], limits)
    data = archive.read(_choose_data(archive, name, header), limits.decoded_bytes)
    declared = header.offset + header.nbytes
    if len(data) < declared:
        raise UndecodableError(
            f"the ENVI data is truncated: {declared:,} bytes declared, {len(data):,} found",
            field="inputs",
        )
    if len(data) > declared:
        note(
            NoteCode.IGNORED,
            f"the ENVI data is longer than its header declares, by {len(data) - declared:,} bytes, "
            "which were not read",
        )
    lines, samples, depth = header.shape
    axes = {
        "bsq": ((depth, lines, samples), 0),
        "bil": ((lines, depth, samples), 1),
        "bip": ((lines, samples, depth), 2),
    }
    shape, bands_axis = axes[header.interleave]
    count = lines * samples * depth
    values: Array = np.frombuffer(data, header.dtype, count, header.offset).reshape(shape)
    if header.is_library:
        values, bands_axis = values.reshape(lines, depth), 1
    return Cube(
        values,
        bands_axis,
        no_data=header.number("data ignore value"),
        wavelengths_nm=header.wavelengths_nm(),
        bad_bands=header.bad_bands(),
        reflectance_factor=header.number("reflectance scale factor"),
        ignored=header.unused(),
    )


def _choose_header(archive: ZipArchive, bands: int) -> tuple[str, EnviHeader]:
    """Return the header of the scene: the only one, or the only one of the right bands."""
    found = [name for name in archive.sizes if _is_header(name)]
    scenes = [name for name in found if not _REFERENCES.search(_short(name))] or found
    headers = [
        (name, parse_header(archive.read(name, MAX_HEADER_BYTES)))
        for name in scenes[:_MOST_HEADERS]
    ]
    if len(headers) > 1:
        headers = [(name, header) for name, header in headers if header.shape[2] == bands]
    if len(headers) != 1:
        raise InvalidInputError(
            f"expected a ZIP with one cube of {bands} bands, the headers are {_listed(scenes)}",
            field="inputs",
        )
    if len(found) > 1:
        others = _listed(name for name in found if name != headers[0][0])
        note(NoteCode.IGNORED, f"other cubes of the ZIP were not used: {others}", field="inputs")
    return headers[0]


def _choose_data(archive: ZipArchive, name: str, header: EnviHeader) -> str:
    """Return the data file that is named like a header, by its size if there are several."""
    candidates = _data_files(archive, name)
    declared = header.offset + header.nbytes
    if not candidates:
        others = [n for n, s in archive.sizes.items() if s == declared and not _is_header(n)]
        if len(others) == 1:
            note(
                NoteCode.GUESSED,
                f"{_short(others[0])} was read as the data of {_short(name)}, as it has the size "
                "that the header declares; give both the same name",
            )
            return others[0]
    if len(candidates) > 1:
        candidates = [c for c in candidates if archive.sizes[c] == declared] or candidates
    if len(candidates) != 1:
        raise InvalidInputError(
            "expected a ZIP with one data file named like the .hdr file "
            f"({_short(name)}), got {len(candidates)}",
            field="inputs",
        )
    return candidates[0]


def _data_files(archive: ZipArchive, header: str) -> list[str]:
    """Return the files that may hold a header's data: ``x``, ``x.dat`` of ``x.hdr``."""
    stem = header[: -len(_HEADER)].lower()
    found = []
    for name in archive.sizes:
        low = name.lower()
        base, _, ending = low.rpartition(".") if "." in _short(low) else (low, "", "")
        named_alike = stem in (low, base) or _without_ending(stem) == base
        if named_alike and not _is_header(low) and ending not in _COMPANIONS:
            found.append(name)
    return found


def _without_ending(name: str) -> str:
    return re.split(r"\.[^./]*$", name)[0]


def _is_header(name: str) -> bool:
    return name.lower().endswith(_HEADER)


def _short(name: str) -> str:
    return name.rpartition("/")[2][:60]


def _listed(names: Iterable[str]) -> str:
    return ", ".join([_short(name) for name in names][:8])
