"""The check of an engine: rounding passes, a fault does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from omnivec2.accuracy_gate import TOLERANCES, Gate, check_gate
from omnivec2.accuracy_gate.gate_answers import decoder_steps
from omnivec2.errors import ArtifactError
from omnivec2.generation import COPIED, GENERATED, PAST, PREVIOUS, STATE, STEP
from omnivec2.spec import TaskFamily
from tests.support.checkpoints.gates import (
    SPEC,
    Weights,
    in_bfloat16,
    make_gate,
    make_weights,
    runner,
    with_noise,
    with_swapped_channels,
    with_wrong_scale,
)
from tests.support.networks.writing import generation, head_that_writes

WEIGHTS = make_weights()
GATE = make_gate(WEIGHTS)
WORDS = [0, 100, 101, 102, 1000, 1001, 1002, 1003]
WRITER = head_that_writes(WORDS, generation(WORDS))
Batch = Mapping[str, np.ndarray]


def test_the_same_answers_have_no_distance_and_pass() -> None:
    result = check_gate(SPEC, GATE, runner(WEIGHTS))
    assert result.passed
    assert result.points == pytest.approx(0, abs=1e-4)
    assert result.tolerance == TOLERANCES[TaskFamily.CLASSIFICATION]


def test_weights_that_are_rounded_to_bfloat16_pass() -> None:
    result = check_gate(SPEC, GATE, runner(in_bfloat16(WEIGHTS)))
    assert 0 < result.points < 1
    assert result.passed


@pytest.mark.parametrize("fault", [with_swapped_channels, with_noise, with_wrong_scale])
def test_an_injected_fault_fails(fault: Callable[[Weights], Weights]) -> None:
    assert not check_gate(SPEC, GATE, runner(fault(WEIGHTS))).passed


def test_an_output_that_is_missing_or_not_finite_or_of_another_shape_fails() -> None:
    def with_output(output: Callable[[np.ndarray], dict[str, np.ndarray]]) -> float:
        return check_gate(SPEC, GATE, lambda x: output(runner(WEIGHTS)(x)["logits"])).points

    assert with_output(lambda logits: {"other": logits}) == float("inf")
    assert with_output(lambda logits: {"logits": logits * np.nan}) == float("inf")
    assert with_output(lambda logits: {"logits": logits[:, :2]}) == float("inf")
    assert with_output(lambda logits: {"logits": logits[:1]}) == float("inf")


def test_the_first_row_runs_alone_and_the_others_in_batches_that_the_head_allows() -> None:
    sizes = []

    def run(inputs: Batch) -> dict[str, np.ndarray]:
        sizes.append(len(inputs["signal"]))
        return runner(WEIGHTS)(inputs)

    assert check_gate(SPEC.model_copy(update={"max_batch_size": 8}), GATE, run).passed
    assert sizes == [1, 8, 7]


def test_an_engine_that_errs_in_batches_only_fails() -> None:
    def run(inputs: Batch) -> dict[str, np.ndarray]:
        wrong = len(inputs["signal"]) > 1
        return runner(with_noise(WEIGHTS, 0.3) if wrong else WEIGHTS)(inputs)

    assert not check_gate(SPEC, GATE, run).passed


def encode(inputs: Batch) -> dict[str, np.ndarray]:
    ids = inputs["input_ids"].astype(np.float32)
    return {"memory": np.repeat(ids[:, :, None], 4, axis=2)}


def decode(inputs: Batch, error: float = 0.0) -> dict[str, np.ndarray]:
    """Probabilities of the next word that depend on the last one and on the states before."""
    length = inputs["attention_mask"].shape[1]
    level = (
        inputs[PREVIOUS] + inputs[PAST].sum(axis=(2, 3)) + inputs["memory"].mean((1, 2))[:, None]
    )
    scores = np.cos(level[:, :, None] + np.arange(len(WORDS) + length) + error)
    likely = np.exp(2 * scores) / np.exp(2 * scores).sum(axis=2, keepdims=True)
    state = np.repeat(np.sin(level)[:, :, None], 4, axis=2).astype(np.float32)
    assert (inputs[STEP] < 4).all()
    return {GENERATED: likely[..., :8], COPIED: likely[..., 8:], STATE: state}


def writer_gate() -> Gate:
    ids = np.arange(1000, 1015, dtype=np.int32).reshape(3, 5)
    inputs = {"input_ids": ids, "token_type_ids": ids * 0, "attention_mask": ids * 0 + 1}
    outputs, words = decoder_steps(WRITER, inputs, encode(inputs), decode, steps=4)
    return Gate(inputs, outputs, 4.0, words=words)


def test_a_head_that_writes_is_compared_by_the_next_words_of_several_steps() -> None:
    gate = writer_gate()
    assert gate.outputs[GENERATED].shape == (3, 4, 8)
    assert gate.outputs[COPIED].shape == (3, 4, 5)
    assert len(set(gate.words[0].tolist())) > 1
    assert check_gate(WRITER, gate, encode, decode).points == pytest.approx(0, abs=1e-4)
    worse = check_gate(WRITER, gate, encode, lambda inputs: decode(inputs, error=0.3))
    assert worse.points > worse.tolerance


def test_a_decoder_goes_on_with_the_words_of_the_reference() -> None:
    gate = writer_gate()
    given: list[np.ndarray] = []

    def other_words(inputs: Batch) -> dict[str, np.ndarray]:
        given.append(inputs[PREVIOUS])
        return decode(inputs, error=2.0)

    inputs = gate.inputs
    decoder_steps(WRITER, inputs, encode(inputs), other_words, words=gate.words)
    assert np.array_equal(np.concatenate(given, axis=1), gate.words)


def test_a_decoder_with_states_of_another_width_fails() -> None:
    def narrow(inputs: Batch) -> dict[str, np.ndarray]:
        answer = decode(inputs)
        return {**answer, STATE: answer[STATE][..., :3]}

    assert check_gate(WRITER, writer_gate(), encode, narrow).points == float("inf")


def test_a_head_that_writes_needs_its_decoder() -> None:
    with pytest.raises(ArtifactError, match="text_summarization writes text"):
        check_gate(WRITER, writer_gate(), encode)


def test_a_tolerance_of_the_file_decides() -> None:
    strict = replace(GATE, tolerance=1e-6)
    assert not check_gate(SPEC, strict, runner(in_bfloat16(WEIGHTS))).passed
