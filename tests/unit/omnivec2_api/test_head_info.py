from __future__ import annotations

import pytest

from omnivec2_api.head_info import make_head_info
from tests.support.model_repositories.tiny_models import classification


@pytest.mark.parametrize("temperature", [1.0, 1.5])
def test_a_head_has_the_temperature_that_its_scores_were_calibrated_with(
    temperature: float,
) -> None:
    spec = classification("text/sentiment", "no", "yes")
    listed = spec.model_copy(update={"temperature": temperature}).model_dump(mode="json")
    assert make_head_info(listed).temperature == temperature
