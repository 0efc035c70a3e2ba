"""Merging a head trained alone into the checkpoint whose trunk and tokenizer it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omnivec2.checkpoint import Checkpoint, load_tensors, read_checkpoint
from omnivec2.errors import CheckpointError, UnknownModelError
from omnivec2.network.config import OWN_SUMMARIES, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.saved_network import continue_from, load_network, save_network
from omnivec2.network.tokenizers.visual import DEEP
from omnivec2.spec import HeadSpec

_ROUNDING = 1e-3
"""The change by storing weights once more, relative to the largest of a tensor."""


def join_head(route: str, donor: Path, into: Path) -> Checkpoint:
    """Add a head to another checkpoint, or replace its head of that name.

    Other heads answer as before. Exported graphs are removed, as they belong to a whole weights
    file. A text tokenizer takes the longer table of positions of the two.

    Args:
        route: The ``<modality>/<task>`` of the head.
        donor: The checkpoint it was trained in, on a frozen trunk and tokenizer.
        into: The checkpoint that receives it; replaced at once.

    Raises:
        UnknownModelError: The donor has no such head.
        CheckpointError: It was trained on another trunk or tokenizer.
    """
    donated, receiving = read_checkpoint(donor), read_checkpoint(into)
    heads = {head.route: head for head in donated.heads}
    if route not in heads:
        raise UnknownModelError(f"{donor} has no head {route}; it has {', '.join(heads)}")
    source, target = load_network(donor).config, load_network(into).config
    name = source.heads[route].tokenizer
    _require_same_weights(name, (source, donor), (target, into))
    handed_out = target.tokenizers[name].own_widths
    seen = OWN_SUMMARIES & set(source.heads[route].token_summaries)
    if missing := sorted(seen - handed_out.keys()):
        raise CheckpointError(
            f"{route} of {donor} sees {missing[0]}, which the tokenizer {name} of {into} does not "
            "hand out: join it with the checkpoint that it was trained on"
        )
    network = OmniVec2(_config_with_head(route, source, target))
    continue_from(network, into)
    longer = f"tokenizers.{name}.positions.weight"
    state = network.state_dict()
    for key, array in load_tensors(donor).items():
        is_longer = key == longer and len(array) > len(load_tensors(into)[longer])
        if key.startswith(f"heads.{module_name(route)}.") or is_longer:
            state[key] = state[key].new_tensor(array)
    specs: list[HeadSpec] = [head for head in receiving.heads if head.route != route]
    return save_network(into, network, state, [*specs, heads[route]])


def _config_with_head(route: str, source: NetworkConfig, target: NetworkConfig) -> NetworkConfig:
    """Return the target's configuration with one more head."""
    head = source.heads[route]
    own, given = target.tokenizers[head.tokenizer], source.tokenizers[head.tokenizer]
    tokenizers = {**target.tokenizers, head.tokenizer: own.combined_with(given)}
    heads = {**target.heads, route: head}
    return target.model_copy(update={"tokenizers": tokenizers, "heads": heads})


def _require_same_weights(
    tokenizer: str, first: tuple[NetworkConfig, Path], second: tuple[NetworkConfig, Path]
) -> None:
    """Raise unless two checkpoints have the same trunk and a tokenizer with the same weights."""
    (config, donor), (other, into) = first, second
    same = config.trunk == other.trunk and config.head == other.head
    if not same or tokenizer not in other.tokenizers:
        raise CheckpointError(f"{donor} has another trunk or other tokenizers than {into}")
    donated, receiving = load_tensors(donor), load_tensors(into)
    for key in receiving:
        if not key.startswith(("trunk.", f"tokenizers.{tokenizer}.")):
            continue
        # A head that was trained before the tokenizer had a branch does without.
        if key.startswith(f"tokenizers.{tokenizer}.{DEEP}.") and key not in donated:
            continue
        first_array, second_array = donated.get(key, receiving[key][:0]), receiving[key]
        if key.endswith(".positions.weight"):
            rows = min(len(first_array), len(second_array))
            first_array, second_array = first_array[:rows], second_array[:rows]
        tolerance = _ROUNDING * float(np.abs(second_array).max(initial=0))
        if first_array.shape != second_array.shape or not np.allclose(
            first_array, second_array, atol=tolerance
        ):
            raise CheckpointError(
                f"{key} of {donor} is not that of {into}: train the head with start_from, "
                "frozen_trunk and frozen_tokenizers"
            )
