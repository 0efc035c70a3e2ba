from __future__ import annotations

import pytest

from omnivec2.postprocess import postprocessor_for
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec, TaskFamily


def make_spec(family: TaskFamily, modality: Modality = Modality.IMAGE, **fields) -> HeadSpec:
    return HeadSpec(
        modality=modality,
        task="task",
        family=family,
        inputs=(),
        outputs=(),
        preprocess=PreprocessSpec(name=modality, version=1),
        network="tiny",
        **fields,
    )


@pytest.fixture
def head():
    """Make a head spec: ``head(family, modality, labels=...)``."""
    return make_spec


@pytest.fixture
def answer():
    """Answer one input: ``answer(spec, outputs, context, **parameters)``."""

    def call(spec: HeadSpec, outputs, context=None, *, inputs=1, batched=False, **parameters):
        post = postprocessor_for(spec.family)
        result = post(outputs, context or {}, spec, post.parameters_type(**parameters))
        return post.combine([result] * inputs, batched=batched, spec=spec)

    return call
