"""The classes of a mask: which index or colour stands for which, and which for none."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array

IGNORE = 255
"""The value of pixels that belong to no class, in targets."""

MOST_CLASSES = 255
"""The largest number of classes of a mask of bytes."""

Key = int | tuple[int, int, int]
"""What a mask's file holds for a class: an index, or red, green and blue."""

_INDEX_COLUMNS = ("idx", "index", "id", "value", "class_id", "label_id", "pixel")
_NAME_COLUMNS = ("name", "label", "class", "class_name", "category")
"""The columns of tables of classes, in lower case."""

_HEX = re.compile(r"#?([0-9a-fA-F]{6})")
_TRIPLE = re.compile(r"(?:rgb)?[(\[]?\s*(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})\s*[)\]]?")


@dataclass(frozen=True)
class ClassMap:
    """The classes of masks.

    Attributes:
        labels: The names of the classes.
        keys: The index or colour of each class; a class may have several.
        ignored: The indices or colours of pixels that belong to no class.
    """

    labels: tuple[str, ...]
    keys: Mapping[Key, int]
    ignored: frozenset[Key] = frozenset()

    @property
    def is_coloured(self) -> bool:
        """Whether the classes are told apart by colours."""
        return any(isinstance(key, tuple) for key in self.keys)

    @property
    def table(self) -> tuple[Array, Array]:
        """The keys as sorted whole numbers, int64 [n], and what each becomes, uint8 [n]."""
        merged = {as_number(key): IGNORE for key in self.ignored}
        merged |= {as_number(key): label for key, label in self.keys.items()}
        order = sorted(merged)
        return np.array(order, np.int64), np.array([merged[key] for key in order], np.uint8)


def as_number(key: Key) -> int:
    """Return a key as one whole number; of a colour 0xRRGGBB."""
    if isinstance(key, tuple):
        return key[0] << 16 | key[1] << 8 | key[2]
    return key


def read_key(value: Any) -> Key:
    """Read an index, or a colour as ``"#ff0000"``, ``"255, 0, 0"`` or ``[255, 0, 0]``.

    Raises:
        ArtifactError: It is neither.
    """
    if isinstance(value, bool):
        raise ArtifactError(f"{value}: expected an index or a colour")
    if isinstance(value, int):
        return value
    if isinstance(value, list | tuple) and len(value) == 3:
        value = " ".join(map(str, value))
    text = str(value).strip()
    if text.isdecimal() and len(text) < 6:
        return int(text)
    if match := _HEX.fullmatch(text):
        code = int(match[1], 16)
        return code >> 16, code >> 8 & 255, code & 255
    if (match := _TRIPLE.fullmatch(text)) and max(map(int, match.groups())) < 256:
        red, green, blue = map(int, match.groups())
        return red, green, blue
    raise ArtifactError(
        f"{value!r}: expected an index such as 3, or a colour such as '#ff0000' or [255, 0, 0]"
    )


def class_map(
    classes: Sequence[Any] | Mapping[Any, Any],
    ignore: Sequence[Any] = (),
    *,
    place: str = "classes",
) -> ClassMap:
    """Build the classes of masks from what a recipe or a file says.

    Args:
        classes: The names by index; or a mapping from index or colour to name, or from name to
            index, colour or a list of them.
        ignore: The indices and colours that belong to no class.
        place: The place that the classes come from, for messages.

    Raises:
        ArtifactError: There are none, too many, or an index or colour stands for two.
    """
    pairs = _pairs(classes, place)
    try:
        ignored = frozenset(read_key(value) for value in ignore)
        read = [(read_key(key), name) for key, name in pairs]
    except ArtifactError as error:
        raise ArtifactError(f"{place}: {error}") from error
    kept = [(key, name) for key, name in read if key not in ignored]
    labels = tuple(dict.fromkeys(name for _, name in kept))
    if len(labels) < 2:
        raise ArtifactError(f"{place}: expected two classes or more, got {', '.join(labels)}")
    if len(labels) > MOST_CLASSES:
        raise ArtifactError(f"{place}: {len(labels)} classes; masks have {MOST_CLASSES} at most")
    keys: dict[Key, int] = {}
    for key, name in kept:
        if keys.get(key, labels.index(name)) != labels.index(name):
            raise ArtifactError(f"{place}: {key} stands for {labels[keys[key]]} and for {name}")
        keys[key] = labels.index(name)
    if len({isinstance(key, tuple) for key in [*keys, *ignored]}) > 1:
        raise ArtifactError(f"{place}: give all classes (and `ignore`) as indices, or as colours")
    return ClassMap(labels, keys, ignored)


