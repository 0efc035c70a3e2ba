"""The shared layout of a tiny network, really exported: parts, and heads assembled from them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from export.exported_checkpoint import ExportedCheckpoint, part_directory
from export.graphs.export_graph import Exporter, ExportResult, Outcome
from export.graphs.export_parts import PartCases, export_shared
from export.graphs.exported_graphs import Chain
from export.graphs.network_parts import PartitionedNetwork
from export.graphs.traceable import traceable_head
from export.graphs.weight_ranges import StoredWeights
from export.parity.parity_gate import cases_of
from export.repository.layouts import Layout, is_current
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import load_network
from omnivec2.spec import HeadSpec
from tests.support.checkpoints.sensor_export import exported_names

pytestmark = pytest.mark.long

PARTS = ["tokenizer_imu", "trunk", "head_imu_activity"]


@dataclass(frozen=True)
class Exported:
    """A checkpoint of two heads, one of them exported, and the names of the reported results."""

    source: Checkpoint
    network: OmniVec2
    exporter: Exporter
    results: Sequence[str]

    @property
    def head(self) -> HeadSpec:
        """The head that was exported."""
        (head,) = [head for head in self.source.heads if head.task == "activity"]
        return head


@pytest.fixture(scope="module")
def exported(sensor_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    directory = shutil.copytree(sensor_export, tmp_path_factory.mktemp("exported") / "checkpoint")
    source = read_checkpoint(directory)
    exporter = Exporter(source, StoredWeights(directory), 20)
    return Exported(source, load_network(directory), exporter, exported_names(directory))


def test_parts_are_exported_before_the_head_that_uses_them(exported: Exported) -> None:
    assert exported.results == [*PARTS, "imu/activity in parts"]
    source = ExportedCheckpoint(exported.source)
    for head in exported.source.heads:
        assert is_current(source, head, Layout.SHARED) == (head == exported.head)


def test_an_ensemble_vouches_for_the_very_parts_it_was_measured_with(exported: Exported) -> None:
    source = ExportedCheckpoint(exported.source)
    passport = source.ensemble_passport(exported.head)
    assert list(passport.parts) == PARTS
    assert passport.files == {}
    assert passport.max_relative_error < 1e-5
    for name, digest in passport.parts.items():
        part = source.part(name)
        assert part.passport.content_digest == digest
        assert part.spec.name == name
    assert len(set(passport.parts.values())) == len(PARTS)


def test_the_exported_parts_answer_like_the_network(exported: Exported) -> None:
    chain = Chain([session(exported, name) for name in PARTS])
    route = traceable_head(exported.network, exported.head)
    for case in cases_of(exported.head):
        (got,) = chain(["logits"], case.batch)
        wanted = route.answer(case.batch)["logits"]
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def session(exported: Exported, name: str) -> ort.InferenceSession:
    """ONNX Runtime on a part, its weights beside it as in a repository."""
    directory = part_directory(exported.source, name)
    weights = directory / "weights.safetensors"
    if not weights.exists():
        weights.hardlink_to(exported.source.weights_path)
    return ort.InferenceSession(directory / "model.onnx", providers=["CPUExecutionProvider"])


def test_parts_are_measured_on_what_reaches_them(exported: Exported) -> None:
    cut = PartitionedNetwork(exported.network, exported.source.heads).heads[exported.head.route]
    measured = {part.spec.name: (part, list(cases())) for part, cases in PartCases([cut]).parts()}
    assert list(measured) == PARTS
    for part, cases in measured.values():
        for case in cases:
            assert set(case.batch) >= {tensor.name for tensor in part.spec.inputs}
    assert {case.size for case in measured["trunk"][1]} == {1, 3}
    assert not all(case.batch["mask"].all() for case in measured["trunk"][1])
    assert len(measured["head_imu_activity"][1]) == len(list(cases_of(exported.head)))


class Unlucky(Exporter):
    """Exports nothing, and one part fails."""

    def export(self, traceable: Any, model: str, *_: Any) -> ExportResult:
        outcome = Outcome.FAIL if model == "head_imu_activity" else Outcome.OK
        return ExportResult(model, outcome, "parity")


def test_a_head_is_not_assembled_if_one_of_its_parts_failed(exported: Exported) -> None:
    unlucky = Unlucky(exported.source, exported.exporter.weights, 20)
    results: list[ExportResult] = []
    export_shared(exported.network, unlucky, [exported.head], results.append)
    assert [result.name for result in results] == PARTS
    assert not results[-1].ok
