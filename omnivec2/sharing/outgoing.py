"""What a push sends: the files of a checkpoint, its model card and the manifest of both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omnivec2.checkpoint import read_checkpoint
from omnivec2.sharing.manifest import (
    CARD_FILE,
    MANIFEST_FILE,
    Manifest,
    SharedFile,
    describe_file,
    refusal_of,
)
from omnivec2.sharing.model_card import write_card


@dataclass(frozen=True)
class Outgoing:
    """A checkpoint on its way out.

    Attributes:
        manifest: The list of its files.
        sources: The file on the disk by path, or the content of one that is made for the push.
        left_out: The files of the directory that are not sent.
    """

    manifest: Manifest
    sources: Mapping[str, Path | bytes]
    left_out: tuple[str, ...]


def gather(directory: Path, name: str, licence: str | None = None) -> Outgoing:
    """Return what is sent of a checkpoint directory, which is not changed.

    A model card is made unless the directory has one.

    Args:
        directory: The checkpoint.
        name: The name in the card.
        licence: The licence of the weights in the card.

    Raises:
        CheckpointError: The directory holds no whole checkpoint.
    """
    checkpoint = read_checkpoint(directory)
    sources: dict[str, Path | bytes] = {}
    files: list[SharedFile] = []
    left_out: list[str] = []
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        path = file.relative_to(directory).as_posix()
        if refusal_of(path):
            left_out += [path] if path != MANIFEST_FILE else []
            continue
        sources[path] = file
        files.append(describe_file(path, file))
    if CARD_FILE not in sources:
        card = write_card(checkpoint, name, licence).encode()
        sources[CARD_FILE] = card
        digest = hashlib.sha256(card).hexdigest()
        files.append(SharedFile(path=CARD_FILE, bytes=len(card), sha256=digest))
    manifest = Manifest(files=tuple(sorted(files, key=lambda entry: entry.path)))
    return Outgoing(manifest, sources, tuple(left_out))
