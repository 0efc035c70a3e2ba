"""Loading backbones into f and into tokenizers, with a report on every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from omnivec2.errors import CheckpointError
from omnivec2.network.backbones.backbone import Backbone
from omnivec2.network.backbones.layer_transfer import transfer_layers
from omnivec2.network.backbones.tokenizer_transfer import transfer_patches, transfer_words
from omnivec2.network.backbones.transfer import Transfer
from omnivec2.network.backbones.weight_report import WeightReport
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.stem import PatchCells
from omnivec2.network.tokenizers.text import TextTokenizer
from omnivec2.network.tokenizers.visual import VisualTokenizer

TRUNK = "trunk"
TOKENIZER = "tokenizer."
"""The names of the parts that a backbone can start: ``trunk``, ``tokenizer.<name>``."""


def load_backbones(network: OmniVec2, paths: Mapping[str, Path]) -> list[WeightReport]:
    """Load backbones into parts of a network.

    Args:
        network: The network.
        paths: The file or directory of each part: ``trunk`` or ``tokenizer.<name>``.

    Returns:
        A report per file or directory.

    Raises:
        CheckpointError: A part does not exist, or a backbone does not fit it.
    """
    parts: dict[Path, list[str]] = {}
    for part, path in paths.items():
        parts.setdefault(path, []).append(part)
    reports = []
    for path, names in parts.items():
        transfer = Transfer(Backbone.read(path))
        # The trunk first: it starts the LayerNorm of tokenizers, which have their own values.
        for name in sorted(names, key=lambda name: name != TRUNK):
            transfer_part(transfer, network, name)
        reports.append(transfer.finish())
    return reports


def transfer_part(transfer: Transfer, network: OmniVec2, part: str) -> None:
    """Fill one part of a network: ``trunk`` or ``tokenizer.<name>``.

    Raises:
        CheckpointError: There is no such part, or the backbone does not fit it.
    """
    if part == TRUNK:
        transfer_layers(transfer, network)
        return
    name = part.removeprefix(TOKENIZER)
    if not part.startswith(TOKENIZER) or name not in network.tokenizers:
        known = [TRUNK, *(f"{TOKENIZER}{name}" for name in network.tokenizers)]
        raise CheckpointError(f"warm_start: no part {part}; there are {', '.join(known)}")
    tokenizer = network.tokenizers[name]
    if isinstance(tokenizer, TextTokenizer):
        transfer_words(transfer, tokenizer, f"tokenizers.{name}")
    elif isinstance(tokenizer, VisualTokenizer) and isinstance(tokenizer.stem, PatchCells):
        transfer_patches(transfer, tokenizer, f"tokenizers.{name}")
    else:
        raise CheckpointError(
            f"warm_start: {part} takes no backbone; texts do, and visual tokenizers of plain "
            f"patches: `network: {{tokenizers: {{{name}: {{stem: patches}}}}}}`"
        )
