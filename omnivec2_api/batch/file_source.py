"""Files as the inputs of a batch: folders with their sub-folders, patterns, lists of paths."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import preprocessor_type
from omnivec2.spec import Modality
from omnivec2_api.batch.items import NOTHING_SKIPPED, Item, Skipped
from omnivec2_api.batch.object_paths import FilePath, ObjectPath, file_path
from omnivec2_api.input_values import guess_media_type

PATH_COLUMN = "path"

_FILES_OF_SEVERAL = frozenset({Modality.TABULAR, Modality.GRAPH})
"""Modalities whose files may hold several inputs: rows of a table, molecules."""

_MOST_EXAMPLES = 3


@dataclass(frozen=True)
class FileSource:
    """Files as inputs.

    Attributes:
        modality: The modality of the inputs.
        root: The directory or the prefix that the paths are relative to.
        paths: The paths and addresses, in their order.
        stamps: The stamps of objects of buckets, by their paths; see ``Item``.
        skipped: The files of folders that are no inputs of the modality.
    """

    modality: str
    root: FilePath
    paths: Sequence[str]
    skipped: Skipped = NOTHING_SKIPPED
    stamps: Mapping[str, str] = field(default_factory=dict)

    @property
    def key_columns(self) -> Mapping[str, str]:
        """The path of the file, as it was given or relative to the folder that was given."""
        return {PATH_COLUMN: "string"}

    @property
    def has_parts(self) -> bool:
        """Whether a file may hold several inputs."""
        return self.modality in _FILES_OF_SEVERAL

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Item]:
        for name in self.paths:
            path = file_path(name, self.root)
            yield Item({PATH_COLUMN: name}, path, self.stamps.get(name) or file_stamp(path))


def file_stamp(path: FilePath) -> str:
    """Return the size and the time of a file, which change when it does.

    Objects are taken for unchanged: to ask for each of them would take longer than to read it.
    """
    if isinstance(path, ObjectPath):
        return ""
    try:
        state = path.stat()
    except OSError:
        return "missing"
    return f"{state.st_size} {state.st_mtime_ns}"


def find_files(modality: str, inputs: Sequence[str], pattern: str | None = None) -> FileSource:
    """Return the files that folders, patterns and paths name.

    Of folders, files are taken whose type the modality reads, or that match the pattern; hidden
    files and folders never are. Files that are named, or found by a pattern, are taken as they are.

    Args:
        modality: The modality of the inputs.
        inputs: The folders, patterns (``photos/*.jpg``, ``**`` for any depth) and files.
        pattern: A pattern for the names of files in folders.

    Raises:
        InvalidInputError: There is no such file, or a pattern finds none.
    """
    takes = name_filter(modality, pattern)
    one_folder = len(inputs) == 1 and os.path.isdir(inputs[0])
    root = Path(inputs[0]) if one_folder else Path()
    paths: list[str] = []
    left: list[str] = []
    for name in inputs:
        if os.path.isdir(name):
            for path in _walk(name):
                (paths if takes(os.path.basename(path)) else left).append(path)
        elif os.path.exists(name):
            paths.append(name)
        else:
            paths += _matching(name)
    if one_folder:
        paths = [os.path.relpath(path, root) for path in paths]
    paths = [path.replace(os.sep, "/") for path in dict.fromkeys(paths)]
    if not paths:
        of_folder = f"none of its {len(left):,} files is of a type that {modality} reads"
        raise InvalidInputError(f"{', '.join(inputs)}: {of_folder if left else 'there is no file'}")
    return FileSource(modality, root, paths, skipped_files(left))


def skipped_files(left: Sequence[str]) -> Skipped:
    """Return how many files were left out, with the names of some."""
    return Skipped(len(left), tuple(os.path.basename(path) for path in left[:_MOST_EXAMPLES]))


def _walk(folder: str) -> Iterator[str]:
    """Yield the files of a folder and its sub-folders in the order of their names."""
    for directory, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield os.path.join(directory, name)


def _matching(pattern: str) -> list[str]:
    found = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not found:
        is_pattern = glob.has_magic(pattern)
        problem = "the pattern matches no file" if is_pattern else "there is no such file or folder"
        raise InvalidInputError(f"{pattern}: {problem}")
    return found


def name_filter(modality: str, pattern: str | None = None) -> Callable[[str], bool]:
    """Return whether files of a folder are inputs of a modality, by their names.

    Args:
        modality: The modality of the inputs.
        pattern: A pattern that decides instead of the types that the modality reads.
    """
    if pattern:
        return lambda name: fnmatch.fnmatch(name, pattern)
    try:
        accepted = preprocessor_type(Modality(modality)).media_types
    except (ArtifactError, ValueError):
        return lambda name: True  # its libraries are on the server only

    def takes(name: str) -> bool:
        if "." not in name:  # as DICOM files often are
            return True
        kind = guess_media_type(name)
        if modality == Modality.TEXT and (kind or "").startswith("text/"):
            return True
        return kind in accepted

    return takes
