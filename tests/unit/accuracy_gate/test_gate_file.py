"""Gate files: what is written is read, and nothing else is."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnivec2.accuracy_gate import Gate, read_gate, write_gate
from omnivec2.accuracy_gate import gate_file as module
from omnivec2.errors import ArtifactError
from omnivec2.spec import HeadSpec
from tests.support.checkpoints.gates import SPEC, make_gate, make_weights
from tests.support.networks.writing import generation, head_that_writes

GATE = make_gate(make_weights())
WORDS = [0, 100, 101, 102, 1000, 1001]
WRITER = head_that_writes(WORDS, generation(WORDS))


def writer_gate() -> Gate:
    ids = np.ones((2, 5), np.int32)
    inputs = {"input_ids": ids, "token_type_ids": ids, "attention_mask": ids}
    outputs = {
        "generated": np.full((2, 3, 6), 0.1, np.float16),
        "copied": np.full((2, 3, 5), 0.1, np.float16),
    }
    return Gate(inputs, outputs, 4.0, words=np.zeros((2, 3), np.int32))


@pytest.mark.parametrize(
    ("spec", "gate"), [(SPEC, replace(GATE, scales=np.array([2.0]))), (WRITER, writer_gate())]
)
def test_what_is_written_is_read(tmp_path: Path, spec: HeadSpec, gate: Gate) -> None:
    path = tmp_path / "gate.npz"
    write_gate(path, gate)
    read = read_gate(path, spec)
    assert (read.tolerance, read.rows) == (gate.tolerance, gate.rows)
    for before, after in ((gate.inputs, read.inputs), (gate.outputs, read.outputs)):
        assert set(before) == set(after)
        assert all(np.array_equal(before[name], after[name]) for name in before)
    for one, other in ((gate.scales, read.scales), (gate.words, read.words)):
        assert np.array_equal(one, other) if one is not None else other is None


def test_equal_gates_give_equal_files(tmp_path: Path) -> None:
    first, second = tmp_path / "1.npz", tmp_path / "2.npz"
    write_gate(first, GATE)
    write_gate(second, make_gate(make_weights()))
    assert first.read_bytes() == second.read_bytes()


def refused(path: Path, spec: HeadSpec = SPEC) -> str:
    with pytest.raises(ArtifactError) as caught:
        read_gate(path, spec)
    return str(caught.value)


def test_a_file_that_is_missing_or_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gate.npz"
    assert "not a gate file" in refused(path)
    path.write_bytes(b"not a zip file")
    assert "not a gate file" in refused(path)
    write_gate(path, GATE)
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a gate file" in refused(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "gate.npz"
    np.savez(path, allow_pickle=True, tolerance=np.array([{"a": 1}], dtype=object))
    assert "allow_pickle" in refused(path)


def test_a_file_that_is_large_or_unpacks_to_much_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gate.npz"
    write_gate(path, GATE)
    monkeypatch.setattr(module, "_MAX_ARRAY_BYTES", 1000)
    assert "unpacks to" in refused(path)
    monkeypatch.setattr(module, "_MAX_FILE_BYTES", 100)
    assert "at most 100 are allowed" in refused(path)


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gate.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "gate" in refused(path)


def altered(gate: Gate, **arrays: np.ndarray) -> Gate:
    return replace(gate, outputs={**gate.outputs, **arrays})


LOGITS = GATE.outputs["logits"]


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (replace(GATE, tolerance=0.0), "tolerance"),
        (replace(GATE, tolerance=float("nan")), "tolerance"),
        (replace(GATE, tolerance=1000.0), "tolerance"),
        (replace(GATE, inputs={}), "0 rows"),
        (replace(GATE, inputs={"signal": np.zeros((65, 64, 9), np.float32)}), "65 rows"),
        (replace(GATE, inputs={"pixels": GATE.inputs["signal"]}), "tensors pixels"),
        (replace(GATE, inputs={"signal": np.zeros((16, 64, 9))}), "float64"),
        (replace(GATE, inputs={"signal": np.zeros((16, 64, 8), np.float32)}), r"(16, 64, 8)"),
        (altered(GATE, logits=LOGITS[:3]), "logits is"),
        (altered(GATE, logits=LOGITS[:, :2]), "logits is"),
        (altered(GATE, logits=LOGITS * np.nan), "not finite"),
        (altered(GATE, logits=LOGITS.astype(np.int32)), "not finite"),
        (altered(GATE, more=LOGITS), "tensors logits, more"),
        (replace(GATE, outputs={}), "of none"),
        (replace(GATE, scales=np.array([0.0])), "above 0"),
        (replace(GATE, scales=np.array([np.inf])), "not finite"),
    ],
)
def test_arrays_that_are_not_those_of_the_head_are_refused(
    tmp_path: Path, gate: Gate, reason: str
) -> None:
    path = tmp_path / "gate.npz"
    write_gate(path, gate)
    message = refused(path)
    assert reason in message
    assert "imu/activity" in message


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (replace(writer_gate(), words=None), "words must be"),
        (replace(writer_gate(), words=np.zeros((2, 3))), "words must be"),
        (replace(writer_gate(), words=np.zeros((2, 0), np.int32)), "0 steps"),
        (replace(writer_gate(), outputs={}), "of none"),
        (altered(writer_gate(), copied=np.zeros((2, 2, 5), np.float16)), "copied is"),
    ],
)
def test_steps_of_a_decoder_that_do_not_go_together_are_refused(
    tmp_path: Path, gate: Gate, reason: str
) -> None:
    path = tmp_path / "gate.npz"
    write_gate(path, gate)
    assert reason in refused(path, WRITER)


def test_an_array_that_is_not_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gate.npz"
    write_gate(path, GATE)
    with np.load(path) as file:
        arrays = {**file, "extra": np.zeros(1)}
    np.savez(path, allow_pickle=False, **arrays)
    assert "holds extra" in refused(path)
