from __future__ import annotations

import numpy as np
import pytest

from export.parity.random_samples import (
    batch_axes,
    dynamic_axes,
    example_inputs,
    length_cases,
)
from export.parity.random_samples import random_inputs as make
from omnivec2.spec import HeadSpec, Limits, Modality, PreprocessSpec, TaskFamily, TensorSpec

COLUMNS = [
    {"name": "age", "kind": "number", "categories": [], "mean": 40.0, "std": 13.0},
    {"name": "job", "kind": "category", "categories": ["a", "b", "c"]},
]
INPUTS: dict[Modality, dict[str, tuple[str, tuple[int, ...]]]] = {
    Modality.IMAGE: {"pixels": ("uint8", (20, 33, 3))},
    Modality.VIDEO: {"frames": ("uint8", (4, 16, 16, 3))},
    Modality.AUDIO: {"fbank": ("float32", (32, 16))},
    Modality.TEXT: {
        name: ("int32", (-1,)) for name in ("input_ids", "token_type_ids", "attention_mask")
    },
    Modality.DEPTH: {"depth": ("uint16", (4, 8, 10))},
    Modality.POINTCLOUD: {"groups": ("float32", (8, 4, 3)), "centres": ("float32", (8, 3))},
    Modality.TIMESERIES: {"values": ("float32", (48,))},
    Modality.TABULAR: {
        "numbers": ("float32", (1,)),
        "missing": ("uint8", (1,)),
        "categories": ("int32", (1,)),
    },
    Modality.GRAPH: {
        "nodes": ("int32", (-1, 9)),
        "node_ids": ("float32", (-1, 16)),
        "node_mask": ("uint8", (-1,)),
        "edges": ("int32", (-1, 2)),
        "edge_features": ("int32", (-1, 3)),
        "edge_mask": ("uint8", (-1,)),
    },
    Modality.XRAY: {"pixels": ("uint8", (16, 16, 1))},
    Modality.INFRARED: {"pixels": ("uint8", (16, 16, 1))},
    Modality.IMU: {"signal": ("float32", (16, 9))},
    Modality.HYPERSPECTRAL: {"window": ("float32", (7, 7, 20))},
}


def make_head(modality: Modality) -> HeadSpec:
    parameters = {
        Modality.TEXT: {"max_tokens": 64},
        Modality.TABULAR: {"columns": COLUMNS},
    }.get(modality, {})
    return HeadSpec.model_validate(
        {
            "modality": modality,
            "task": "task",
            "family": TaskFamily.CLASSIFICATION,
            "inputs": [
                TensorSpec(name=name, dtype=dtype, shape=shape)
                for name, (dtype, shape) in INPUTS[modality].items()
            ],
            "outputs": [],
            "preprocess": PreprocessSpec(name=modality, version=1, parameters=parameters),
            "limits": Limits(nodes=100, edges=200),
            "network": "tiny",
        }
    )


def test_every_modality_is_drawn_here() -> None:
    assert set(INPUTS) == set(Modality)


@pytest.mark.parametrize("modality", Modality)
def test_inputs_have_the_types_and_shapes_of_the_head_spec(modality: Modality) -> None:
    head = make_head(modality)
    axes = dynamic_axes(head)
    for lengths in length_cases(head):
        batch = make(head, 3, lengths, np.random.default_rng(0))
        for tensor in head.inputs:
            names = axes[tensor.name]
            sizes = (
                lengths[names[i + 1]] if size == -1 else size for i, size in enumerate(tensor.shape)
            )
            assert batch[tensor.name].shape == (3, *sizes)
            assert batch[tensor.name].dtype == tensor.dtype
            assert np.isfinite(batch[tensor.name].astype(np.float64)).all()


@pytest.mark.parametrize("modality", Modality)
def test_the_same_seed_gives_the_same_inputs(modality: Modality) -> None:
    head = make_head(modality)
    first, second = example_inputs(head), example_inputs(head)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_examples_never_have_two_axes_of_one_size_or_a_size_that_looks_constant() -> None:
    head = make_head(Modality.GRAPH)
    example = example_inputs(head)
    sizes = [3, example["nodes"].shape[1], example["edges"].shape[1]]
    assert len(set(sizes)) == 3
    assert min(sizes) > 1


def test_axes_of_one_length_share_one_name() -> None:
    head = make_head(Modality.TEXT)
    assert batch_axes(head) == {"batch": (1, 1024), "tokens": (2, 64)}
    assert dynamic_axes(head)["attention_mask"] == {0: "batch", 1: "tokens"}
    assert set(batch_axes(make_head(Modality.GRAPH))) == {"batch", "nodes", "edges"}


def test_lengths_reach_from_the_shortest_to_the_longest_input() -> None:
    assert [case["tokens"] for case in length_cases(make_head(Modality.TEXT))] == [2, 19, 64]
    assert length_cases(make_head(Modality.IMAGE)) == [{}]


def test_text_starts_with_cls_ends_with_sep_and_is_zero_behind() -> None:
    batch = make(make_head(Modality.TEXT), 50, {"tokens": 12}, np.random.default_rng(0))
    real = batch["attention_mask"].sum(axis=1)
    assert real.max() == 12
    assert real.min() >= 2
    for ids, count in zip(batch["input_ids"], real, strict=True):
        assert (ids[0], ids[count - 1]) == (101, 102)
        assert not ids[count:].any()


def test_bonds_join_existing_atoms() -> None:
    lengths = {"nodes": 10, "edges": 15}
    batch = make(make_head(Modality.GRAPH), 50, lengths, np.random.default_rng(0))
    atoms = batch["node_mask"].sum(axis=1)
    assert atoms.min() >= 1
    assert (batch["edges"].max(axis=(1, 2)) < atoms).all()


def test_table_values_follow_the_declared_columns() -> None:
    batch = make(make_head(Modality.TABULAR), 400, {}, np.random.default_rng(0))
    assert set(np.unique(batch["categories"])) == {0, 1, 2, 3, 4}
    known = batch["numbers"][batch["missing"] == 0]
    assert known.mean() == pytest.approx(40, abs=3)
    assert not batch["numbers"][batch["missing"] == 1].any()
