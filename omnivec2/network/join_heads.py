"""A head trained by itself, put into the checkpoint whose trunk and tokenizer it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omnivec2.checkpoint import Checkpoint, load_tensors, read_checkpoint
from omnivec2.errors import CheckpointError, UnknownModelError
from omnivec2.network.config import NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.saved_network import continue_from, load_network, save_network
from omnivec2.spec import HeadSpec

_ROUNDING = 1e-3
"""What storing weights once more changes, of the largest of a tensor."""


def join_head(route: str, donor: Path, into: Path) -> Checkpoint:
    """Put a head into another checkpoint, or in the place of its head of that name.

    Other heads answer as before. Exported graphs go, as they belong to a whole weights file.
    A text tokenizer takes the longer table of positions of the two.

    Args:
        route: ``<modality>/<task>`` of the head.
        donor: the checkpoint it was trained in, on a frozen trunk and tokenizer.
        into: the checkpoint it comes into; replaced at once.

    Raises:
        UnknownModelError: the donor has no such head.
        CheckpointError: it was trained on another trunk or tokenizer.
    """
    given, taking = read_checkpoint(donor), read_checkpoint(into)
    heads = {head.route: head for head in given.heads}
    if route not in heads:
        raise UnknownModelError(f"{donor} has no head {route}; it has {', '.join(heads)}")
    source, target = load_network(donor).config, load_network(into).config
    name = source.heads[route].tokenizer
    _require_alike(name, (source, donor), (target, into))
    network = OmniVec2(_joined(route, source, target))
    continue_from(network, into)
    longer = f"tokenizers.{name}.positions.weight"
    state = network.state_dict()
    for key, array in load_tensors(donor).items():
        grown = key == longer and len(array) > len(load_tensors(into)[longer])
        if key.startswith(f"heads.{module_name(route)}.") or grown:
            state[key] = state[key].new_tensor(array)
    specs: list[HeadSpec] = [head for head in taking.heads if head.route != route]
    return save_network(into, network, state, [*specs, heads[route]])


def _joined(route: str, source: NetworkConfig, target: NetworkConfig) -> NetworkConfig:
    """The target's network with one head more."""
    head = source.heads[route]
    own, given = target.tokenizers[head.tokenizer], source.tokenizers[head.tokenizer]
    tokenizers = {**target.tokenizers, head.tokenizer: own.combined_with(given)}
    heads = {**target.heads, route: head}
    return target.model_copy(update={"tokenizers": tokenizers, "heads": heads})


def _require_alike(
    tokenizer: str, first: tuple[NetworkConfig, Path], second: tuple[NetworkConfig, Path]
) -> None:
    """Raise unless two checkpoints have the same trunk, and a tokenizer of the same weights."""
    (config, donor), (other, into) = first, second
    same = config.trunk == other.trunk and config.head == other.head
    if not same or tokenizer not in other.tokenizers:
        raise CheckpointError(f"{donor} has another trunk or other tokenizers than {into}")
    tensors, own = load_tensors(donor), load_tensors(into)
    for key in own:
        if not key.startswith(("trunk.", f"tokenizers.{tokenizer}.")):
            continue
        given, here = tensors.get(key, own[key][:0]), own[key]
        if key.endswith(".positions.weight"):
            rows = min(len(given), len(here))
            given, here = given[:rows], here[:rows]
        close = _ROUNDING * float(np.abs(here).max(initial=0))
        if given.shape != here.shape or not np.allclose(given, here, atol=close):
            raise CheckpointError(
                f"{key} of {donor} is not that of {into}: train the head with start_from, "
                "frozen_trunk and frozen_tokenizers"
            )
