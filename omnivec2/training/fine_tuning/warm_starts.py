"""The field ``warm_start`` of a recipe: which parts start from which published weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from omnivec2.network.backbones.backbone import Backbone
from omnivec2.network.backbones.load_backbone import TOKENIZER, TRUNK, load_backbones
from omnivec2.network.backbones.weight_report import report_table
from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.warmstart import warm_start

PACKAGED = "packaged"
"""In place of a path: the weights that are installed as packages."""

WarmStart = bool | dict[str, str]
"""Whether all parts start from packaged weights, or the path (or ``packaged``) of each part."""


def starts_pretrained(setting: WarmStart, part: str) -> bool:
    """Whether a part starts from published weights: ``trunk`` or ``tokenizer.<name>``."""
    return setting if isinstance(setting, bool) else part in setting


def check_parts(setting: WarmStart) -> WarmStart:
    """Return the setting.

    Raises:
        ValueError: It names something that is neither the trunk nor a tokenizer.
    """
    for part in () if isinstance(setting, bool) else setting:
        if part != TRUNK and not part.startswith(TOKENIZER):
            raise ValueError(f"warm_start: {part} is neither {TRUNK} nor {TOKENIZER}<name>")
    return setting


def backbone_sizes(setting: WarmStart) -> TransformerConfig | None:
    """Return the sizes of the trunk's backbone, or None if there is none.

    Raises:
        CheckpointError: Its files are missing or damaged, or do not say how many heads it has.
    """
    path = _paths(setting).get(TRUNK)
    return None if path is None else Backbone.read(path).sizes()


def load_packaged(network: OmniVec2, setting: WarmStart) -> dict[str, str]:
    """Load packaged weights into the parts that start from them.

    Returns:
        The name of the weights by the part of the network that started from them.

    Raises:
        CheckpointError: A package is not installed.
    """
    if isinstance(setting, bool):
        return warm_start(network) if setting else {}
    parts = {part for part, source in setting.items() if source == PACKAGED}
    return warm_start(network, parts) if parts else {}


def load_local(
    network: OmniVec2, setting: WarmStart, console: Console | None = None
) -> dict[str, str]:
    """Load backbones from local files, and print what was taken and what was left.

    Args:
        network: The network.
        setting: The parts and their files.
        console: The console for the tables.

    Returns:
        The name of the weights by the part of the network that started from them.

    Raises:
        CheckpointError: A part does not exist, or a backbone does not fit it.
    """
    paths = _paths(setting)
    names: dict[Path, str] = {}
    for report in load_backbones(network, paths):
        names[report.source] = f"{report.source.name} ({report.layout} names, local files)"
        if console is not None:
            console.print(report_table(report))
    layers = len(network.trunk.f.transformer.layers)
    shown = {TRUNK: f"trunk.f ({layers} layers)"}
    return {
        shown.get(part, part.replace(TOKENIZER, "tokenizers.", 1)): names[path]
        for part, path in paths.items()
    }


def _paths(setting: WarmStart) -> Mapping[str, Path]:
    named: dict[str, Any] = {} if isinstance(setting, bool) else setting
    return {part: Path(source) for part, source in named.items() if source != PACKAGED}
