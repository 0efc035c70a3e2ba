"""The inputs of gate files: real, different from each other, and the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.gate.gate_samples import GATE_FILES, candidate_samples
from export.gate.sample_variations import is_varied, vary
from omnivec2.preprocess import collate
from omnivec2.spec import HeadSpec, Modality, TaskFamily
from tests.support.model_repositories.tiny_models import head_spec, tiny_heads

HEADS = {head.route: head for head in tiny_heads()}


def distinct(samples: list) -> int:
    return len({b"".join(array.tobytes() for array in sample.values()) for sample in samples})


@pytest.mark.parametrize("route", sorted(HEADS.keys() - {"image/embedding", "text/embedding"}))
def test_files_of_every_modality_give_different_inputs_as_the_head_takes_them(route: str) -> None:
    head = HEADS[route]
    samples = candidate_samples(head, GATE_FILES, 6)
    assert len(samples) == distinct(samples) == 6
    batch = collate(samples)
    for tensor in head.inputs:
        assert batch[tensor.name].dtype == tensor.dtype
        assert len(tensor.shape) + 1 == batch[tensor.name].ndim
    assert distinct([*samples, *candidate_samples(head, GATE_FILES, 6)]) == len(samples)


def test_without_files_the_pre_processor_draws_inputs(tmp_path: Path) -> None:
    head = HEADS["imu/activity"]
    samples = candidate_samples(head, tmp_path, 5)
    assert distinct(samples) == 5
    assert samples[0]["signal"].shape == (64, 9)
    real = candidate_samples(head, GATE_FILES, 5)
    assert not np.array_equal(samples[0]["signal"], real[0]["signal"])


def test_texts_and_molecules_need_no_files_and_may_be_fewer(tmp_path: Path) -> None:
    for route in ("text/sentiment", "text/paraphrase", "graph/solubility"):
        samples = candidate_samples(HEADS[route], tmp_path, 1000)
        assert 8 <= len(samples) == distinct(samples) < 1000


def test_files_that_a_head_does_not_take_are_left_out() -> None:
    columns = [{"name": "nothing", "kind": "number", "mean": 0.0, "std": 1.0}]
    head = head_spec("tabular/other", TaskFamily.REGRESSION, {"values": (1,)}, {"columns": columns})
    assert len(candidate_samples(head, GATE_FILES, 3)) == 3


def test_rows_of_a_table_are_mixed_from_the_rows_of_files_and_drawn_ones() -> None:
    head: HeadSpec = HEADS["tabular/income"]
    rows = candidate_samples(head, GATE_FILES, 40)
    assert len(rows) == 40
    assert distinct(rows) > 20
    assert {int(row["categories"].item()) for row in rows} <= {0, 1, 2, 3}


@pytest.mark.parametrize("modality", [m for m in Modality if is_varied(m)])
def test_a_variation_differs_and_keeps_shapes_and_types(modality: Modality) -> None:
    route = next(route for route in HEADS if route.startswith(f"{modality}/"))
    (sample,) = candidate_samples(HEADS[route], GATE_FILES, 1)
    varied = vary(modality, sample, np.random.default_rng(0))
    assert distinct([sample, varied]) == 2
    for name, array in sample.items():
        assert (varied[name].shape, varied[name].dtype) == (array.shape, array.dtype)
        assert np.isfinite(varied[name]).all()
