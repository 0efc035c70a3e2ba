"""The project's own data sets that are blocks: ``blocks.yaml``, validated when one is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from importlib import resources
from typing import Any

import yaml

from omnivec2.spec import Modality
from omnivec2.training.data.base import DataDirectories, Loader, TaskData
from omnivec2.training.data.blocks.block_loading import load_block
from omnivec2.training.data.blocks.task_block import TaskBlock


def block_loaders(modality: Modality) -> dict[str, Loader]:
    """Return the loader of every data set of a modality that is a block, by route."""
    prefix = f"{modality.value}/"
    return {route: partial(_load, route) for route in _documents() if route.startswith(prefix)}


def _load(route: str, at: DataDirectories) -> TaskData:
    return load_block(route, TaskBlock.model_validate(_documents()[route]), at)


@cache
def _documents() -> Mapping[str, Any]:
    """Return the blocks by route, as they are written."""
    text = resources.files("omnivec2.training.data.sets").joinpath("blocks.yaml").read_text()
    documents: Mapping[str, Any] = yaml.safe_load(text)
    return documents