def _pairs(classes: Sequence[Any] | Mapping[Any, Any], place: str) -> list[tuple[Any, str]]:
    if isinstance(classes, Mapping):
        return [pair for key, value in classes.items() for pair in _pair(key, value, place)]
    return [(index, str(name)) for index, name in enumerate(classes)]


def _pair(key: Any, value: Any, place: str) -> list[tuple[Any, str]]:
    """Return pairs of key and name of one entry of a mapping, whichever way round it is."""
    if _is_key(key) and not isinstance(value, list | tuple):
        return [(key, str(value))]
    several = isinstance(value, list) and not (len(value) == 3 and _is_key(value))
    values = value if several else [value]
    if all(map(_is_key, values)):
        return [(each, str(key)) for each in values]
    raise ArtifactError(f"{place}: {key!r}: {value!r}: expected an index or a colour, and a name")


def _is_key(value: Any) -> bool:
    try:
        read_key(value)
    except ArtifactError:
        return False
    return True


def read_classes(file: Path) -> list[Any] | dict[Any, Any]:
    """Read the classes of a file.

    Forms: YAML or JSON as in a recipe; a table with a name and r, g, b or an index in each row
    (CamVid's ``class_dict.csv``, CVAT's ``labelmap.txt``, ADE20K's ``objectInfo150.txt``); or a
    name per line.

    Raises:
        ArtifactError: The file is none of them.
    """
    import yaml

    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() in (".yaml", ".yml", ".json"):
            value = yaml.safe_load(text)
            if isinstance(value, dict) and isinstance(value.get("names"), list | dict):
                value = value["names"]
            if not isinstance(value, list | dict):
                raise ArtifactError(f"{file}: expected a list of names, or names with their keys")
            return value
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ArtifactError(f"{file}: not readable classes: {error}") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if all("\t" in line for line in lines):
        rows = [_split(line, "\t") for line in lines]
    else:
        rows = [_cells(line) for line in lines]
    if rows and (columns := _header_columns(rows[0])) is not None:
        return _by_columns(file, rows, *columns)
    found: dict[Any, Any] = {}
    for number, cells in enumerate(rows, 1):
        key = _key_of_row(cells)
        if key is not None:
            name = next((c for c in cells if not c.isdecimal() and not _is_key(c)), None)
            if name is None:
                raise ArtifactError(f"{file}: row {number}: expected a name beside {key}")
            found.setdefault(name, []).append(list(key) if isinstance(key, tuple) else key)
        elif found:
            raise ArtifactError(f"{file}: row {number}: expected a name with an index or a colour")
    return found or [" ".join(cells) for cells in rows]


def _header_columns(names: Sequence[str]) -> tuple[int, int] | None:
    """Return the numbers of the columns of the index and of the name, if a header line says so."""
    lower = [name.strip().lower() for name in names]
    index = next((lower.index(name) for name in _INDEX_COLUMNS if name in lower), None)
    name = next((lower.index(name) for name in _NAME_COLUMNS if name in lower), None)
    if index is None or name is None or {"r", "g", "b"} <= set(lower):
        return None
    return index, name


def _by_columns(file: Path, rows: Sequence[Sequence[str]], index: int, name: int) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for number, cells in enumerate(rows[1:], 2):
        key, text = (
            cells[column].strip() if column < len(cells) else "" for column in (index, name)
        )
        if not key.isdecimal() or not text:
            raise ArtifactError(
                f"{file}: row {number}: expected an index below {rows[0][index]!r} and a name "
                f"below {rows[0][name]!r}, got {key!r} and {text!r}"
            )
        found[int(key)] = text
    return found


def _cells(line: str) -> list[str]:
    separators = [mark for mark in (",", "\t", ";", ":") if mark in line]
    if ":" in separators:  # CVAT: name:r,g,b:parts:actions
        return [cell for part in line.split(":") for cell in _split(part, ",") if cell]
    if separators:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separators[0]))]
    words = line.split()
    numbers = [word for word in words if word.isdecimal() or _HEX.fullmatch(word)]
    if not numbers or len(numbers) == len(words):
        return [line.strip()]
    return [" ".join(word for word in words if word not in numbers), *numbers]


def _split(text: str, mark: str) -> list[str]:
    return [cell.strip() for cell in text.split(mark)]


def _key_of_row(cells: Sequence[str]) -> Key | None:
    numbers = [int(cell) for cell in cells if cell.isdecimal()]
    if len(numbers) >= 3 and max(numbers[-3:]) < 256:
        red, green, blue = numbers[-3:]
        return red, green, blue
    colours = [cell for cell in cells if cell.startswith("#") and _HEX.fullmatch(cell)]
    if colours:
        return read_key(colours[0])
    return numbers[0] if len(numbers) == 1 else None
