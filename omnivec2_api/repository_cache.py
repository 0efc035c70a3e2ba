"""The model repository of what a caller names: a repository, or a checkpoint with its graphs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from omnivec2.errors import ArtifactError


def find_repository(source: Path, cache: Path, layout: str | None = None) -> Path:
    """Return the model repository of a checkpoint or of itself.

    That of a checkpoint is assembled in the cache, as ``omnivec2 serve`` does, and is brought up to
    date when the checkpoint has changed.

    Args:
        source: The directory of an exported checkpoint, or a model repository.
        cache: The directory in which repositories are assembled.
        layout: The layout of a checkpoint's repository, ``shared`` or ``fused``; None keeps it.

    Raises:
        ArtifactError: The directory is neither, or the checkpoint was not exported.
    """
    from omnivec2.checkpoint import CONFIG_FILE
    from omnivec2.model_config import model_directories

    if not source.is_dir():
        raise ArtifactError(
            f"{source}: there is no such directory; expected an exported checkpoint, such as "
            "checkpoints/reference, or a model repository"
        )
    if model_directories(source):
        return source
    if not (source / CONFIG_FILE).exists():
        raise ArtifactError(f"{source}: neither a checkpoint nor a model repository")
    from export.repository.assembly import assemble
    from export.repository.layouts import Layout

    place = source.resolve()
    digest = hashlib.sha256(str(place).encode()).hexdigest()
    repository = cache / "repositories" / f"{place.name}-{digest[:12]}"
    if layout is not None:
        repository = repository.with_name(f"{repository.name}-{layout}")
    assemble(source, repository, Layout(layout) if layout else None)
    return repository
