"""Data to train on and to measure with, found by route.

>>> from omnivec2.training.data import load_task
>>> task = load_task("infrared/objects", Path("data"))  # doctest: +SKIP
>>> sample, label = task.splits["train"].samples[0], task.splits["train"].targets[0]
... # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from omnivec2.errors import UnknownModelError
from omnivec2.spec import HeadSpec, Modality
from omnivec2.training.data.base import (
    DataDirectories,
    Loader,
    PreparingProgress,
    Split,
    TaskData,
    ignore_progress,
)
from omnivec2.training.data.blocks.block_loading import load_block
from omnivec2.training.data.blocks.task_block import TaskBlock
from omnivec2.training.yaml_lines import did_you_mean

__all__ = ["DEFAULT_CACHE", "Split", "TaskBlock", "TaskData", "load_task", "routes"]

DEFAULT_CACHE = Path(".cache")
"""The place of prepared arrays, in the working directory, unless another one is given."""


def routes(modality: Modality | None = None) -> list[str]:
    """Return every route there is data for, or those of one modality."""
    chosen = Modality if modality is None else (modality,)
    return [route for each in chosen for route in _loaders(each)]


def _loaders(modality: Modality) -> Mapping[str, Loader]:
    """Return the loaders of one modality by route; no other modality's libraries are needed."""
    # Found by name: the modality's training object, which has them too, would load torch.
    found: Mapping[str, Loader] = import_module(f"{__name__}.sets.{modality.value}").TASKS
    return found


def load_task(
    route: str,
    root: Path,
    *,
    cache: Path | None = None,
    block: TaskBlock | None = None,
    head: HeadSpec | None = None,
    progress: PreparingProgress = ignore_progress,
) -> TaskData:
    """Load one task's data; prepared arrays are made on first use and kept.

    Args:
        route: The head's name, ``<modality>/<task>``, e.g. ``image/classification``.
        root: The directory of the data sets.
        cache: The directory of prepared arrays; :data:`DEFAULT_CACHE` unless given.
        block: The recipe's description of the data; the project's own data sets have none.
        head: The trained head that is measured: the block it was trained on is taken, with its
            pre-processing and its classes.
        progress: The callback for arrays that are prepared.

    Raises:
        UnknownModelError: There is no data for the route.
        ArtifactError: ``root`` lacks the data.
    """
    at = DataDirectories(Path(root), cache or DEFAULT_CACHE, progress)
    if block is None and head is not None and head.data_block is not None:
        block = TaskBlock.model_validate(head.data_block)
    if block is not None:
        return load_block(route, block, at, head)
    modality = route.partition("/")[0]
    loader = _loaders(Modality(modality)).get(route) if modality in set(Modality) else None
    if loader is None:
        # Imported late: it is made of the same parts as the modules of the modalities.
        from omnivec2.training.data.paper_data_sets import loader_of

        loader = loader_of(route)
    if loader is None:
        known = routes()
        guess = did_you_mean(route, known)
        raise UnknownModelError(
            f"no data for {route!r}{guess}; give it a `data:` block in the recipe (docs/data.md), "
            f"or take one of the data sets that have a loader: {', '.join(known)}"
        )
    return loader(at)
