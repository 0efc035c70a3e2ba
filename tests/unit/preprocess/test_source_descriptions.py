"""What heads assume of the sources of their inputs is said for every tensor."""

from __future__ import annotations

import pytest

from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec
from tests.support.model_repositories.tiny_models import tiny_heads

HEADS = tiny_heads()


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.route)
def test_every_tensor_has_a_source(head: HeadSpec) -> None:
    preprocessor = preprocessor_for(head)
    assert preprocessor.sources.keys() == {tensor.name for tensor in preprocessor.inputs}
    for source in preprocessor.sources.values():
        assert "{" not in source.sentence
        assert source.quantity in source.sentence


@pytest.mark.parametrize(
    ("modality", "words"),
    [
        ("audio", ("Hz", "mono", "-1 to 1")),
        ("depth", ("millimetres", "metres", "no data")),
        ("imu", ("m/s²", "rad/s", "up", "Hz")),
        ("pointcloud", ("z up", "unit of length")),
        ("xray", ("MONOCHROME2",)),
        ("hyperspectral", ("digital numbers", "bands")),
        ("video", ("evenly",)),
    ],
)
def test_units_axes_and_rates_are_named(modality: str, words: tuple[str, ...]) -> None:
    head = next(head for head in HEADS if head.modality.value == modality)
    text = " ".join(source.sentence for source in preprocessor_for(head).sources.values())
    assert [word for word in words if word not in text] == []


def test_a_rate_is_that_of_the_head() -> None:
    head = next(head for head in HEADS if head.modality.value == "imu")
    parameters = {**head.preprocess.parameters, "rate_hz": 104}
    preprocess = head.preprocess.model_copy(update={"parameters": parameters})
    source = preprocessor_for(preprocess).sources["signal"]
    assert "104 Hz" in str(source.sampling_rate)
