"""Arrays with labels: NumPy and MATLAB files, and scenes with a map of classes: ``arrays``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, JsonValue

from omnivec2.errors import ArtifactError, InputError
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec, Modality
from omnivec2.training.data.base import DataDirectories, TaskData
from omnivec2.training.data.blocks.examples import Example, Origin, Problem, ProblemKind
from omnivec2.training.data.blocks.files import BlockFiles, listed
from omnivec2.training.data.blocks.kinds.base import Block, Names, TaskOfBlock
from omnivec2.training.data.blocks.part_names import part_of_name
from omnivec2.training.data.blocks.windows.scene_pixels import LabelledScene, scene_task
from omnivec2.training.data.stored_arrays import load_arrays
from omnivec2.training.yaml_lines import did_you_mean

_LABELS = ("y", "label", "labels", "target", "targets", "classes", "gt", "groundtruth")
_INPUTS = ("x", "input", "inputs", "data", "values", "images", "samples", "features", "cube")

Arrays = Mapping[str, Array]


class ArraysBlock(Block):
    """Arrays of inputs and labels in ``.npz``, ``.npy`` and ``.mat`` files.

    ::

        x (n, …), y (n,)                         an input and a label per row
        x_train, y_train, x_test, y_test         the same, with parts
        cube (height, width, bands), gt (height, width)      a scene with a class per pixel
    """

    kind: Literal["arrays"] = "arrays"
    input: str | None = Field(
        default=None, description="array of the inputs; found by its name unless given"
    )
    label: str | None = Field(
        default=None,
        description="array of the labels, or a file of them below --data; found unless given",
    )
    unlabelled: Names = Field(
        default=("0",), description="scenes: values of the map that are no class"
    )
    block: int = Field(
        default=8, ge=1, description="scenes: side of the squares that are divided, in pixels"
    )

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield a row of the arrays per example; of scenes the whole scene."""
        for part, path in self.paths(files):
            name = files.name(path)
            try:
                arrays = _load(path)
                if (scene := self._scene(files, path, arrays)) is not None:
                    yield Example(path, scene, Origin(name), part)
                    continue
                tables = list(self._tables(files, path, arrays, part))
            except (ArtifactError, InputError) as error:
                reason = str(error).removeprefix(f"{path}: ")
                yield Problem(ProblemKind.UNREADABLE_FILE, Origin(name), reason)
                continue
            for own, values, labels in tables:
                for one in self._rows(name, own, values, labels, arrays):
                    if files.modality is Modality.TABULAR and isinstance(one, Example):
                        yield replace(one, value=_record(one.value))
                    else:
                        yield one

    def _rows(
        self, name: str, part: str | None, values: Array, labels: Array, arrays: Arrays
    ) -> Iterator[Example | Problem]:
        columns = {column: arrays[column] for column in self.split_columns if column in arrays}
        for row, (value, label) in enumerate(zip(values, labels, strict=True)):
            origin = Origin(name, row + 1)
            if value.dtype.kind == "f" and not np.isfinite(value).any():
                yield Problem(ProblemKind.EMPTY, origin, "the input has no finite number")
                continue
            target = (
                {str(number): cell for number, cell in enumerate(label.tolist())}
                if label.ndim
                else label.item()
            )
            own = {column: cells[row] for column, cells in columns.items()}
            yield Example(np.asarray(value), target, origin, part, own)

    def _tables(
        self, files: BlockFiles, path: Path, arrays: Arrays, part: str | None
    ) -> Iterator[tuple[str | None, Array, Array]]:
        """Yield (part, inputs, labels): of the file, or of each part that its names tell."""
        parted = _parts_of_names(arrays) if part is None else {}
        for own, members in parted.items() or ((part, arrays),):
            key = _find(members, self.input, _INPUTS, "input")
            values = members[key]
            labels = self._labels(files, path, {k: v for k, v in members.items() if k != key})
            if len(values) != len(labels):
                raise ArtifactError(
                    f"{path}: {len(values):,} inputs ({key}) and {len(labels):,} labels"
                )
            yield own, values, labels

    def _labels(self, files: BlockFiles, path: Path, arrays: Arrays) -> Array:
        if self.label is not None and self.label not in arrays and Path(self.label).suffix:
            found = _load(files.find(self.label)[0])
            labels = found[_find(found, None, _LABELS, "label")]
        else:
            labels = arrays[_find(arrays, self.label, _LABELS, "label")]
        # MATLAB has no vectors: labels come as a row or a column.
        return labels.ravel() if labels.ndim == 2 and 1 in labels.shape else labels

    def _scene(self, files: BlockFiles, path: Path, arrays: Arrays) -> LabelledScene | None:
        """Return the cube and the map of a file if it holds a scene."""
        cubes = [
            name
            for name, array in arrays.items()
            if array.ndim == 3 and (self.input is None or name == self.input)
        ]
        if files.modality is not Modality.HYPERSPECTRAL or not cubes:
            return None
        cube = arrays[cubes[0]]
        labels = self._labels(files, path, {k: v for k, v in arrays.items() if k != cubes[0]})
        if labels.shape == cube.shape[1:]:
            cube = np.moveaxis(cube, 0, -1)
        if labels.shape != cube.shape[:2]:
            if labels.shape == (len(cube),):
                return None
            raise ArtifactError(
                f"{path}: the scene {cubes[0]} {cube.shape} has a map of shape {labels.shape}"
            )
        return LabelledScene(files.name(path), cube, labels)

    def load(
        self, route: str, block: TaskOfBlock, at: DataDirectories, head: HeadSpec | None
    ) -> TaskData | None:
        """Return the labelled pixels of scenes; None where arrays hold an input per row."""
        files = BlockFiles(at.root, Modality(route.partition("/")[0]))
        if files.modality is not Modality.HYPERSPECTRAL:
            return None
        examples = list(self.read(files))
        scenes = [
            (one.part, one.target)
            for one in examples
            if isinstance(one, Example) and isinstance(one.target, LabelledScene)
        ]
        if not scenes:
            return None
        return scene_task(route, block, scenes, self.unlabelled, self.block, head)


def _record(value: Any) -> JsonValue:
    """Return a row of numbers as a row of a table whose columns are numbered."""
    cells = np.ravel(value).tolist()
    return [{f"feature_{number}": cell for number, cell in enumerate(cells, 1)}]


def _load(path: Path) -> dict[str, Array]:
    found = load_arrays(path)
    if not found:
        raise ArtifactError(f"{path}: holds no arrays")
    return found


def _find(arrays: Arrays, given: str | None, usual: Sequence[str], field: str) -> str:
    """Return the name of an array: the given one, the usual one, or the only one."""
    known = list(arrays)
    if given is not None:
        if given not in arrays:
            raise ArtifactError(
                f"no array {given!r}; there are {listed(known)}{did_you_mean(given, known)}"
            )
        return given
    lower = {name.lower(): name for name in known}
    found = [lower[name] for name in usual if name in lower]
    found = found or [n for n in known if any(n.lower().endswith(f"_{u}") for u in usual)]
    if found or len(known) == 1:
        return (found or known)[0]
    raise ArtifactError(f"give {field}, one of the arrays {listed(known)}")


def _parts_of_names(arrays: Arrays) -> dict[str, dict[str, Array]]:
    """Return the arrays of each part, without its name: ``x_train`` is ``x`` of ``train``."""
    found: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        for first, second in (name.rpartition("_")[::2], name.partition("_")[::2][::-1]):
            part = part_of_name(second)
            if part is not None and first:
                found.setdefault(part, {})[first] = array
                break
    return found if "train" in found else {}
