from __future__ import annotations

import json

import pytest

from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec
from tests.support.model_repositories.tiny_models import tiny_heads


@pytest.mark.parametrize("head", tiny_heads(), ids=lambda head: head.route)
def test_the_documented_example_of_every_modality_can_be_prepared(head: HeadSpec) -> None:
    preprocessor = preprocessor_for(head)
    example = json.loads(json.dumps(preprocessor.json_example))
    assert preprocessor.split(example) is None
    (sample, *_) = preprocessor.prepare(preprocessor.decode_json(example)).samples
    assert sample.keys() == {tensor.name for tensor in head.inputs}


@pytest.mark.parametrize("head", tiny_heads(), ids=lambda head: head.route)
def test_documented_examples_are_small(head: HeadSpec) -> None:
    assert len(json.dumps(preprocessor_for(head).json_example)) < 8000
