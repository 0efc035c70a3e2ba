"""Gate files of a tiny network: written beside its heads, named by passports, served on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.exported_checkpoint import read_exported_checkpoint
from export.gate.gate_samples import GATE_FILES, candidate_samples
from export.gate.write_gates import lacks_gate, make_gate, write_gates
from export.graphs.traceable import traceable_head
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.accuracy_gate import TOLERANCES, Gate, check_gate, measure, read_gate
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.passport import GATE_FILE, load_passport, verify_passport
from omnivec2.spec import HeadSpec, TaskFamily
from service.runtimes.embedded.repository_reader import read_repository
from tests.support.checkpoints.pretend_exports import make_checkpoint
from tests.support.model_repositories.tiny_models import classification, head_spec

SPEC = classification("imu/activity", "walking", "sitting", "lying")
RATE = head_spec("imu/rate", TaskFamily.REGRESSION, {"values": (2,)})


class Recordings(nn.Module):
    """Three layers over a recording, with logits as those of a trained head."""

    def __init__(self, outputs: int = 3, name: str = "logits") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(64 * 9, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
        )
        self.name = name
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(8)
        self.eval()

    def forward(self, route: str, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {self.name: self.layers(inputs["signal"].flatten(1))}


@pytest.fixture(scope="module")
def gate() -> Gate:
    return make_gate(Recordings(), SPEC, GATE_FILES)


def check(gate: Gate, network: nn.Module) -> bool:
    return check_gate(SPEC, gate, traceable_head(network, SPEC).answer).passed


def change(fault: Callable[[nn.Sequential], None]) -> nn.Module:
    network = Recordings()
    with torch.no_grad():
        fault(network.layers)
    return network


def swap_channels(layers: nn.Sequential) -> None:
    layers[2].weight[[0, 1]] = layers[2].weight[[1, 0]]


def add_noise(layers: nn.Sequential) -> None:
    for weight in (layers[0].weight, layers[2].weight, layers[4].weight):
        assert isinstance(weight, torch.Tensor)
        weight.add_(0.05 * weight.std() * torch.randn(weight.shape))


def scale_a_layer(layers: nn.Sequential) -> None:
    weight = layers[4].weight
    assert isinstance(weight, torch.Tensor)
    weight *= 2


def round_to_bfloat16(layers: nn.Sequential) -> None:
    layers.bfloat16().float()


def test_the_network_itself_and_its_rounded_weights_pass(gate: Gate) -> None:
    assert check(gate, Recordings())
    assert check(gate, change(round_to_bfloat16))


@pytest.mark.parametrize("fault", [swap_channels, add_noise, scale_a_layer])
def test_an_engine_with_a_fault_fails(gate: Gate, fault: Callable[[nn.Sequential], None]) -> None:
    assert not check(gate, change(fault))


def test_half_of_the_rows_are_those_that_the_network_is_least_sure_of(gate: Gate) -> None:
    lead = np.sort(gate.outputs["logits"], axis=1)
    lead = np.sort(lead[:, -1] - lead[:, -2])
    candidates = candidate_samples(SPEC, GATE_FILES, 6 * gate.rows)
    batch = {"signal": np.stack([sample["signal"] for sample in candidates])}
    answers = np.sort(traceable_head(Recordings(), SPEC).answer(batch)["logits"], axis=1)
    everywhere = np.sort(answers[:, -1] - answers[:, -2])
    np.testing.assert_allclose(lead[:8], everywhere[:8], rtol=1e-4)


def test_answers_that_are_much_alike_have_a_smaller_tolerance(gate: Gate) -> None:
    assert gate.tolerance == TOLERANCES[TaskFamily.CLASSIFICATION]
    network = Recordings()
    with torch.no_grad():
        network.layers[4].weight.mul_(0.001)
    alike = make_gate(network, SPEC, GATE_FILES)
    assert 0 < alike.tolerance < 1
    others = {"logits": np.roll(alike.outputs["logits"], 1, axis=0)}
    assert measure(SPEC, alike.outputs, others) >= alike.tolerance


def test_differences_of_quantities_are_divided_by_the_error_of_their_mean() -> None:
    network = Recordings(2, "values")
    assert make_gate(network, RATE, GATE_FILES).scales is None
    (metric,) = RATE.metrics
    measured = metric.model_copy(update={"name": "rmse", "baselines": {"majority": 3.5}})
    spec = RATE.model_copy(update={"metrics": (measured,)})
    scales = make_gate(network, spec, GATE_FILES).scales
    assert scales is not None
    assert scales.tolist() == [3.5]


def head_network(head: HeadSpec) -> nn.Module:
    return Recordings(head.outputs[0].shape[0])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return read_checkpoint(make_checkpoint(tmp_path / "mine", "activity", "gesture"))


def test_a_gate_file_is_named_by_both_passports_and_is_part_of_both_layouts(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    heads = [head for head in checkpoint.heads if head.task == "activity"]
    write_gates(checkpoint, head_network(heads[0]), heads, GATE_FILES)
    path = checkpoint.model_directory(heads[0]) / GATE_FILE
    assert read_gate(path, heads[0]).rows >= 2
    source = read_exported_checkpoint(checkpoint.directory)
    for passport in (source.whole_passport(heads[0]), source.ensemble_passport(heads[0])):
        assert GATE_FILE in passport.files
    for layout in Layout:
        repository = tmp_path / layout
        assemble(checkpoint.directory, repository, layout)
        verify_passport(repository / "imu_activity" / "1")
        models = read_repository(repository).models
        served = models["imu_activity"].gate
        assert served is not None
        assert served.read_bytes() == path.read_bytes()
        assert models["imu_gesture"].gate is None


def test_an_altered_gate_file_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    write_gates(checkpoint, head_network(checkpoint.heads[0]), checkpoint.heads, GATE_FILES)
    assemble(checkpoint.directory, tmp_path / "repository", Layout.SHARED)
    (tmp_path / "repository" / "imu_activity" / "1" / GATE_FILE).write_bytes(b"other")
    repository = read_repository(tmp_path / "repository")
    assert set(repository.models) == {"imu_gesture"}
    assert "gate.npz is not the file" in repository.refused["imu_activity"]


def test_a_head_whose_export_was_interrupted_before_its_gate_file_is_told(
    checkpoint: Checkpoint,
) -> None:
    first, second = checkpoint.heads
    write_gates(checkpoint, head_network(first), [first], GATE_FILES)
    assert not lacks_gate(checkpoint, first)
    assert lacks_gate(checkpoint, second)
    for name in ("passport.json", "ensemble.json"):
        (checkpoint.model_directory(second) / name).unlink()
    assert not lacks_gate(checkpoint, second)


def test_writing_again_gives_the_same_files(checkpoint: Checkpoint) -> None:
    network = head_network(checkpoint.heads[0])
    write_gates(checkpoint, network, checkpoint.heads, GATE_FILES)
    path = checkpoint.model_directory(checkpoint.heads[0]) / "passport.json"
    before = load_passport(path)
    write_gates(checkpoint, network, checkpoint.heads, GATE_FILES)
    assert load_passport(path) == before


def test_a_head_that_is_not_exported_gets_no_gate_file(checkpoint: Checkpoint) -> None:
    head = checkpoint.heads[0]
    directory = checkpoint.model_directory(head)
    for name in ("passport.json", "ensemble.json"):
        (directory / name).unlink()
    write_gates(checkpoint, head_network(head), [head], GATE_FILES)
    assert not (directory / GATE_FILE).exists()
