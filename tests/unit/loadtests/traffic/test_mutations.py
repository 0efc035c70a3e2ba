"""Damaged files differ from whole ones, and are the same for the same seed."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from loadtests.traffic.mutations import MUTATIONS, mutants

FILES = [bytes(range(256)) * 4, b"a,b\n1,2\n" * 20, b"x"]


def test_the_same_seed_yields_the_same_files() -> None:
    first = list(islice(mutants(FILES, "1 image"), 200))
    assert first == list(islice(mutants(FILES, "1 image"), 200))
    assert first != list(islice(mutants(FILES, "2 image"), 200))


def test_nearly_all_files_are_damaged_and_none_is_empty() -> None:
    made = [data for _, data in islice(mutants(FILES, "1"), 1000)]
    assert all(made)
    assert sum(data in FILES for data in made) < 100
    assert max(map(len, made)) < 2**21


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_change_takes_files_of_any_length(name: str) -> None:
    for seed in range(50):
        for data in FILES:
            made = MUTATIONS[name](data, FILES, random.Random(seed))
            assert isinstance(made, bytes)
