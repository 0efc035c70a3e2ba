"""The checkpoint that is adapted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.data_sets import adapt_data


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapt_data.tiny_base(tmp_path_factory.mktemp("base") / "checkpoint")
