from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from omnivec2.checkpoint import (
    dequantise,
    load_stored_tensors,
    load_tensors,
    quantise,
    read_checkpoint,
    write_checkpoint,
    write_head,
)
from omnivec2.errors import CheckpointError
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec, TaskFamily, TensorSpec


def make_head(task: str = "activity") -> HeadSpec:
    return HeadSpec(
        modality=Modality.IMU,
        task=task,
        family=TaskFamily.CLASSIFICATION,
        inputs=(TensorSpec(name="signal", dtype="float32", shape=(64, 9)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(2,)),),
        preprocess=PreprocessSpec(name=Modality.IMU, version=1),
        labels=("sit", "walk"),
        network="tiny",
    )


def make_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "trunk.weight": rng.normal(0, 0.02, (256, 128)).astype(np.float32),
        "trunk.bias": rng.normal(0, 0.02, 128).astype(np.float32),
        "offsets": np.array([0, 5, 9], np.int32),
    }


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    target = tmp_path / "reference"
    write_checkpoint(target, config={"a": 1}, tensors=make_tensors(), heads=[make_head()])
    return target


def test_what_was_written_is_read_back(directory: Path) -> None:
    checkpoint = read_checkpoint(directory)
    assert checkpoint.config == {"a": 1}
    assert [head.route for head in checkpoint.heads] == ["imu/activity"]
    assert checkpoint.heads[0].checkpoint_digest == checkpoint.digest
    tensors, original = load_tensors(directory), make_tensors()
    assert set(tensors) == set(original)
    assert tensors["trunk.weight"].dtype == np.float32
    np.testing.assert_array_equal(tensors["offsets"], original["offsets"])
    np.testing.assert_allclose(tensors["trunk.bias"], original["trunk.bias"], rtol=1e-3)


def test_large_matrices_are_int8_rows_within_half_a_step_of_the_original() -> None:
    weight = make_tensors()["trunk.weight"] * np.linspace(0.001, 50, 256)[:, None]
    stored = quantise({"w": weight})
    assert stored["w"].dtype == np.int8
    assert stored["w.scale"].shape == (256,)
    assert stored["w.scale"].dtype == np.float32
    step = np.abs(weight).max(axis=1, keepdims=True) / 127
    assert (np.abs(dequantise(stored)["w"] - weight) <= step * 0.501).all()


def test_rows_of_a_convolution_are_its_output_channels() -> None:
    kernel = np.random.default_rng(0).normal(size=(64, 32, 3, 3)).astype(np.float32)
    stored = quantise({"k": kernel})
    assert stored["k.scale"].shape == (64,)
    assert dequantise(stored)["k"].shape == kernel.shape


@pytest.mark.parametrize("fill", [0.0, 1e-39], ids=["zeros", "subnormal"])
def test_a_row_without_weight_stays_finite(fill: float) -> None:
    weight = np.full((128, 128), fill, np.float32)
    weight[1] = 1.0
    value = dequantise(quantise({"w": weight}))["w"]
    np.testing.assert_array_equal(value[1], weight[1])
    assert np.abs(value[0]).max() <= 1e-38


def test_a_table_of_one_row_is_not_reduced_to_a_single_scale() -> None:
    assert quantise({"p": np.ones((1, 64, 384), np.float32)})["p"].dtype == np.float16


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, -2.5, 0.0], np.float16),
        ([1.0, 70_000.0], np.float32),
        ([1.0, 1e-7], np.float32),
        ([1.0, 6e-8], np.float32),
    ],
    ids=["ordinary", "too large", "too small", "below the smallest"],
)
def test_a_vector_is_float16_only_where_that_keeps_every_value(
    values: list[float], expected: type
) -> None:
    assert quantise({"v": np.array(values, np.float32)})["v"].dtype == expected


def test_a_small_matrix_is_float16_although_a_few_of_its_entries_are_near_zero() -> None:
    matrix = np.random.default_rng(0).normal(0, 0.02, (64, 64)).astype(np.float32)
    assert quantise({"m": matrix})["m"].dtype == np.float16


def test_integers_booleans_and_scalars_are_kept_as_they_are() -> None:
    tensors: dict[str, np.ndarray] = {
        "ids": np.arange(20_000, dtype=np.int64).reshape(100, 200),
        "bytes": np.ones((200, 200), np.int8),
        "flags": np.array([True, False]),
        "step": np.array(7, np.int64),
    }
    stored = quantise(tensors)
    restored = dequantise(stored)
    assert set(stored) == set(tensors)
    for name, array in tensors.items():
        assert restored[name].dtype == array.dtype
        np.testing.assert_array_equal(restored[name], array)


def test_float64_is_stored_narrower_and_an_empty_tensor_survives() -> None:
    restored = dequantise(quantise({"d": np.array(1.5), "e": np.zeros((3, 0), np.float64)}))
    assert restored["d"].shape == ()
    assert restored["d"] == 1.5
    assert restored["e"].shape == (3, 0)
    assert restored["e"].dtype == np.float32


