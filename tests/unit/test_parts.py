from __future__ import annotations

import itertools

import pytest
from pydantic import ValidationError

from omnivec2.parts import LENGTH_BUCKETS, PART_PREFIXES, TRUNK, PartSpec, bucket_of
from omnivec2.spec import Modality


def test_the_bucket_of_a_length_is_the_smallest_that_holds_it() -> None:
    for length in range(1, LENGTH_BUCKETS[-1] + 1):
        assert bucket_of(length) == min(size for size in LENGTH_BUCKETS if size >= length), length


def test_buckets_grow_and_suit_vector_units() -> None:
    assert all(small < large for small, large in itertools.pairwise(LENGTH_BUCKETS))
    assert all(size % 4 == 0 for size in LENGTH_BUCKETS)


@pytest.mark.parametrize("patches", [16, 36, 64, 128, 192, 256, 512, 1024, 2048])
def test_a_cls_token_before_a_round_number_of_patches_wastes_little(patches: int) -> None:
    assert bucket_of(patches + 1) - (patches + 1) <= 3


def test_no_modality_is_named_like_a_part() -> None:
    for modality in Modality:
        assert not f"{modality}_task".startswith(PART_PREFIXES)
        assert modality != TRUNK


def test_a_part_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match="kind"):
        PartSpec.model_validate({"name": "x", "kind": "neck", "inputs": (), "outputs": ()})


def test_a_part_survives_its_json() -> None:
    part = PartSpec.model_validate(
        {
            "name": "trunk",
            "kind": "trunk",
            "inputs": [{"name": "mask", "dtype": "bool", "shape": [-1]}],
            "outputs": [],
            "max_batch_size": 8,
        }
    )
    assert PartSpec.model_validate_json(part.model_dump_json()) == part
