"""Objects of buckets as the inputs of a batch: prefixes, patterns, lists of addresses."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Sequence

from omnivec2.errors import InvalidInputError
from omnivec2_api.batch.file_source import FileSource, name_filter, skipped_files
from omnivec2_api.batch.object_paths import ObjectPath, list_objects, stamps_of


def find_objects(modality: str, inputs: Sequence[str], pattern: str | None = None) -> FileSource:
    """Return the objects that prefixes, patterns and addresses name, as ``find_files`` does.

    Args:
        modality: The modality of the inputs.
        inputs: The addresses; a prefix stands for all objects below it, and ``*`` for any
            characters, slashes included.
        pattern: A pattern for the names of the objects below prefixes.

    Raises:
        InvalidInputError: There is no such object, or a pattern finds none.
    """
    takes = name_filter(modality, pattern)
    addresses = [ObjectPath.of(name) for name in inputs]
    stamps: dict[str, str] = {}
    left: list[str] = []
    for address in addresses:
        if glob.has_magic(address.key):
            stamps |= _matching(address)
        elif address.key and address.is_file():
            stamps[str(address)] = stamps_of([address])[0]
        else:
            for name, stamp in list_objects(address):
                if takes(name.rpartition("/")[2]):
                    stamps[str(address / name)] = stamp
                else:
                    left.append(name)
    if not stamps:
        of_prefix = f"none of its {len(left):,} objects is of a type that {modality} reads"
        raise InvalidInputError(f"{', '.join(inputs)}: {of_prefix if left else 'no object'}")
    root = addresses[0]
    is_prefix = len(addresses) == 1 and str(root) not in stamps and not glob.has_magic(root.key)
    if is_prefix:
        start = len(str(root).rstrip("/")) + 1
        stamps = {name[start:]: stamp for name, stamp in stamps.items()}
    return FileSource(modality, root, tuple(stamps), skipped_files(left), stamps)


def _matching(pattern: ObjectPath) -> dict[str, str]:
    """Return the objects that match a pattern -> their stamps."""
    fixed = pattern.key[: min(pattern.key.find(sign) % (len(pattern.key) + 1) for sign in "*[")]
    prefix = ObjectPath(pattern.bucket, fixed.rpartition("/")[0], pattern.options)
    found = {str(prefix / name): stamp for name, stamp in list_objects(prefix)}
    matching = {
        name: stamp for name, stamp in found.items() if fnmatch.fnmatchcase(name, str(pattern))
    }
    if not matching:
        raise InvalidInputError(f"{pattern}: the pattern matches no object")
    return matching
