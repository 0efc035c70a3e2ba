"""The project's own data sets that are blocks: ``sets/blocks.yaml``, read when they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
    task = load_block(route, TaskBlock.model_validate(_documents()[route]), at)
    # A checkpoint needs no copy: the data of this route is always found here.
    return replace(task, block=None)


@cache
def _documents() -> Mapping[str, Any]:
    """Return the blocks by route, as they are written."""
    text = resources.files("omnivec2.training.data.sets").joinpath("blocks.yaml").read_text()
    documents: Mapping[str, Any] = yaml.safe_load(text)
    return documents
