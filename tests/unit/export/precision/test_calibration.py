"""Calibration of a small trunk, really exported, and the int8 graph that is written from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from export.exported_checkpoint import part_directory, read_exported_checkpoint
from export.parity.random_samples import random_inputs
from export.precision import calibration as calibration_module
from export.precision.calibration import (
    CALIBRATION_FILE,
    Calibration,
    calibrate,
    mean_relative_error,
    read_calibration,
    write_calibration,
)
from export.precision.int8_export import calibrate_and_write, write_int8_if_calibrated
from export.repository.assembly import assemble
from export.repository.layouts import Layout, is_current
from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import ExportError, PassportError
from omnivec2.parts import TRUNK
from omnivec2.passport import INT8_GRAPH_FILE, WEIGHTS_FILE, verify_passport
from tests.support.checkpoints.sensor_export import EXPORTED, copy_of_one_head

pytestmark = pytest.mark.long

ROUTE = EXPORTED


@pytest.fixture(scope="module")
def exported(sensor_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_one_head(sensor_export, tmp_path_factory.mktemp("calibrated") / "checkpoint")


@pytest.fixture(scope="module")
def samples(exported: Path) -> dict[str, list[dict[str, np.ndarray]]]:
    (head,) = read_checkpoint(exported).heads
    batch = random_inputs(head, 4, {}, np.random.default_rng(0))
    return {ROUTE: [{name: array[row] for name, array in batch.items()} for row in range(4)]}


@pytest.fixture(scope="module")
def calibration(exported: Path, samples: dict[str, list[dict[str, np.ndarray]]]) -> Calibration:
    return calibrate_and_write(exported, samples)


def test_every_layer_with_int8_rows_has_a_range_and_a_sensitivity(calibration: Calibration) -> None:
    names = {f"trunk.f.transformer.layers.0.{n}" for n in ("attention.query", "up", "down")}
    assert names <= set(calibration.layers) == set(calibration.sensitivity)
    assert all(0 < error < 0.1 for error in calibration.sensitivity.values())
    assert calibration.samples == {ROUTE: 4}


def test_the_record_says_how_far_the_head_s_answers_moved(calibration: Calibration) -> None:
    record = calibration.record
    assert record.int8_layers + len(record.kept_layers) == len(calibration.layers)
    assert 0 < record.mean_relative_errors[ROUTE] < 0.1


def test_the_passport_vouches_for_the_int8_graph_in_the_repository(
    exported: Path, calibration: Calibration, tmp_path: Path
) -> None:
    assemble(exported, tmp_path / "repository", Layout.SHARED)
    directory = tmp_path / "repository" / TRUNK / "1"
    passport = verify_passport(directory)
    assert passport.int8 == calibration.record
    session = ort.InferenceSession(directory / INT8_GRAPH_FILE, providers=["CPUExecutionProvider"])
    assert [node.name for node in session.get_outputs()] == ["features"]
    (directory / INT8_GRAPH_FILE).write_bytes(b"other")
    with pytest.raises(PassportError, match=INT8_GRAPH_FILE):
        verify_passport(directory)


def test_the_same_int8_graph_is_written_again_without_data(
    exported: Path, calibration: Calibration
) -> None:
    source = read_exported_checkpoint(exported)
    path = part_directory(source.checkpoint, TRUNK) / INT8_GRAPH_FILE
    first = path.read_bytes()
    path.unlink()
    assert not is_current(source, source.heads[0], Layout.SHARED)
    assert write_int8_if_calibrated(exported)
    assert path.read_bytes() == first
    weights = exported / WEIGHTS_FILE
    assert path.stat().st_size < weights.stat().st_size


def test_the_calibration_of_another_trunk_is_not_used(
    exported: Path, calibration: Calibration
) -> None:
    write_calibration(exported, calibration.model_copy(update={"trunk": "0" * 64}))
    try:
        assert not write_int8_if_calibrated(exported)
    finally:
        write_calibration(exported, calibration)


def test_a_checkpoint_without_calibration_has_none(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) is None


def test_a_damaged_calibration_is_refused(tmp_path: Path) -> None:
    (tmp_path / CALIBRATION_FILE).write_text("{}")
    with pytest.raises(ExportError, match="not a calibration"):
        read_calibration(tmp_path)


def test_calibration_without_samples_is_refused(exported: Path) -> None:
    with pytest.raises(ExportError, match="needs samples"):
        calibrate(read_exported_checkpoint(exported), {ROUTE: []})


def test_the_mean_relative_error_weighs_all_values_alike() -> None:
    expected = [np.array([1.0, -3.0]), np.array([[4.0]])]
    answers = [np.array([1.5, -3.0]), np.array([[3.0]])]
    assert mean_relative_error(answers, expected) == pytest.approx(1.5 / 8)


def test_a_trunk_whose_layers_are_too_small_for_int8_is_named(
    exported: Path,
    samples: dict[str, list[dict[str, np.ndarray]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration_module, "int8_layers", lambda graph: {})
    with pytest.raises(ExportError, match="each has fewer than 16,384 weights"):
        calibrate(read_exported_checkpoint(exported), samples)
