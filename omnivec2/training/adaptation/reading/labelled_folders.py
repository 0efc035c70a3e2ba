"""A folder of files: a sub-folder per class, or a CSV of file and label."""

from __future__ import annotations

from pathlib import Path

from omnivec2.errors import InvalidInputError
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.answer_forms import AnswerForm
from omnivec2.training.adaptation.reading.label_cells import LabelColumns
from omnivec2.training.adaptation.reading.labelled_rows import Row, group_name
from omnivec2.training.data.table_files import read_table


def read_folder(part: DataPart, form: AnswerForm) -> list[Row]:
    """Return the rows of a folder, in the order of their paths.

    Args:
        part: The folder, and the file of labels if there is one.
        form: The form of the labels.

    Raises:
        InvalidInputError: There is nothing to read, or a file that the labels name is missing, or
            named twice.
    """
    folder = Path(part.path[0])
    if part.label is not None and Path(part.label).is_file():
        return _listed(folder, Path(part.label), form, part.group)
    if part.label is not None:
        raise InvalidInputError(
            f"{folder} is a folder: --labels is a CSV of file and label there, and "
            f"{part.label} is no file; without --labels its sub-folders are the labels"
        )
    if part.group is not None:
        raise InvalidInputError(
            f"{folder}: folders name no groups; for --group {part.group} give --labels a CSV of "
            f"file, label and {part.group}"
        )
    if form is not AnswerForm.CLASS:
        raise InvalidInputError(
            f"{folder}: names of folders are no {form.value}; give --labels a CSV of file and "
            f"{form.value}"
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


def _listed(folder: Path, listing: Path, form: AnswerForm, group: str | None) -> list[Row]:
    """Return the files named by the first column of a table; their labels are in the others."""
    frame = read_table(listing)
    if len(set(frame.columns) - {group}) < 2:
        raise InvalidInputError(f"{listing}: expected two columns, a file and its label")
    if group is not None:
        frame.require([group])
    file_column, *label_columns = [name for name in frame.columns if name != group]
    if form is AnswerForm.CLASS:
        label_columns = label_columns[:1]
    labels = LabelColumns(frame, label_columns, form)
    rows: list[Row] = []
    first: dict[Path, int] = {}
    for index in range(frame.rows):
        where = f"{listing.name}, row {index + 1}"
        path = folder / str(frame.columns[file_column][index]).strip()
        if not path.is_file():
            raise InvalidInputError(f"{where}: {path} is not there")
        if path in first:
            raise InvalidInputError(
                f"{where}: {path.name} is listed twice, first in row {first[path]}; it would be "
                "learned from and measured on; take one of the rows out"
            )
        first[path] = index + 1
        label = labels.label(index, where)
        own = None if group is None else group_name(frame.columns[group][index], group, where)
        rows.append(Row(f"{where} ({path.name})", path, label, own))
    return rows


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")
