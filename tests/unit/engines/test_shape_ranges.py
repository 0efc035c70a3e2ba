from __future__ import annotations

import pytest

from omnivec2.engines.shape_ranges import (
    LENGTH_LIMITS,
    ShapeRange,
    head_limits,
    shape_range,
    widest,
)
from omnivec2.errors import ArtifactError
from tests.support.model_repositories.tiny_models import classification
from tests.support.networks.writing import head_that_writes


def test_a_shape_is_tuned_for_the_geometric_mean_of_its_limits() -> None:
    limits = {"batch": (1, 16), "length": (4, 100)}
    found = shape_range("tokens", ("batch", "length", 384), limits)
    assert found == ShapeRange((1, 4, 384), (4, 20, 384), (16, 100, 384))


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (None, "x: axis 0 is dynamic, but has no limits"),
        ("lines", "x: axis 0 is dynamic, but has no limits"),
        ("none", r"x: no size is from 9 to 8 \(none\)"),
    ],
)
def test_an_axis_that_no_size_fits_is_refused(axis: str | None, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        shape_range("x", (axis,), {"none": (9, 8)})


def test_a_head_limits_its_inputs_the_tokens_between_its_parts_and_its_decoder() -> None:
    text = classification("text/sentiment", "no", "yes", parameters={"max_tokens": 64})
    assert head_limits(text) == {"tokens": (2, 64), "length": LENGTH_LIMITS}
    picture = classification("image/classification", "cat", "dog")
    assert head_limits(picture) == {"length": LENGTH_LIMITS}
    writer = head_that_writes(range(100, 110))
    assert writer.generation is not None
    assert head_limits(writer)["beams"] == (1, writer.generation.max_beams)
    assert head_limits(writer)["places"] == (1, 2 * writer.generation.max_new_tokens)


def test_the_widest_limits_hold_every_size_of_both() -> None:
    wide = widest({"tokens": (2, 64), "nodes": (1, 9)}, {"tokens": (1, 32), "edges": (3, 4)})
    assert wide == {"tokens": (1, 64), "nodes": (1, 9), "edges": (3, 4)}
