"""Data to train on and to measure with, one module per modality, found by route.

>>> from omnivec2.training.data import load_task
>>> task = load_task("infrared/objects", Path("data"))  # doctest: +SKIP
>>> sample, label = task.splits["train"].samples[0], task.splits["train"].targets[0]
... # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from omnivec2.errors import UnknownModelError
from omnivec2.spec import Modality
from omnivec2.training.data.base import Loader, Location, Split, TaskData

__all__ = ["DEFAULT_CACHE", "Split", "TaskData", "load_task", "routes"]

DEFAULT_CACHE = Path(".cache")
"""Prepared arrays go here, in the working directory, unless another place is given."""


def routes(modality: Modality | None = None) -> list[str]:
    """Every route there is data for, or those of one modality."""
    chosen = Modality if modality is None else (modality,)
    return [route for one in chosen for route in _loaders(one)]


def _loaders(modality: Modality) -> dict[str, Loader]:
    """Route -> loader of one modality; loading one needs no other modality's libraries."""
    found: dict[str, Loader] = import_module(f"{__name__}.sets.{modality.value}").TASKS
    return found


def load_task(route: str, root: Path, *, cache: Path | None = None) -> TaskData:
    """Load one task's data; prepared arrays are made on first use and kept.

    Args:
        route: ``<modality>/<task>``, e.g. ``image/classification``.
        root: directory of the data sets.
        cache: where prepared arrays are kept; :data:`DEFAULT_CACHE` unless given.

    Raises:
        UnknownModelError: there is no data for the route.
        ArtifactError: ``root`` lacks the data.
    """
    modality = route.partition("/")[0]
    loader = _loaders(Modality(modality)).get(route) if modality in set(Modality) else None
    # Imported late: it is made of the same parts as the modules of the modalities.
    loader = loader or import_module(f"{__name__}.paper_data_sets").loader_of(route)
    if loader is None:
        known = ", ".join(routes())
        raise UnknownModelError(f"no data for {route!r}; there is data for {known}")
    return loader(Location(Path(root), cache or DEFAULT_CACHE))
