"""Labels of points: in PLY, PCD, LAS, text and arrays, or in a file beside the cloud."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from omnivec2.errors import ArtifactError, InputError, InvalidInputError
from omnivec2.preprocess import Array
from omnivec2.preprocess.formats.points.pcd_points import read_pcd_field
from omnivec2.preprocess.formats.points.ply_vertices import read_vertex_property
from omnivec2.preprocess.formats.points.point_text import read_text_column
from omnivec2.training.data.stored_arrays import array_fault

LABEL_NAMES = (
    "label", "labels", "class", "classes", "classification", "class_id", "classid", "category",
    "semantic", "semantic_label", "sem_label", "segment", "seg", "part", "part_label",
    "scalar_label", "scalar_class", "scalar_classification", "scalar_labels", "target",
)  # fmt: skip
"""How programs call the label of a point, in lower case."""

POINT_SUFFIXES = frozenset(
    {".ply", ".pcd", ".las", ".laz", ".csv", ".txt", ".xyz", ".pts", ".asc", ".npy", ".npz",
     ".bin"}
)  # fmt: skip
"""The suffixes of clouds, in lower case."""

_SIDE_SUFFIXES = (".label", ".labels", ".seg", ".npy", ".txt")
"""The suffixes of files with the labels alone: SemanticKITTI's and ShapeNet's, and plain ones."""


def read_point_labels(file: Path, column: str | int | None = None) -> Array:
    """Read the label of every point of a cloud, in the order of the points.

    Args:
        file: The cloud.
        column: The name of the property, field or column, or the number of a column from 0 (-1 is
            the last); found by its name unless given.

    Returns:
        An array (points,): whole numbers, or texts as objects.

    Raises:
        ArtifactError: The cloud has no such column, or cannot be read.
    """
    reader = _READERS.get(file.suffix.lower(), _from_text)
    try:
        labels = reader(file, column)
    except (InputError, OSError, ValueError) as error:
        raise ArtifactError(f"{file}: {array_fault(error)}") from error
    return _whole(labels, file)


def read_side_labels(file: Path) -> Array:
    """Read a file with nothing but a label per point.

    Raises:
        ArtifactError: It cannot be read.
    """
    try:
        if file.suffix.lower() == ".npy":
            return _whole(np.load(file, allow_pickle=False).ravel(), file)
        data = file.read_bytes()
        if file.suffix.lower() == ".label" and len(data) % 4 == 0 and not _is_text(data):
            # SemanticKITTI: the upper half of each number is the instance.
            return (np.frombuffer(data, "<u4") & 0xFFFF).astype(np.int64)
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file}: not readable labels: {array_fault(error)}") from error
    return _whole(np.array(lines, dtype=object), file)


def find_side_file(cloud: Path, folder: Path, root: Path) -> Path | None:
    """Return the file of a cloud's labels in a folder of labels, or None."""
    place = (folder / cloud.relative_to(root)).with_suffix("")
    tries = [place.with_name(place.name + suffix) for suffix in _SIDE_SUFFIXES]
    return next((each for each in tries if each.is_file() and each != cloud), None)


def _is_text(data: bytes) -> bool:
    return bool(data) and set(data[:256]) <= set(b"0123456789 .\r\n\t-")


def _whole(labels: Array, file: Path) -> Array:
    """Return labels as whole numbers where all of them are; texts stay."""
    if labels.dtype.kind in "iub":
        return labels.astype(np.int64)
    if labels.dtype.kind == "f":
        if not (np.isfinite(labels).all() and (labels == np.floor(labels)).all()):
            wrong = int(np.flatnonzero(~(np.isfinite(labels) & (labels == np.floor(labels))))[0])
            raise ArtifactError(f"{file}: point {wrong + 1:,}: {labels[wrong]:g} is no label")
        return labels.astype(np.int64)
    texts = [str(cell).strip() for cell in labels.tolist()]
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        return np.array(texts, dtype=object)
    return _whole(numbers, file)


def _chosen(names: list[str], column: str | int | None) -> str:
    """Return the name of the column of labels.

    Raises:
        InvalidInputError: There is none.
    """
    if isinstance(column, str):
        if column in names:
            return column
        raise InvalidInputError(f"no column {column!r}; there are {', '.join(names)}")
    lower = {name.lower(): name for name in reversed(names)}
    found = next((lower[name] for name in LABEL_NAMES if name in lower), None)
    if found is None:
        raise InvalidInputError(
            f"no column of labels; name it in `label`, one of {', '.join(names) or 'none'}"
        )
    return found


def _from_ply(file: Path, column: str | int | None) -> Array:
    return read_vertex_property(file.read_bytes(), lambda names: _chosen(names, column))


def _from_pcd(file: Path, column: str | int | None) -> Array:
    return read_pcd_field(file.read_bytes(), lambda names: _chosen(names, column))


def _from_las(file: Path, column: str | int | None) -> Array:
    import laspy

    try:
        cloud = laspy.read(io.BytesIO(file.read_bytes()))
    except (laspy.LaspyException, ValueError, EOFError) as error:
        raise InvalidInputError(f"the LAS or LAZ file is damaged: {error}") from error
    name = _chosen(list(cloud.point_format.dimension_names), column or "classification")
    return np.asarray(cloud[name])


def _from_text(file: Path, column: str | int | None) -> Array:
    return np.array(
        read_text_column(file.read_bytes(), lambda names: _text_column(names, column)),
        dtype=object,
    )


def _text_column(names: list[str], column: str | int | None) -> int:
    """Return the number of the column of labels; the last one where columns have no names."""
    if isinstance(column, int):
        return column
    if not any(names):
        if column is None and len(names) > 3:
            return len(names) - 1
        raise InvalidInputError("the columns have no names; give the number of that of labels")
    return names.index(_chosen(names, column))


def _from_array(file: Path, column: str | int | None) -> Array:
    array = np.load(file, allow_pickle=False)
    if array.dtype.names:
        return np.asarray(array[_chosen(list(array.dtype.names), column)])
    if array.ndim != 2 or array.shape[1] < 4 or isinstance(column, str):
        raise InvalidInputError(f"expected an array (points, 4 or more), got {array.shape}")
    return np.asarray(array[:, -1 if column is None else column])


def _from_arrays(file: Path, column: str | int | None) -> Array:
    with np.load(file, allow_pickle=False) as arrays:
        return np.asarray(
            arrays[_chosen(list(arrays), None if isinstance(column, int) else column)]
        )


_READERS: dict[str, Callable[[Path, str | int | None], Array]] = {
    ".ply": _from_ply,
    ".pcd": _from_pcd,
    ".las": _from_las,
    ".laz": _from_las,
    ".npy": _from_array,
    ".npz": _from_arrays,
}
