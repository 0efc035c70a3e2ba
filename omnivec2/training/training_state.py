"""Training state on disk: safetensors and JSON, written so that a kill never harms it.

::

    state.safetensors    model., average., adam.<moment>. tensors
    state.json           stage, step, positions and losses of the tasks, recipe, steps of AdamW

Both are written into a new directory that then takes the old one's place. Nothing else is
needed to go on bit for bit: what is drawn (batches, augmentation, masks, gates) follows from
the seed and the step, and new modules of a stage from the seed and the stage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from omnivec2.atomic_files import clear_staging, recover_directory, replacing_directory
from omnivec2.errors import CheckpointError
from omnivec2.training.distributed.sharding import as_stored, load_whole, whole

_LAYOUT = 2
"""Raised whenever states written before could no longer be read."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        stage: index of the present stage.
        step: its next step.
        drawn: samples each task has given in it.
        losses: each task's smoothed loss in it.
        balance: what weighs the tasks, see :class:`omnivec2.training.balancing.Balance`.
    """

    stage: int = 0
    step: int = 0
    drawn: dict[str, int] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    balance: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """Everything of a run that changes, whole, however its weights are spread over processes.

    Attributes:
        tensors: by name, as they are stored.
        steps: parameter -> steps that AdamW has taken with it.
    """

    tensors: dict[str, Tensor]
    steps: dict[str, float]


def state_of(
    model: nn.Module, average: Mapping[str, Tensor], optimiser: torch.optim.Optimizer
) -> State:
    """The state of a run; every process must ask."""
    names = {id(p): name for name, p in model.named_parameters()}
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    steps: dict[str, float] = {}
    for parameter, state in optimiser.state.items():
        name = names[id(parameter)]
        steps[name] = float(state["step"])
        tensors |= {f"adam.{m}.{name}": state[m] for m in _MOMENTS}
    return State(whole(tensors), steps)


def save_state(
    directory: Path, state: State, progress: Progress, recipe: Mapping[str, Any]
) -> None:
    """Write the whole state of a run."""
    header = {"layout": _LAYOUT, **vars(progress), "adam_steps": state.steps, "recipe": recipe}
    with replacing_directory(directory) as staging:
        # A copy each: tensors of one module may share memory, which safetensors refuses.
        own = {k: v.detach().cpu().contiguous().clone() for k, v in state.tensors.items()}
        save_file(own, staging / "state.safetensors")
        (staging / "state.json").write_text(json.dumps(header, indent=1))


def read_progress(directory: Path, recipe: Mapping[str, Any]) -> Progress | None:
    """How far a run had come when it was last saved; None if it never was.

    Raises:
        CheckpointError: the state is damaged, or belongs to another recipe.
    """
    recover_directory(directory)
    if directory.parent.is_dir():
        clear_staging(directory.parent)  # what a killed run was writing
    return saved_progress(directory, recipe) if directory.exists() else None


def saved_progress(directory: Path, recipe: Mapping[str, Any]) -> Progress:
    """The same, of a run that is only looked at: it may be running, and nothing is cleared.

    Raises:
        CheckpointError: there is no state, it is damaged, or it belongs to another recipe.
    """
    header = _read_header(directory)
    if header.get("layout") != _LAYOUT:
        raise CheckpointError(
            f"{directory} was written by another version; give another --run, or remove it"
        )
    if header["recipe"] != recipe:
        raise CheckpointError(
            f"{directory} was trained by another recipe; give another --run, or remove it"
        )
    return Progress(**{name: header[name] for name in vars(Progress())})


def load_averaged(directory: Path, network: nn.Module) -> None:
    """Give a network the averaged weights of a saved run, those that never ship among them.

    Raises:
        CheckpointError: the state is damaged, or of another network.
    """
    tensors = _read_tensors(directory)
    prefix = "model.network."  # the stage's other modules are decoders
    own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    try:
        network.load_state_dict(own)
    except RuntimeError as error:  # torch's only word for other names or shapes
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
        CheckpointError: the state is damaged.
    """
    steps = _read_header(directory)["adam_steps"]
    tensors = _read_tensors(directory)
    load_whole(
        model, {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    )
    for name, value in average.items():
        value.copy_(as_stored(tensors[f"average.{name}"], value))
    for name, parameter in model.named_parameters():
        if name in steps:
            device = parameter.device
            optimiser.state[parameter] = {
                "step": torch.tensor(steps[name], device=device),
                # The fused optimiser walks through memory: moments lie as parameters do.
                **{m: _like(parameter, tensors[f"adam.{m}.{name}"]) for m in _MOMENTS},
            }


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """A value in the form of a parameter, and where it lies in memory."""
    return torch.empty_like(parameter).copy_(as_stored(value, parameter)).detach()


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
