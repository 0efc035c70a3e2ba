"""Folders of files: ``imagefolder``, ``audiofolder``, ``videofolder`` and ``folder`` of any files.

::

    <path>/<class>/<file>                  the folder is the label
    <path>/train/<class>/<file>            parts, in any usual spelling: val, dev, test ...
    <path>/metadata.csv (or .jsonl)        ``file_name`` and label columns, as Hugging Face has it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from omnivec2.errors import ArtifactError, InputError
from omnivec2.spec import Modality
from omnivec2.training.data.blocks.examples import Example, Origin, Problem, ProblemKind
from omnivec2.training.data.blocks.files import BlockFiles, listed
from omnivec2.training.data.blocks.kinds.base import Block, Names
from omnivec2.training.data.blocks.kinds.rows.object_cells import COLUMN, BlockOfObjects
from omnivec2.training.data.blocks.part_names import data_folders, part_folders
from omnivec2.training.data.table_files import read_json_lines, read_table
from omnivec2.training.yaml_lines import did_you_mean

_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_FILE_COLUMNS = ("file_name", "file", "path")
_COMPANIONS = frozenset(
    {".txt", ".json", ".jsonl", ".csv", ".xml", ".md", ".yaml", ".yml", ".db", ".ini", ".html"}
)
"""Files beside pictures and sounds that are none."""

_TEXT_FILES: Mapping[Modality, frozenset[str]] = {
    Modality.TEXT: frozenset({".txt"}),
    Modality.TABULAR: frozenset({".csv", ".json"}),
    Modality.TIMESERIES: frozenset({".csv", ".txt", ".json"}),
    Modality.IMU: frozenset({".csv", ".txt", ".json"}),
    Modality.POINTCLOUD: frozenset({".csv", ".txt"}),
}
"""Modality -> which of those are its inputs."""

_LABEL_COLUMNS = ("label", "labels", "class", "target", "category")
"""The columns of metadata that are taken for the label where several are there."""


def _endings(words: str) -> frozenset[str]:
    return frozenset(words.split())


class FilesInFolders(Block):
    """What all kinds of folders share."""

    label: Names = Field(
        default=(), description="columns of metadata with the target; the folder unless given"
    )
    extensions: Names = Field(
        default=(), description="endings of the files to take, such as .ply; all unless given"
    )

    endings: ClassVar[frozenset[str]] = frozenset()

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield the files of every folder, in the order of their paths."""
        for part, folder in self.paths(files):
            if not folder.is_dir():
                yield Problem(
                    ProblemKind.UNREADABLE_FILE,
                    Origin(files.name(folder)),
                    f"expected a folder; `kind: {self.kind}` reads folders of files",
                )
                continue
            roots = part_folders(folder) if part is None else {}
            if roots:
                yield from _folders_of_no_part(files, folder, roots)
            for own_part, root in roots.items() or ((part, folder),):
                yield from self._read_folder(files, root, own_part)

    def _read_folder(
        self, files: BlockFiles, root: Path, part: str | None
    ) -> Iterator[Example | Problem]:
        table = next((root / name for name in _METADATA if (root / name).is_file()), None)
        if table is not None:
            yield from self._listed(files, root, table, part)
        else:
            yield from self._by_folder(files, root, part)

    def _by_folder(
        self, files: BlockFiles, root: Path, part: str | None
    ) -> Iterator[Example | Problem]:
        """Yield the files of every class, which is the first folder below the root."""
        count = 0
        for path in _visible(root):
            if path.is_file():
                if self._is_input(path, files.modality):
                    yield Problem(
                        ProblemKind.BAD_TARGET,
                        Origin(files.name(path)),
                        "the file lies in no folder of a class; expected "
                        f"{files.name(root)}/<class>/{path.name}",
                    )
                continue
            inputs = [
                file for file in sorted(path.rglob("*")) if self._is_input(file, files.modality)
            ]
            if not inputs:
                yield Problem(
                    ProblemKind.EMPTY,
                    Origin(files.name(path)),
                    f"the folder has no file of this kind ({self._wanted()})",
                    is_warning=True,
                )
            for file in inputs:
                count += 1
                yield self._example(files, root, file, path.name, part)
        if not count:
            raise ArtifactError(
                f"{root}: expected a folder of files per class ({self._wanted()}), or one of "
                f"{', '.join(_METADATA)}"
            )

    def _listed(
        self, files: BlockFiles, root: Path, table: Path, part: str | None
    ) -> Iterator[Example | Problem]:
        """Yield the files that a table names."""
        where = files.name(table)
        try:
            rows, unit = _metadata(table)
        except InputError as error:
            reason = str(error).removeprefix(f"{table}: ").removeprefix(f"{table}, ")
            yield Problem(ProblemKind.UNREADABLE_FILE, Origin(where), reason)
            return
        known = list(dict.fromkeys(name for _, row in rows for name in row))
        column = next((name for name in _FILE_COLUMNS if name in known), None)
        left = [name for name in known if name != column and name not in self.split_columns]
        usual = [name for name in left if name.lower() in _LABEL_COLUMNS]
        labels = self.label or tuple(usual[:1] or left)
        missing = [name for name in (*labels, *self.split_columns) if name not in known]
        if column is None or missing:
            wanted = missing[0] if missing else "file_name"
            reason = (
                f"there is no column {wanted!r}; there are {listed(known)}"
                f"{did_you_mean(wanted, known)}"
            )
            yield Problem(ProblemKind.UNREADABLE_FILE, Origin(where), reason)
            return
        for number, row in rows:
            origin = Origin(where, number, unit)
            path = root / str(row.get(column) or "")
            if not row.get(column) or not path.is_file():
                reason = f"the file of column {column!r} is not there: {row.get(column) or ''}"
                yield Problem(ProblemKind.MISSING_FILE, origin, reason)
                continue
            target = {name: row.get(name) for name in labels}
            columns = {name: row.get(name) for name in self.split_columns}
            yield Example(path, target, origin, part, columns)

    def _example(
        self, files: BlockFiles, root: Path, file: Path, label: str, part: str | None
    ) -> Example:
        columns = self.columns_of_name(str(file.relative_to(root)))
        return Example(file, label, Origin(files.name(file)), part, columns)

    def _is_input(self, path: Path, modality: Modality) -> bool:
        if not path.is_file() or path.name.startswith("."):
            return False
        ending = path.suffix.lower()
        if self.extensions:
            return path.name.lower().endswith(tuple(one.lower() for one in self.extensions))
        if self.endings:
            return ending in self.endings
        return ending not in _COMPANIONS or ending in _TEXT_FILES.get(modality, ())

    def _wanted(self) -> str:
        return listed(sorted(self.extensions or self.endings)) if self.endings else "any file"


