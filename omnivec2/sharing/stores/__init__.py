"""Places that checkpoints are pushed to and pulled from; one registry of their addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from omnivec2.errors import InvalidInputError
from omnivec2.sharing.stores.base import Store

_SCHEMES: Mapping[str, str] = {"file": "directory", "s3": "s3", "hf": "hub"}
"""Scheme -> module; a module's ``open_store`` opens an address. Their libraries are optional."""


def open_store(address: str) -> Store:
    """Open a place: a directory, ``s3://bucket/prefix`` or ``hf://owner/name[@revision]``.

    Raises:
        InvalidInputError: The address is not understood.
        ModuleNotFoundError: The library of its scheme is not installed.
    """
    scheme, separator, _ = address.partition("://")
    if not separator:
        scheme = "file"
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}://…" for name in _SCHEMES)
        raise InvalidInputError(f"{address}: expected a directory, or {known}")
    module = import_module(f"{__name__}.{_SCHEMES[scheme]}")
    opener: Callable[[str], Store] = module.open_store
    return opener(address)
