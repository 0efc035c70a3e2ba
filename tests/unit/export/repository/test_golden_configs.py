from __future__ import annotations

import pytest

from tests.support.model_repositories.golden_configs import GOLDENS, texts


@pytest.mark.parametrize("name", sorted(texts()))
def test_a_configuration_is_as_it_was_reviewed(name: str) -> None:
    golden = (GOLDENS / name).read_text("utf-8")
    assert texts()[name] == golden, (
        "meant? run: python -m tests.support.model_repositories.golden_configs"
    )


def test_no_golden_configuration_is_left_over() -> None:
    assert {path.name for path in GOLDENS.iterdir()} == set(texts())
