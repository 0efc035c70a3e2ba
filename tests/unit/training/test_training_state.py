"""The state of a run: complete or absent, whatever happens while it is written."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

from omnivec2.atomic_files import RETIRED_PREFIX
from omnivec2.errors import CheckpointError
from omnivec2.training import training_state as states
from omnivec2.training.training_state import (
    Progress,
    gather_state,
    load_averaged,
    load_state,
    read_progress,
    recover_progress,
    save_state,
)

RECIPE = {"seed": 1}


def _model() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
    _step(model, optimiser)
    return model, optimiser


def _step(model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    model(torch.ones(5, 3)).square().sum().backward()
    optimiser.step()


def _save(directory, step=7):
    model, optimiser = _model()
    average = {name: p.detach() * 0.5 for name, p in model.named_parameters()}
    balance = {"a/b": {"seen": 3, "average": 0.1}}
    progress = Progress(1, step, {"a/b": 9}, {"a/b": 1 / 3}, balance)
    save_state(directory, gather_state(model, average, optimiser), progress, RECIPE)
    return model, optimiser, progress


def test_what_is_read_is_what_was_written(tmp_path):
    model, optimiser, progress = _save(tmp_path / "state")
    assert recover_progress(tmp_path / "state", RECIPE) == progress
    other, fresh = _model()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    fresh.state.clear()
    average = {name: torch.zeros_like(p) for name, p in other.named_parameters()}
    load_state(tmp_path / "state", other, average, fresh)
    for name, parameter in model.named_parameters():
        assert torch.equal(other.get_parameter(name), parameter)
        assert torch.equal(average[name], parameter * 0.5)
    _step(model, optimiser)
    _step(other, fresh)
    for name, parameter in model.named_parameters():
        assert torch.equal(other.get_parameter(name), parameter)


def test_a_run_that_was_never_saved_has_no_progress(tmp_path):
    assert recover_progress(tmp_path / "state", RECIPE) is None


def test_a_save_that_breaks_off_leaves_the_state_before(tmp_path, monkeypatch):
    _save(tmp_path / "state", step=7)

    def broken(tensors, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(states, "save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        _save(tmp_path / "state", step=8)
    found = recover_progress(tmp_path / "state", RECIPE)
    assert found is not None
    assert found.step == 7


def test_a_kill_between_the_renames_loses_nothing(tmp_path):
    _save(tmp_path / "state")
    os.replace(tmp_path / "state", tmp_path / f"{RETIRED_PREFIX}state")
    found = recover_progress(tmp_path / "state", RECIPE)
    assert found is not None
    assert found.step == 7


def test_what_a_killed_save_left_is_cleared_away(tmp_path):
    _save(tmp_path / "state")
    (tmp_path / ".staging-state-x").mkdir()
    recover_progress(tmp_path / "state", RECIPE)
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "state.json").write_text("{"), "no readable training state"),
        (lambda d: (d / "state.json").write_text('{"layout": 1}'), "another version"),
    ],
)
def test_a_damaged_or_foreign_state_is_refused(tmp_path, damage, message):
    _save(tmp_path / "state")
    damage(tmp_path / "state")
    with pytest.raises(CheckpointError, match=message):
        recover_progress(tmp_path / "state", RECIPE)


def test_a_saved_run_is_read_without_clearing_what_it_is_writing(tmp_path):
    _, _, progress = _save(tmp_path / "state")
    (tmp_path / ".staging-state-x").mkdir()
    assert read_progress(tmp_path / "state", RECIPE) == progress
    assert (tmp_path / ".staging-state-x").is_dir()


def test_a_state_of_another_recipe_is_refused(tmp_path):
    _save(tmp_path / "state")
    with pytest.raises(CheckpointError, match="trained by another recipe"):
        read_progress(tmp_path / "state", {"seed": 2})


def _save_network(directory, network):
    """Save a stage's state, in which the network is one of the modules."""
    stage = nn.ModuleDict({"network": network, "decoder": nn.Linear(2, 2)})
    average = {name: p.detach() * 0.5 for name, p in network.named_parameters()}
    optimiser = torch.optim.AdamW(stage.parameters())
    save_state(directory, gather_state(stage, average, optimiser), Progress(), RECIPE)


def test_averaged_weights_are_loaded_into_a_network(tmp_path):
    network = nn.BatchNorm1d(3)
    assert network.running_mean is not None
    network.running_mean += 7
    _save_network(tmp_path / "state", network)
    other = nn.BatchNorm1d(3)
    load_averaged(tmp_path / "state", other)
    assert torch.equal(other.weight, network.weight * 0.5)
    assert torch.equal(other.running_mean, network.running_mean)


def test_averaged_weights_of_another_network_are_refused(tmp_path):
    _save_network(tmp_path / "state", nn.BatchNorm1d(3))
    with pytest.raises(CheckpointError, match="no readable training state"):
        load_averaged(tmp_path / "state", nn.BatchNorm1d(4))


def test_weights_that_are_cut_short_are_refused(tmp_path):
    model, optimiser, _ = _save(tmp_path / "state")
    weights = tmp_path / "state" / "state.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="no readable training state"):
        load_state(tmp_path / "state", model, {}, optimiser)