class FolderBlock(FilesInFolders):
    """Files of any modality in folders of their classes, or named by a table of metadata."""

    kind: Literal["folder"] = "folder"


class ImageFolderBlock(FilesInFolders, BlockOfObjects):
    """Pictures in folders of their classes, or named by a table of metadata."""

    kind: Literal["imagefolder"] = "imagefolder"

    endings: ClassVar[frozenset[str]] = _endings(
        ".jpg .jpeg .jpe .jfif .png .bmp .gif .webp .tif .tiff .heic .heif .avif .jp2 "
        ".j2k .ppm .pgm .dcm .dicom .npy"
    )

    def _listed(
        self, files: BlockFiles, root: Path, table: Path, part: str | None
    ) -> Iterator[Example | Problem]:
        """Yield the pictures that a table names; of boxes as they are annotated in it."""
        if not self.has_boxes:
            yield from super()._listed(files, root, table, part)
            return
        column = self.label[0] if self.label else COLUMN
        block = self.model_copy(update={"label": (column,)})
        yield from self.annotated(
            super(ImageFolderBlock, block)._listed(files, root, table, part), column
        )


class AudioFolderBlock(FilesInFolders):
    """Recordings in folders of their classes, or named by a table of metadata."""

    kind: Literal["audiofolder"] = "audiofolder"

    endings: ClassVar[frozenset[str]] = _endings(
        ".wav .flac .ogg .oga .opus .mp3 .m4a .aac .mp4 .webm .aif .aiff .au .caf .npy"
    )


class VideoFolderBlock(FilesInFolders):
    """Clips in folders of their classes, or named by a table of metadata."""

    kind: Literal["videofolder"] = "videofolder"

    endings: ClassVar[frozenset[str]] = _endings(
        ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .ts .wmv .flv .3gp .ogv .gif .npy .npz"
    )


def _visible(folder: Path) -> list[Path]:
    """Return the files and the folders of data in a folder, in the order of their names."""
    files = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    return sorted([*files, *data_folders(folder)])


def _folders_of_no_part(
    files: BlockFiles, folder: Path, parts: Mapping[str | None, Path]
) -> Iterator[Problem]:
    """Yield a warning for every folder beside those of parts."""
    for path in data_folders(folder):
        if path not in parts.values():
            yield Problem(
                ProblemKind.LEFT_OUT,
                Origin(files.name(path)),
                "the folder is none of a part, as those beside it are; it is left out",
                is_warning=True,
            )


def _metadata(path: Path) -> tuple[Sequence[tuple[int, dict[str, Any]]], str]:
    """Return the numbered rows of a table of metadata, and the word for one of them."""
    if path.suffix == ".jsonl":
        return read_json_lines(path), "line"
    frame = read_table(path)
    rows = [
        (frame.row_number(row), {name: cells[row] for name, cells in frame.columns.items()})
        for row in range(frame.rows)
    ]
    return rows, "row"
