"""Find an engine by the name of its module, so that a new one needs no entry anywhere."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pkgutil import iter_modules

from omnivec2.errors import ArtifactError
from service.runtimes.embedded import engines
from service.runtimes.embedded.engines.base import Engine

_FACTORY = "ENGINE"
"""The attribute of an engine's module that makes the engine."""

_NOT_ENGINES = frozenset({"base", "find_engine"})


def engine_names() -> list[str]:
    """Return the names of the engines in this package; its subpackages are parts of engines."""
    modules = {module.name for module in iter_modules(engines.__path__) if not module.ispkg}
    return sorted(modules - _NOT_ENGINES)


def find_engine(name: str) -> Engine:
    """Make the engine that a setting names.

    Args:
        name: A module of this package (``onnxruntime``), or ``module:attribute`` of any
            package, where the attribute makes an engine.

    Raises:
        ArtifactError: There is no such engine, or a library that it needs is not installed.
    """
    module_name, _, attribute = name.partition(":")
    if not attribute:
        if name not in engine_names():
            known = ", ".join(engine_names())
            raise ArtifactError(f"there is no engine {name!r}; there are {known}")
        module_name, attribute = f"{engines.__name__}.{name}", _FACTORY
    try:
        make: Callable[[], Engine] = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ArtifactError(f"the engine {name!r} cannot be used here: {error}") from error
    return make()