def test_a_transposed_view_is_stored_by_its_values_not_its_memory(tmp_path: Path) -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write_checkpoint(tmp_path / "c", config={}, tensors={"m": matrix}, heads=[])
    np.testing.assert_array_equal(load_tensors(tmp_path / "c")["m"], matrix)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_a_value_that_is_not_a_finite_float32_is_refused_by_name(
    tmp_path: Path, bad: float
) -> None:
    with pytest.raises(CheckpointError, match=r"layer\.bias"):
        write_checkpoint(
            tmp_path / "c", config={}, tensors={"layer.bias": np.array([1.0, bad])}, heads=[]
        )
    assert not (tmp_path / "c").exists()


def test_a_tensor_named_like_the_scale_of_another_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"w\.scale"):
        quantise({"w": np.ones((128, 128), np.float32), "w.scale": np.ones(3, np.float32)})


def test_a_buffer_called_scale_without_a_matrix_beside_it_is_an_ordinary_tensor() -> None:
    restored = dequantise(quantise({"output.scale": np.array([2.0], np.float32)}))
    assert restored["output.scale"] == 2.0


def test_two_heads_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="imu_activity"):
        write_checkpoint(tmp_path / "c", config={}, tensors={}, heads=[make_head(), make_head()])


def test_the_same_tensors_give_the_same_bytes_in_any_order(directory: Path, tmp_path: Path) -> None:
    turned = dict(reversed(make_tensors().items()))
    again = write_checkpoint(tmp_path / "b", config={"a": 1}, tensors=turned, heads=[make_head()])
    assert again.digest == read_checkpoint(directory).digest


def test_every_tensor_lies_on_a_multiple_of_its_item_size(directory: Path) -> None:
    data = (directory / "weights.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    for name, entry in json.loads(data[8 : 8 + size]).items():
        item = load_stored_tensors(directory)[name].itemsize
        assert (8 + size + entry["data_offsets"][0]) % item == 0


def test_replacing_a_checkpoint_drops_graphs_of_the_old_weights(directory: Path) -> None:
    graph = directory / "models" / "imu_activity" / "model.onnx"
    graph.write_bytes(b"old")
    write_checkpoint(directory, config={"a": 2}, tensors={}, heads=[make_head()])
    assert not graph.exists()
    assert read_checkpoint(directory).config == {"a": 2}
    assert [path.name for path in directory.parent.iterdir()] == ["reference"]


def test_a_failed_write_leaves_the_old_checkpoint_whole(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(directory, config={"a": 2}, tensors={}, heads=[make_head()])
    monkeypatch.undo()
    assert read_checkpoint(directory).config == {"a": 1}
    assert [path.name for path in directory.parent.iterdir()] == ["reference"]


def test_a_checkpoint_whose_replacement_was_killed_halfway_is_put_back(directory: Path) -> None:
    directory.rename(directory.with_name(".retired-reference"))
    assert read_checkpoint(directory).config == {"a": 1}


def test_new_metrics_of_a_head_are_written_in_place(directory: Path) -> None:
    head = read_checkpoint(directory).heads[0].model_copy(update={"description": "measured"})
    write_head(directory, head)
    assert read_checkpoint(directory).heads[0].description == "measured"


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}.*missing"):
        read_checkpoint(directory)


def test_a_missing_directory_is_a_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="missing"):
        read_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="missing"):
        load_tensors(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_config_that_is_no_json_object_is_refused(directory: Path, content: bytes) -> None:
    (directory / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_checkpoint(directory)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_weights_are_refused(directory: Path, keep: int) -> None:
    path = directory / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load_tensors(directory)


def test_a_head_of_other_weights_is_refused(directory: Path) -> None:
    save_file({"x": np.zeros(3)}, directory / "weights.safetensors")
    with pytest.raises(CheckpointError, match="other weights"):
        read_checkpoint(directory)


def test_a_head_spec_with_an_unknown_field_is_named(directory: Path) -> None:
    path = directory / "models" / "imu_activity" / "head.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"colour": "red"}))
    with pytest.raises(CheckpointError, match="colour"):
        read_checkpoint(directory)


def test_a_head_spec_in_the_directory_of_another_is_refused(directory: Path) -> None:
    models = directory / "models"
    (models / "imu_activity").rename(models / "imu_gesture")
    with pytest.raises(CheckpointError, match="imu_activity"):
        read_checkpoint(directory)


def test_importing_checkpoint_and_passport_imports_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, omnivec2.checkpoint, omnivec2.passport, export.repository.assembly\n"
        "print([m for m in ('torch', 'onnx', 'onnxruntime') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_tensors_of_another_checkpoint_are_kept_bit_for_bit(
    directory: Path, tmp_path: Path
) -> None:
    stored = load_stored_tensors(directory)
    write_checkpoint(
        tmp_path / "second", config={}, tensors={"head.weight": np.ones(3)}, heads=[], stored=stored
    )
    again = load_stored_tensors(tmp_path / "second")
    assert again.keys() == stored.keys() | {"head.weight"}
    for name, array in stored.items():
        assert again[name].dtype == array.dtype, name
        assert again[name].tobytes() == array.tobytes(), name
