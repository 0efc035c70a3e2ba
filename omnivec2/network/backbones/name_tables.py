"""The tables of tensor names: which published backbones are known, and where their tensors go.

The tables are data, in ``name_tables.toml`` beside this module, which explains its fields.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Collection
from functools import cache
from pathlib import Path

from pydantic import Field

from omnivec2.errors import CheckpointError
from omnivec2.network.frozen_config import FrozenConfig, NormOrder

_TABLES = Path(__file__).with_name("name_tables.toml")


_WRAPPED = re.compile(r"(?:(?:model|module|backbone|base_model|auto_model|_orig_mod|0)\.)+")
"""The names that training loops and larger models put before those of a backbone."""


def _longest(name: str, prefixes: Collection[str]) -> str:
    """Return the longest of some prefixes that a name ends with."""
    return max((p for p in prefixes if name.endswith(p)), key=len, default="")


class Layout(FrozenConfig):
    """One family of files with the same tensor names; see ``name_tables.toml``."""

    name: str
    model_types: tuple[str, ...]
    prefixes: tuple[str, ...]
    marker: str
    layer: str
    norm: NormOrder
    eps: float
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layers: dict[str, str]
    scales: dict[str, str] = Field(default={})
    trunk: dict[str, str] = Field(default={})
    text: dict[str, str] = Field(default={})
    patches: dict[str, str] = Field(default={})
    left: dict[str, str] = Field(description="pattern of names -> why they have no place")

    def prefix_in(self, names: Collection[str]) -> str | None:
        """Return the prefix of this layout's names in a file, or None if they are others.

        Files of a larger model, such as one that was trained in parallel, have its names before.
        """
        known = (p for p in self.prefixes if f"{p}{self.marker}" in names)
        if (prefix := next(known, None)) is not None:
            return prefix
        ends = tuple(f"{p}{self.marker}" for p in self.prefixes)
        before = {name.removesuffix(self.marker) for name in names if name.endswith(ends)}
        wrapped = [
            p for p in before if _WRAPPED.fullmatch(p.removesuffix(_longest(p, self.prefixes)))
        ]
        return wrapped[0] if len(wrapped) == 1 else None

    def reason_left(self, name: str) -> str | None:
        """Return why a tensor has no place in this network, if that is known."""
        for pattern, reason in self.left.items():
            if fnmatch.fnmatchcase(name, pattern):
                return reason
        return None


@cache
def layouts() -> tuple[Layout, ...]:
    """Return all known layouts."""
    content = tomllib.loads(_TABLES.read_text("utf-8"))
    return tuple(Layout.model_validate(layout) for layout in content["layout"])


def layout_of(source: Path, names: Collection[str], model_type: str | None) -> tuple[Layout, str]:
    """Return the layout of a file and the prefix of its names.

    Args:
        source: The file or directory, for errors.
        names: The names of its tensors.
        model_type: The ``model_type`` of its ``config.json``, if it has one.

    Raises:
        CheckpointError: The names are of no known layout.
    """
    by_type = [layout for layout in layouts() if model_type in layout.model_types]
    for layout in by_type or layouts():
        if (prefix := layout.prefix_in(names)) is not None:
            return layout, prefix
    known = ", ".join(layout.name for layout in layouts())
    kind = f"model_type {model_type!r}" if model_type else "no config.json"
    some = ", ".join(sorted(names)[:3])
    raise CheckpointError(
        f"{source}: names of no known backbone ({kind}; for example {some}); known: {known}"
    )
