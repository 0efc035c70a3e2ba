"""Heads in an engine without a queue answer as the graphs do, in both layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.repository.layouts import Layout
from omnivec2.errors import ArtifactError, ModelNotReadyError
from service.runtimes.embedded.engine_heads import EngineHeads
from service.runtimes.embedded.engines.base import LoadOptions
from service.runtimes.embedded.engines.onnxruntime import OnnxRuntimeCpu
from tests.support.model_repositories.tiny_models import classification, write_repository

HEADS = [
    classification("text/sentiment", "no", "yes"),
    classification("text/topic", "a", "b", "c"),
]
INPUTS = {
    name: np.array([[1, 2, 3], [4, 5, 6]], np.int32)
    for name in ("input_ids", "token_type_ids", "attention_mask")
}


@pytest.mark.parametrize("layout", list(Layout))
def test_a_head_answers_in_the_shapes_of_its_spec(tmp_path: Path, layout: Layout) -> None:
    heads = EngineHeads(
        write_repository(tmp_path, HEADS, layout), OnnxRuntimeCpu(), LoadOptions("fp32")
    )
    answers = heads.open("text_topic").run(INPUTS)
    assert answers.keys() == {"logits"}
    assert answers["logits"].shape == (2, 3)
    assert np.isfinite(answers["logits"]).all()


def test_both_layouts_answer_alike_and_a_shared_part_is_loaded_once(tmp_path: Path) -> None:
    shared, whole = (
        EngineHeads(
            write_repository(tmp_path / layout, HEADS, layout), OnnxRuntimeCpu(), LoadOptions()
        )
        for layout in (Layout.SHARED, Layout.FUSED)
    )
    first, second = shared.open("text_sentiment"), shared.open("text_topic")
    assert first.graphs["trunk", "1"] is second.graphs["trunk", "1"]
    np.testing.assert_allclose(
        first.run(INPUTS)["logits"],
        whole.open("text_sentiment").run(INPUTS)["logits"],
        rtol=1e-5,
    )


def test_a_head_that_is_not_there_and_a_precision_that_the_engine_lacks_are_refused(
    tmp_path: Path,
) -> None:
    repository = write_repository(tmp_path, HEADS)
    with pytest.raises(ArtifactError, match="image_nothing: not a head"):
        EngineHeads(repository, OnnxRuntimeCpu(), LoadOptions()).open("image_nothing")
    with pytest.raises(ArtifactError, match="onnxruntime does not compute in bf16 here, but in"):
        EngineHeads(repository, OnnxRuntimeCpu(), LoadOptions("bf16"))


def test_a_head_that_writes_no_text_has_no_decoder(tmp_path: Path) -> None:
    heads = EngineHeads(write_repository(tmp_path, HEADS), OnnxRuntimeCpu(), LoadOptions())
    with pytest.raises(ModelNotReadyError, match="no decoder"):
        heads.open("text_topic").decode({})
