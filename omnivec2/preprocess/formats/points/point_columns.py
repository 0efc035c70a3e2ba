"""Which of named columns are x, y and z, and in which units: for tables, JSON, arrays and PLY."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.notes import NoteCode, note

_UNITS = {
    "m": 1.0, "meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0,
    "mm": 1e-3, "cm": 1e-2, "dm": 0.1, "km": 1e3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6,
    "nm": 1e-9, "ft": 0.3048, "feet": 0.3048, "in": 0.0254, "inch": 0.0254,
}  # fmt: skip
"""Units of length in metres."""

_DEGREES = {"deg", "degree", "degrees", "°"}
_PLACES = {
    "pos", "position", "pt", "point", "points", "coord", "coords", "coordinate",
    "coordinates", "loc", "location", "vertex", "xyz", "cartesian", "world", "global",
    "local", "map", "utm", "scalar", "field", "axis", "value", "val", "koordinate", "koordinaten",
    "coordonnee", "coordonnée", "coordenada", "coordinata", "cloud", "sensor", "lidar", "data",
}  # fmt: skip
"""Words that may stand beside an axis without changing its meaning."""

_GLUED = re.compile(
    r"(?:pos|position|coord|coordinate|point|pt|loc|location)?([xyz])"
    r"(?:pos|position|coord|coords|coordinate|coordinates|koordinate|loc)?"
)
_EARTH = {
    "easting": 0, "east": 0, "eastings": 0, "rechtswert": 0, "ostwert": 0, "este": 0,
    "northing": 1, "north": 1, "northings": 1, "hochwert": 1, "nordwert": 1, "norte": 1,
    "elevation": 2, "elev": 2, "height": 2, "altitude": 2, "alt": 2, "up": 2,
    "hoehe": 2, "höhe": 2, "hauteur": 2, "altura": 2,
}  # fmt: skip
_ANGLES = {"lon", "long", "longitude", "lng", "lat", "latitude"}
_SHOWN_NAMES = 12


@dataclass(frozen=True)
class Axes:
    """The columns of the coordinates.

    Attributes:
        columns: The numbers of the columns of x, y and z.
        factors: The numbers that bring their values to the same unit.
    """

    columns: tuple[int, int, int]
    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def scaled(self, points: Array) -> npt.NDArray[np.float64]:
        """Return points (n, 3), of which each column has its own unit, in one unit."""
        exact = np.asarray(points, dtype=np.float64)
        return exact if self.factors == (1.0, 1.0, 1.0) else exact * self.factors


@dataclass(frozen=True)
class _Column:
    axis: int
    rank: int
    unit: str | None


def find_axes(names: Sequence[str]) -> Axes | None:
    """Return which columns are x, y and z by their names, or None if none is named like an axis.

    Names may be capital, have a unit (``X [m]``, ``z_mm``), words beside the axis
    (``position_x``, ``Points:0``), or be those of maps (easting, northing, elevation). The
    columns that are not used are noted.

    Raises:
        InvalidInputError: An axis is missing or named twice, or the columns are angles.
    """
    found = [_column(name) for name in names]
    chosen: list[int] = []
    for axis in range(3):
        ranks = [each.rank for each in found if each is not None and each.axis == axis]
        best = [
            index
            for index, each in enumerate(found)
            if each is not None and each.axis == axis and each.rank == min(ranks)
        ]
        if len(best) > 1:
            raise InvalidInputError(
                f"several columns may be {'xyz'[axis]}: {_list(names[i] for i in best)}; "
                "rename or remove all but one",
                field="inputs",
            )
        chosen += best
    if len(chosen) < 3:
        _refuse_angles(names)
        if not chosen:
            return None
        raise InvalidInputError(
            f"expected columns named x, y and z, got {_list(names)}", field="inputs"
        )
    if len(names) > 3:
        others = [name or "(no name)" for i, name in enumerate(names) if i not in chosen]
        note(NoteCode.IGNORED, f"columns that are not used: {_list(others)}", count=len(others))
    return Axes((chosen[0], chosen[1], chosen[2]), _factors([found[i] for i in chosen]))


def _column(name: str) -> _Column | None:
    """Read the name of a column: its axis, how sure that is (0 is surest), and its unit."""
    words = _words(name)
    unit = None
    if len(words) > 1 and (words[-1] in _UNITS or words[-1] in _DEGREES):
        unit = words.pop()
    if len(words) == 1 and words[0] in ("x", "y", "z"):
        return _Column("xyz".index(words[0]), 0, unit)
    axes = [word for word in words if _GLUED.fullmatch(word)]
    if len(axes) == 1 and set(words) - set(axes) <= _PLACES:
        match = _GLUED.fullmatch(axes[0])
        return None if match is None else _Column("xyz".index(match[1]), 1, unit)
    if (
        len(words) == 2
        and words[0] in ("points", "position", "xyz", "coords")
        and words[1] in "012"
    ):
        return _Column(int(words[1]), 1, unit)
    earth = [word for word in words if word in _EARTH]
    if len(earth) == 1 and set(words) - set(earth) <= _PLACES | {"above", "sea", "level"}:
        return _Column(_EARTH[earth[0]], 2, unit)
    return None


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-zß-ÿ])(?=[A-Z])", " ", name.strip().lstrip("/#").strip(" \"'"))
    return [word for word in re.split(r"[^\wµμ°]+|_", spaced.casefold()) if word]


def _factors(columns: Sequence[_Column | None]) -> tuple[float, float, float]:
    units = [None if each is None else each.unit for each in columns]
    if any(unit in _DEGREES for unit in units):
        raise InvalidInputError(
            "the coordinates are angles in degrees; project them to metres first", field="inputs"
        )
    if len({unit for unit in units if unit}) < 2 or None in units:
        return 1.0, 1.0, 1.0
    note(NoteCode.CONVERTED, f"x, y and z are in {_list(str(u) for u in units)}; now all in m")
    x, y, z = (_UNITS[str(unit)] for unit in units)
    return x, y, z


def _refuse_angles(names: Sequence[str]) -> None:
    words = {word for name in names for word in _words(name)}
    if len(words & _ANGLES) > 1:
        raise InvalidInputError(
            "the columns are longitude and latitude; project them to x, y, z in metres first",
            field="inputs",
        )


def _list(names: Iterable[str]) -> str:
    shown = [repr(str(name)[:40]) for name in names]
    more = f" and {len(shown) - _SHOWN_NAMES} more" if len(shown) > _SHOWN_NAMES else ""
    return ", ".join(shown[:_SHOWN_NAMES]) + more
