from __future__ import annotations

import numpy as np

from omnivec2.spec import TensorSpec
from service.runtimes.base import Inference, Model
from service.runtimes.triton.scalar_columns import as_column, without_columns
from tests.support.model_repositories.tiny_models import classification

SPEC = classification("text/sentiment", "no", "yes")


def test_a_scalar_per_row_travels_as_a_column_of_the_stated_type() -> None:
    tensor = TensorSpec(name="lengths", dtype="int32", shape=())
    sent = as_column(tensor, np.array([3, 5], np.uint16))
    assert (sent.shape, sent.dtype.name) == ((2, 1), "int32")


def test_a_column_of_an_answer_becomes_a_scalar_per_row() -> None:
    outputs = (TensorSpec(name="score", dtype="float32", shape=()), *SPEC.outputs)
    model = Model(SPEC.model_copy(update={"outputs": outputs}))
    logits = np.zeros((2, 2), np.float32)
    answer = Inference({"score": np.ones((2, 1), np.float32), "logits": logits}, 0.0, 0.1)
    returned = without_columns(model, answer)
    assert returned.outputs["score"].shape == (2,)
    assert returned.outputs["logits"] is logits
    assert returned.compute_seconds == 0.1
