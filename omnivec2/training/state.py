"""Training state on disk: safetensors and JSON, written so that a kill never harms it.

::

    state.safetensors    model., average., adam.<moment>. tensors
    state.json           step, positions of the tasks, recipe, steps of every parameter

Both are written into a new directory that then takes the old one's place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from omnivec2.atomic import recover_directory, replacing_directory
from omnivec2.errors import CheckpointError

_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        step: the next step to run.
        drawn: samples each task has given.
        first_losses: each task's first smoothed loss, and ``losses`` its present one.
    """

    step: int
    drawn: dict[str, int]
    losses: dict[str, float]


def save_state(
    directory: Path,
    network: nn.Module,
    average: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    recipe: Mapping[str, Any],
) -> None:
    """Write the whole state of a run."""
    names = {id(p): name for name, p in network.named_parameters()}
    tensors = {f"model.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    steps: dict[str, float] = {}
    for parameter, state in optimiser.state.items():
        name = names[id(parameter)]
        steps[name] = float(state["step"])
        tensors |= {f"adam.{m}.{name}": state[m] for m in _MOMENTS}
    header = {
        "step": progress.step,
        "drawn": progress.drawn,
        "losses": progress.losses,
        "adam_steps": steps,
        "recipe": recipe,
    }
    with replacing_directory(directory) as staging:
        save_file({k: v.contiguous() for k, v in tensors.items()}, staging / "state.safetensors")
        (staging / "state.json").write_text(json.dumps(header, indent=1))


def load_state(
    directory: Path,
    network: nn.Module,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    recipe: Mapping[str, Any],
) -> Progress:
    """Restore a run written by :func:`save_state`.

    Raises:
        CheckpointError: the state is damaged, or belongs to another recipe.
    """
    recover_directory(directory)
    try:
        header = json.loads((directory / "state.json").read_text())
        tensors = load_file(directory / "state.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{directory} holds no readable training state: {error}") from error
    if header["recipe"] != recipe:
        raise CheckpointError(
            f"{directory} was trained by another recipe; give another --run, or remove it"
        )
    network.load_state_dict(
        {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    )
    for name, value in average.items():
        value.copy_(tensors[f"average.{name}"])
    for name, parameter in network.named_parameters():
        if name in header["adam_steps"]:
            optimiser.state[parameter] = {
                "step": torch.tensor(header["adam_steps"][name]),
                # The fused optimiser walks through memory: moments lie as parameters do.
                **{
                    m: torch.empty_like(parameter).copy_(tensors[f"adam.{m}.{name}"]).detach()
                    for m in _MOMENTS
                },
            }
    return Progress(header["step"], header["drawn"], header["losses"])
