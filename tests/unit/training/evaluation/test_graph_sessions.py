"""Sessions of exported graphs, and texts generated with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import ArtifactError
from omnivec2.generation import SearchOptions
from omnivec2.training.evaluation.graph_sessions import (
    GraphSession,
    TextGenerator,
    open_sessions,
)
from tests.support.model_repositories.graphs import write_graph
from tests.support.networks.writing import generation, head_that_writes

WORDS = [0, 100, 101, 102, 1000, 1001, 1002, 1003]
SPEC = head_that_writes(WORDS, generation(WORDS))
GREEDY = SearchOptions(num_beams=1, max_new_tokens=8, no_repeat_ngram_size=0)

DECODER = """
decoder (
    int32[n, k] previous_ids, int32[n, 1] step, float[n, k, p, 4] past,
    float[n, m, 4] memory, int32[n, m] attention_mask
) => (float[n, k, 8] generated, float[n, k, m] copied, float[n, k, 4] state) {
    zero_nk = Mul (previous_ids, nothing)
    zeros = Cast <to: int = 1> (zero_nk)
    zeros_nk1 = Unsqueeze (zeros, last)
    likely = Gather (steps, step)
    generated = Add (zeros_nk1, likely)
    real = Cast <to: int = 1> (attention_mask)
    real_n1m = Unsqueeze (real, middle)
    copied = Mul (zeros_nk1, real_n1m)
    state = Concat <axis: int = 2> (zeros_nk1, zeros_nk1, zeros_nk1, zeros_nk1)
}
"""


def write_decoder(repository: Path, words: list[int]) -> None:
    """Write a decoder that generates the same words for every source."""
    steps = np.zeros((len(words), len(WORDS)), np.float32)
    steps[np.arange(len(words)), [WORDS.index(word) for word in words]] = 1.0
    assert SPEC.generation is not None
    folder = repository / SPEC.generation.decoder / SPEC.generation.version
    folder.mkdir(parents=True)
    write_graph(
        folder, DECODER, steps=steps, nothing=np.array(0, np.int32),
        last=np.array([2]), middle=np.array([1]),
    )  # fmt: skip


def decoder(repository: Path) -> GraphSession:
    assert SPEC.generation is not None
    name, version = SPEC.generation.decoder, SPEC.generation.version
    return GraphSession(repository / name / version / "model.onnx")


def test_inputs_that_a_graph_does_not_take_are_left_out(tmp_path: Path) -> None:
    text = "double (float[n] x) => (float[n] y) { y = Add (x, x) }"
    path, _ = write_graph(tmp_path, text)
    outputs = GraphSession(path)({"x": np.ones(3, np.float32), "unknown": np.zeros(3)})
    assert outputs["y"].tolist() == [2.0, 2.0, 2.0]


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no graph at .*model\.onnx; assemble"):
        GraphSession(tmp_path / "model.onnx")
    with pytest.raises(ArtifactError, match=f"no graph at .*{SPEC.name}"):
        open_sessions(SPEC, tmp_path)


def test_texts_of_a_batch_are_generated_until_their_end(tmp_path: Path) -> None:
    write_decoder(tmp_path, [1001, 1000, 1003, 102])
    inputs = {
        "input_ids": np.array([[101, 1001, 102], [101, 1002, 102]], np.int32),
        "attention_mask": np.ones((2, 3), np.int32),
    }
    outputs = {"memory": np.zeros((2, 16, 4), np.float32)}
    ids = TextGenerator(SPEC, decoder(tmp_path), GREEDY)(inputs, outputs)["ids"]
    assert ids.tolist() == [[1001, 1000, 1003]] * 2


def test_a_search_stops_at_the_most_words_of_its_options(tmp_path: Path) -> None:
    write_decoder(tmp_path, [1001, 1000, 1003, 1002])
    inputs = {
        "input_ids": np.array([[101, 102]], np.int32),
        "attention_mask": np.ones((1, 2), np.int32),
    }
    outputs = {"memory": np.zeros((1, 16, 4), np.float32)}
    options = SearchOptions(num_beams=2, max_new_tokens=3, no_repeat_ngram_size=0)
    ids = TextGenerator(SPEC, decoder(tmp_path), options)(inputs, outputs)["ids"]
    assert ids.tolist() == [[1001, 1000, 1003]]
