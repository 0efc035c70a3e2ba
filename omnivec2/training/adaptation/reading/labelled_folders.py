"""A folder of files: a sub-folder per class, or a CSV of file and label."""

from __future__ import annotations

from pathlib import Path

from omnivec2.errors import InvalidInputError
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.reading.labelled_rows import Row, quantity
from omnivec2.training.data.table_files import as_name, read_table


def read_folder(part: DataPart, *, regression: bool) -> list[Row]:
    """Return the rows of a folder, in the order of their paths.

    Args:
        part: The folder, and the file of labels if there is one.
        regression: Whether labels are quantities.

    Raises:
        InvalidInputError: There is nothing to read, or a file that the labels name is missing.
    """
    folder = Path(part.path[0])
    if part.label is not None and Path(part.label).is_file():
        return _listed(folder, Path(part.label), regression)
    if part.label is not None:
        raise InvalidInputError(
            f"{folder} is a folder: --labels is a CSV of file and label there, and "
            f"{part.label} is no file; without --labels its sub-folders are the labels"
        )
    if regression:
        raise InvalidInputError(
            f"{folder}: names of folders are no quantities; give --labels a CSV of file and value"
        )
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and _is_visible(entry))
    rows = [
        Row(str(path.relative_to(folder)), path, entry.name)
        for entry in classes
        for path in sorted(entry.rglob("*"))
        if path.is_file() and _is_visible(path)
    ]
    if not rows:
        raise InvalidInputError(
            f"{folder}: expected a sub-folder of files per class, or --labels with a CSV of "
            "file and label"
        )
    return rows


def _listed(folder: Path, listing: Path, regression: bool) -> list[Row]:
    """Return the files named by the first column of a table; their labels are in the others."""
    frame = read_table(listing)
    if len(frame.columns) < 2:
        raise InvalidInputError(f"{listing}: expected two columns, a file and its label")
    file_column, *label_columns = list(frame.columns)
    rows = []
    for index in range(frame.rows):
        where = f"{listing.name}, row {index + 1}"
        path = folder / str(frame.columns[file_column][index]).strip()
        if not path.is_file():
            raise InvalidInputError(f"{where}: {path} is not there")
        cells = [frame.columns[name][index] for name in label_columns]
        label = tuple(quantity(cell, where) for cell in cells) if regression else as_name(cells[0])
        if not label:
            raise InvalidInputError(f"{where}: the label (column {label_columns[0]!r}) is empty")
        rows.append(Row(f"{where} ({path.name})", path, label))
    return rows


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")
