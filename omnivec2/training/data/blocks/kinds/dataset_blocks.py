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
from omnivec2.training.data.blocks.kinds.rows.arrow_files import (
    class_names_of_features,
    read_arrow_columns,
    read_class_names,
    read_parquet_columns,
)
from omnivec2.training.data.blocks.kinds.rows.object_cells import COLUMN, BlockOfObjects
from omnivec2.training.data.blocks.kinds.rows.table_cells import Rows, named_rows
from omnivec2.training.data.blocks.kinds.rows.table_reading import TableBlock, read_table_rows
from omnivec2.training.data.blocks.part_names import part_of_name


class DatasetsBlock(TableBlock, BlockOfObjects):
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
                    names = {**classes, **_class_names(path.parent), **read_class_names(path)}
                    rows = named_rows(self._columns(path), names)
                    yield from self._examples(files, rows, path, own_part, names)
                except InvalidInputError as error:
                    reason = str(error).removeprefix(f"{path}: ")
                    origin = Origin(files.name(path))
                    yield Problem(ProblemKind.UNREADABLE_FILE, origin, reason)

    def _examples(
        self,
        files: BlockFiles,
        rows: Rows,
        path: Path,
        part: str | None,
        classes: Mapping[str, Sequence[str]],
    ) -> Iterator[Example | Problem]:
        """Yield the examples of one file; of boxes with the picture as it is annotated."""
        if not self.has_boxes:
            yield from read_table_rows(self, files, rows, path, part)
            return
        column = self.label[0] if self.label else COLUMN
        block = self.model_copy(update={"label": (column,)})
        found = read_table_rows(block, files, rows, path, part)
        yield from self.annotated(found, column, classes)

    def _columns(self, path: Path) -> Mapping[str, Sequence[Any]]:
        return (read_arrow_columns if path.suffix == ".arrow" else read_parquet_columns)(path)

    def read_rows(self, path: Path) -> Rows:
        """Return the rows of one file without the names of classes."""
        return named_rows(self._columns(path), {})


def _class_names(folder: Path) -> dict[str, list[str]]:
    """Return the names of classes by column, from ``dataset_info.json``."""
    path = folder / "dataset_info.json"
    if not path.is_file():
        return {}
    try:
        features = json.loads(path.read_text()).get("features") or {}
    except (ValueError, OSError, AttributeError):
        return {}
    return class_names_of_features(features)


def _part_of(path: Path, folder: Path) -> str | None:
    """Return the part that a file's folders or the begin of its name say."""
    for name in (*path.relative_to(folder).parts[:-1][::-1], path.name.split("-")[0].split(".")[0]):
        if (part := part_of_name(name)) is not None:
            return part
    return None
