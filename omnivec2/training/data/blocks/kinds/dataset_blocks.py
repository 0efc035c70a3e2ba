"""``datasets``: a local directory of a Hugging Face data set, read with pyarrow.

::

    <path>/dataset_info.json            features: names of classes; splits
    <path>/data-00000-of-00001.arrow    as ``save_to_disk`` writes a Dataset
    <path>/dataset_dict.json            and a folder per split, as it writes a DatasetDict
    <path>/data/train-00000.parquet     as the hub keeps them
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from omnivec2.errors import InvalidInputError
from omnivec2.training.data.blocks.examples import Example, Origin, Problem, ProblemKind
from omnivec2.training.data.blocks.files import BlockFiles
from omnivec2.training.data.blocks.kinds.arrow_files import (
    read_arrow_columns,
    read_parquet_columns,
)
from omnivec2.training.data.blocks.kinds.table_cells import Rows
from omnivec2.training.data.blocks.kinds.table_reading import TableBlock, read_table_rows
from omnivec2.training.data.blocks.part_names import part_of_name


class DatasetsBlock(TableBlock):
    """A directory in the form of the library ``datasets``: Arrow or Parquet files."""

    kind: Literal["datasets"] = "datasets"

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield the rows of all files; parts are those of folders and file names."""
        for part, folder in self.paths(files):
            classes = _class_names(folder)
            found = [
                path
                for path in (sorted(folder.rglob("*")) if folder.is_dir() else [folder])
                if path.suffix in (".arrow", ".parquet") and not path.name.startswith("cache-")
            ]
            if not found:
                yield Problem(
                    ProblemKind.EMPTY,
                    Origin(files.name(folder)),
                    "there are no .arrow or .parquet files",
                )
            for path in found:
                own_part = part or _part_of(path, folder)
                try:
                    rows = _named_rows(
                        self._columns(path), {**classes, **_class_names(path.parent)}
                    )
                    yield from read_table_rows(self, files, rows, path, own_part)
                except InvalidInputError as error:
                    reason = str(error).removeprefix(f"{path}: ")
                    origin = Origin(files.name(path))
                    yield Problem(ProblemKind.UNREADABLE_FILE, origin, reason)

    def _columns(self, path: Path) -> Mapping[str, Sequence[Any]]:
        return (read_arrow_columns if path.suffix == ".arrow" else read_parquet_columns)(path)

    def read_rows(self, path: Path) -> Rows:
        """Return the rows of one file without the names of classes."""
        return _named_rows(self._columns(path), {})


def _named_rows(columns: Mapping[str, Sequence[Any]], classes: Mapping[str, Sequence[str]]) -> Rows:
    """Return rows with the names of classes instead of their numbers."""
    named = {
        name: [_class_name(cell, classes[name]) for cell in cells] if name in classes else cells
        for name, cells in columns.items()
    }
    return Rows(named, range(1, 1 + len(next(iter(columns.values()), ()))))


def _class_name(cell: Any, names: Sequence[str]) -> Any:
    if isinstance(cell, list):
        return [_class_name(one, names) for one in cell]
    known = isinstance(cell, int) and 0 <= cell < len(names)
    # The library writes -1 where a label is unknown.
    return names[cell] if known else None if cell == -1 else cell


def _class_names(folder: Path) -> dict[str, list[str]]:
    """Return the names of classes by column, from ``dataset_info.json``."""
    path = folder / "dataset_info.json"
    if not path.is_file():
        return {}
    try:
        features = json.loads(path.read_text()).get("features") or {}
    except (ValueError, OSError, AttributeError):
        return {}
    found: dict[str, list[str]] = {}
    for name, feature in features.items():
        for one in (feature, feature.get("feature") if isinstance(feature, dict) else None):
            if isinstance(one, dict) and one.get("_type") == "ClassLabel":
                found[name] = [str(label) for label in one.get("names", [])]
    return found


def _part_of(path: Path, folder: Path) -> str | None:
    """Return the part that a file's folders or the begin of its name say."""
    for name in (*path.relative_to(folder).parts[:-1][::-1], path.name.split("-")[0].split(".")[0]):
        if (part := part_of_name(name)) is not None:
            return part
    return None
