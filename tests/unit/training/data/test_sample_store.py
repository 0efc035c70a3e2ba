from __future__ import annotations

import os

import numpy as np
import pytest

from omnivec2.spec import Modality, PreprocessSpec
from omnivec2.training.data.base import DataDirectories
from omnivec2.training.data.sample_store import stored

SPEC = PreprocessSpec(name=Modality.TEXT, version=1)


def _source(tmp_path):
    path = tmp_path / "source"
    path.write_text("data")
    return path


def _same(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first) and set(first) == set(
        second
    )


def test_samples_of_one_shape_and_of_many_come_back_as_they_were(tmp_path):
    samples: list[dict[str, np.ndarray]] = [
        {"ids": np.arange(n, dtype=np.int32), "fixed": np.full((2, 2), n, np.uint8)}
        for n in (3, 0, 5)
    ]
    kept = stored(
        DataDirectories(tmp_path, tmp_path), "a", SPEC, [_source(tmp_path)], lambda: samples
    )
    assert len(kept) == 3
    assert all(_same(a, b) for a, b in zip(kept, samples, strict=True))
    assert _same(kept[-1], samples[-1])
    assert [len(sample["ids"]) for sample in kept[1:]] == [0, 5]
    with pytest.raises(IndexError):
        kept[3]


def test_kept_samples_are_not_made_again(tmp_path):
    source, calls = _source(tmp_path), []

    def make():
        calls.append(1)
        return [{"x": np.zeros(2)}]

    for _ in range(2):
        stored(DataDirectories(tmp_path, tmp_path), "a", SPEC, [source], make)
    assert len(calls) == 1


@pytest.mark.parametrize("change", ["version", "parameters", "source"])
def test_other_preprocessing_or_data_is_other_files(tmp_path, change):
    source, spec = _source(tmp_path), SPEC
    stored(DataDirectories(tmp_path, tmp_path), "a", spec, [source], lambda: [{"x": np.zeros(2)}])
    if change == "version":
        spec = spec.model_copy(update={"version": 2})
    elif change == "parameters":
        spec = spec.model_copy(update={"parameters": {"max_tokens": 3}})
    else:
        os.utime(source, (1, 1))
    kept = stored(
        DataDirectories(tmp_path, tmp_path), "a", spec, [source], lambda: [{"x": np.ones(2)}]
    )
    assert kept[0]["x"].tolist() == [1, 1]


def test_an_interrupted_build_leaves_nothing_that_looks_finished(tmp_path):
    def make():
        yield {"x": np.zeros(2)}
        raise KeyboardInterrupt

    source = _source(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stored(DataDirectories(tmp_path, tmp_path / "cache"), "a", SPEC, [source], make)
    kept = stored(
        DataDirectories(tmp_path, tmp_path / "cache"),
        "a",
        SPEC,
        [source],
        lambda: [{"x": np.ones(2)}],
    )
    assert kept[0]["x"].tolist() == [1, 1]


def test_every_sample_that_is_prepared_is_told_and_none_that_was(tmp_path):
    told: list[tuple[int, int | None]] = []
    source = _source(tmp_path)
    at = DataDirectories(tmp_path, tmp_path, lambda done, total: told.append((done, total)))
    for _ in range(2):
        stored(at, "a", SPEC, [source], lambda: [{"x": np.ones(2)}] * 3)
    assert told == [(1, None), (2, None), (3, None)]
