"""Training state on disk: safetensors and JSON, written so that a kill never corrupts it.

::

    state.safetensors    model., average., adam.<moment>. tensors
    state.json           stage, step, positions and losses of the tasks, recipe, steps of AdamW

Both are written into a new directory that then replaces the old one. Nothing else is needed to
resume bit for bit: everything random (batches, augmentation, masks, gates) follows from the seed
and the step, and new modules of a stage from the seed and the stage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from omnivec2.atomic_files import clear_staging, recover_directory, replacing_directory
from omnivec2.errors import CheckpointError
from omnivec2.training.distributed.sharding import gather_full_tensors, load_full_state, shard_like
from omnivec2.training.recipe import Recipe
from omnivec2.training.runs.resuming import check_recipe

_LAYOUT = 2
"""The version of the layout, increased whenever older states can no longer be read."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """The position of a run.

    Attributes:
        stage: The index of the current stage.
        step: The next step of the stage.
        drawn: The number of samples drawn of each task in the stage.
        losses: The smoothed loss of each task in the stage.
        balance: The state of :class:`omnivec2.training.balancing.Balance`.
    """

    stage: int = 0
    step: int = 0
    drawn: dict[str, int] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    balance: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """Everything of a run that changes, in full tensors even if weights are sharded.

    Attributes:
        tensors: The tensors by their stored name.
        steps: The steps that AdamW has taken, by parameter name.
    """

    tensors: dict[str, Tensor]
    steps: dict[str, float]


def gather_state(
    model: nn.Module, average: Mapping[str, Tensor], optimiser: torch.optim.Optimizer
) -> State:
    """Gather the state of a run; every process must call this."""
    names = {id(p): name for name, p in model.named_parameters()}
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    steps: dict[str, float] = {}
    for parameter, state in optimiser.state.items():
        name = names[id(parameter)]
        steps[name] = float(state["step"])
        tensors |= {f"adam.{m}.{name}": state[m] for m in _MOMENTS}
    return State(gather_full_tensors(tensors), steps)


def save_state(
    directory: Path, state: State, progress: Progress, recipe: Mapping[str, Any]
) -> None:
    """Write the whole state of a run."""
    header = {"layout": _LAYOUT, **vars(progress), "adam_steps": state.steps, "recipe": recipe}
    with replacing_directory(directory) as staging:
        # Copied, as tensors of one module may share memory, which safetensors refuses.
        copies = {k: v.detach().cpu().contiguous().clone() for k, v in state.tensors.items()}
        save_file(copies, staging / "state.safetensors")
        (staging / "state.json").write_text(json.dumps(header, indent=1))


def recover_progress(directory: Path, recipe: Mapping[str, Any]) -> Progress | None:
    """Read the position of a run when it was last saved, after cleaning up what a kill left.

    Returns:
        The position, or None if the run was never saved.

    Raises:
        CheckpointError: The state is damaged, or a field of the recipe differs that must not.
    """
    recover_directory(directory)
    if directory.parent.is_dir():
        clear_staging(directory.parent)  # what a killed run was writing
    return read_progress(directory, recipe) if directory.exists() else None


def read_progress(directory: Path, recipe: Mapping[str, Any]) -> Progress:
    """Read the position of a saved run, which may still be running: nothing is cleaned up.

    Raises:
        CheckpointError: There is no state, it is damaged, or it belongs to another recipe.
    """
    header = _read_header(directory)
    if header.get("layout") != _LAYOUT:
        raise CheckpointError(
            f"{directory} was written by another version; give another --run, or remove it"
        )
    saved = known_fields(header["recipe"])
    check_recipe(directory, saved, recipe, header["stage"], header["step"])
    return Progress(**{name: header[name] for name in vars(Progress())})


def known_fields(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a saved recipe with the defaults of fields that were added since."""
    try:
        return Recipe.model_validate(saved).model_dump(mode="json")
    except ValidationError:  # fields that are gone are named with their values
        return saved


def load_averaged(directory: Path, network: nn.Module) -> None:
    """Load the averaged weights of a saved run, training-only ones included.

    Raises:
        CheckpointError: The state is damaged, or of another network.
    """
    tensors = _read_tensors(directory)
    prefix = "model.network."  # the stage's other modules are decoders
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:  # all that torch raises for other names or shapes
        raise _unreadable(directory, error) from error
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(tensors[f"average.{name}"])


def load_state(
    directory: Path,
    model: nn.Module,
    average: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Restore weights and moments written by :func:`save_state`.

    Raises:
        CheckpointError: The state is damaged.
    """
    steps = _read_header(directory)["adam_steps"]
    tensors = _read_tensors(directory)
    load_full_state(
        model, {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    )
    for name, value in average.items():
        value.copy_(shard_like(tensors[f"average.{name}"], value))
    for name, parameter in model.named_parameters():
        if name in steps:
            device = parameter.device
            optimiser.state[parameter] = {
                "step": torch.tensor(steps[name], device=device),
                # The fused optimiser iterates over memory: moments need the parameters' layout.
                **{m: _like(parameter, tensors[f"adam.{m}.{name}"]) for m in _MOMENTS},
            }


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """Return a value with the sharding and the memory layout of a parameter."""
    return torch.empty_like(parameter).copy_(shard_like(value, parameter)).detach()


def _read_header(directory: Path) -> dict[str, Any]:
    try:
        header: dict[str, Any] = json.loads((directory / "state.json").read_text())
    except (OSError, ValueError) as error:
        raise _unreadable(directory, error) from error
    return header


def _read_tensors(directory: Path) -> dict[str, Tensor]:
    try:
        return load_file(directory / "state.safetensors")
    except (OSError, SafetensorError) as error:
        raise _unreadable(directory, error) from error


def _unreadable(directory: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{directory} holds no readable training state: {error}")
