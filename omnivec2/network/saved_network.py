"""Loading a network from a checkpoint directory, and saving one to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from omnivec2.checkpoint import Checkpoint, load_tensors, read_checkpoint, write_checkpoint
from omnivec2.errors import CheckpointError
from omnivec2.network.config import NetworkConfig
from omnivec2.network.fusion import PairFusion
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.random_start import WithoutRandomStart
from omnivec2.spec import HeadSpec

TRAINING_ONLY = "fusion."
"""The prefix of parameters that inference never uses; they do not ship."""

_POSITIONS = ".positions.weight"


def load_network(directory: Path) -> OmniVec2:
    """Load the network of a checkpoint, in evaluation mode, float32.

    The training-only fusion keeps its random initialisation: it is not part of a checkpoint.

    Raises:
        CheckpointError: Files are missing, or do not fit together.
    """
    checkpoint = read_checkpoint(directory)
    try:
        config = NetworkConfig.model_validate(checkpoint.config)
    except ValidationError as error:
        raise CheckpointError(f"{directory}: config.json is not a network: {error}") from error
    with WithoutRandomStart():
        network = OmniVec2(config)
    network.fusion = PairFusion(config.trunk.g.width, config.cross_heads)
    tensors = {name: torch.from_numpy(a) for name, a in load_tensors(directory).items()}
    try:
        outcome = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:  # all that torch raises for a tensor of the wrong shape
        raise CheckpointError(f"{directory}: weights do not fit config.json: {error}") from error
    missing = [name for name in outcome.missing_keys if not name.startswith(TRAINING_ONLY)]
    if missing or outcome.unexpected_keys:
        raise CheckpointError(
            f"{directory}: weights do not fit config.json (missing {missing[:3]}, "
            f"unexpected {outcome.unexpected_keys[:3]})"
        )
    return network.eval()


def save_network(
    directory: Path, network: OmniVec2, state: Mapping[str, Any], heads: Sequence[HeadSpec]
) -> Checkpoint:
    """Write the parts of a network that inference uses, replacing an older checkpoint at once.

    Args:
        directory: The checkpoint's directory.
        network: The network whose configuration is written.
        state: The tensors by name, e.g. averaged weights.
        heads: One spec per head; heads of the network without one do not ship.
    """
    shipped = {head.route for head in heads}
    unserved = network.config.heads.keys() - shipped
    left_out = (TRAINING_ONLY, *(f"heads.{module_name(route)}." for route in unserved))
    tensors: dict[str, np.ndarray[Any, Any]] = {
        name: value.detach().cpu().contiguous().numpy()
        for name, value in state.items()
        if not name.startswith(left_out)
    }
    kept = {route: head for route, head in network.config.heads.items() if route in shipped}
    config = network.config.model_copy(update={"heads": kept}).model_dump(mode="json")
    return write_checkpoint(directory, config=config, tensors=tensors, heads=heads)


def continue_from(network: OmniVec2, directory: Path) -> list[str]:
    """Copy every weight of a checkpoint that fits by name and shape.

    A longer table of positions takes the rows of the shorter one.

    Returns:
        The names of the network's parameters that keep their own initial values.
    """
    read_checkpoint(directory)
    own = network.state_dict()
    taken: dict[str, torch.Tensor] = {}
    for name, array in load_tensors(directory).items():
        if name not in own:
            continue
        if own[name].shape == array.shape:
            taken[name] = torch.from_numpy(array)
        elif name.endswith(_POSITIONS) and len(array) < len(own[name]):
            taken[name] = own[name].clone()
            taken[name][: len(array)] = torch.from_numpy(array)
    network.load_state_dict(taken, strict=False)
    return sorted(own.keys() - taken.keys())
