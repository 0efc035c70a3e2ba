from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import numpy as np
import pytest

from omnivec2.arrays import Array
from omnivec2.errors import NotedInputError
from omnivec2.familiarity import Familiarity
from omnivec2.preprocess import Prepared
from omnivec2.preprocess.notes import Note, NoteCode
from omnivec2.spec import TaskFamily, TensorSpec
from service.pipeline.answers import Answer, RequestNotes
from service.pipeline.data_plane import DataPlane
from service.pipeline.doubts.input_doubt import Doubt, find_doubt, split_summaries
from service.pipeline.host_stages import FileInput, PreparedInput
from service.runtimes.base import Inference, Model
from tests.support.checkpoints.references import WIDTH, made_up_reference
from tests.support.service_parts.service_fakes import FakeRuntime, letters_head, letters_spec

FAMILIARITY = Familiarity(made_up_reference())
KNOWN, FAR = np.zeros(WIDTH), np.full(WIDTH, 50.0)
SPEC = letters_spec(
    task="letter",
    family=TaskFamily.CLASSIFICATION,
    outputs=(TensorSpec(name="logits", dtype="float32", shape=(2,)),),
    labels=("early", "late"),
)
MODEL = Model(SPEC, familiarity=FAMILIARITY)
EMPTY = Note(NoteCode.EMPTY, "it shows nothing")


def doubt_of(
    *rows: Array, context: Mapping[str, object] | None = None, notes: tuple[Note, ...] = ()
) -> Doubt | None:
    prepared = PreparedInput(Prepared([], context or {}), None, 0, 0, 0, notes)
    return find_doubt(MODEL, {"f_mean": np.stack(rows)}, len(rows), prepared)


def test_an_input_like_the_training_data_is_in_no_doubt() -> None:
    assert doubt_of(KNOWN) is None
    assert doubt_of(KNOWN, KNOWN, context={"reduce": "each"}) is None


def test_an_input_far_from_training_has_a_note_and_a_ceiling_below_six_tenths() -> None:
    doubt = doubt_of(FAR)
    assert doubt is not None
    (note,) = doubt.notes
    assert (note.code, note.count) == (NoteCode.FAR_FROM_TRAINING, 1)
    assert "image/letter" in note.text
    assert 0.5 < doubt.ceilings[0] < 0.6


def test_the_farther_an_input_the_lower_its_ceiling() -> None:
    ceilings = [doubt.ceilings[0] for far in (8, 20, 1000) if (doubt := doubt_of(KNOWN + far))]
    assert ceilings == sorted(ceilings, reverse=True)
    assert len(ceilings) == 3
    assert ceilings[-1] > 0.5


def test_independent_rows_are_doubted_one_by_one() -> None:
    doubt = doubt_of(KNOWN, FAR, KNOWN, context={"reduce": "each"})
    assert doubt is not None
    assert doubt.notes[0].count == 1
    assert "1 of 3 rows" in doubt.notes[0].text
    assert (doubt.ceilings < 1).tolist() == [False, True, False]


def test_a_recording_is_doubted_as_a_whole_if_most_of_its_windows_are_far() -> None:
    mean = {"reduce": "mean"}
    assert doubt_of(KNOWN, FAR, KNOWN, context=mean) is None
    doubt = doubt_of(FAR, FAR, KNOWN, context=mean)
    assert doubt is not None
    assert (doubt.ceilings < 0.6).all()


def test_some_strange_pixels_do_not_make_a_strange_scene() -> None:
    scene = [KNOWN] * 19
    assert doubt_of(*scene, FAR, context={"grid": (4, 5)}) is None
    doubt = doubt_of(*scene[:10], *[FAR] * 10, context={"grid": (4, 5)})
    assert doubt is not None
    assert (doubt.ceilings < 1).sum() == 10


def test_an_empty_input_is_in_doubt_without_a_second_note() -> None:
    doubt = doubt_of(KNOWN, notes=(EMPTY,))
    assert doubt is not None
    assert not doubt.notes
    assert doubt.ceilings[0] < 0.6


def test_one_empty_row_of_a_table_says_nothing_of_the_others() -> None:
    each = {"reduce": "each"}
    assert doubt_of(KNOWN, KNOWN, context=each, notes=(EMPTY,)) is None
    assert doubt_of(KNOWN, context=each, notes=(EMPTY,)) is not None


def test_a_head_without_reference_doubts_empty_inputs_only() -> None:
    prepared = PreparedInput(Prepared([]), None, 0, 0, 0, (EMPTY,))
    assert find_doubt(Model(SPEC), {}, 1, prepared) is not None
    prepared.notes = ()
    assert find_doubt(Model(SPEC), {}, 1, prepared) is None


def test_summaries_are_no_outputs_of_a_head() -> None:
    outputs = {"logits": np.zeros((1, 2)), "f_mean": np.zeros((1, WIDTH))}
    own, summaries = split_summaries(MODEL, outputs)
    assert (list(own), list(summaries)) == (["logits"], ["f_mean"])
    assert split_summaries(Model(SPEC), outputs) == (outputs, {})


class SummarisingRuntime(FakeRuntime):
    """Is always sure; the trunk knows all letters but z."""

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        codes = inputs["letters"]
        outputs = {"logits": np.tile([9.0, 0.0], (len(codes), 1))}
        if model.summaries:
            outputs["f_mean"] = np.where(codes == ord("z"), FAR, KNOWN)
        return Inference(outputs, 0.0, 0.0)


def answer(letter: bytes, *, strict: bool = False) -> Answer:
    runtime = SummarisingRuntime(SPEC)
    runtime.models = lambda: {SPEC.name: MODEL}  # type: ignore[method-assign]
    head = letters_head(runtime)
    plane = DataPlane(runtime, 1)
    notes = RequestNotes(strict=strict)
    try:
        return asyncio.run(plane.predict(head, [FileInput(letter)], {}, batched=False, notes=notes))
    finally:
        plane.close()


def test_a_strange_input_is_answered_in_the_same_order_without_confidence() -> None:
    known, strange = (json.loads(answer(letter).body) for letter in (b"a", b"z"))
    assert [entry["label"] for entry in known] == [entry["label"] for entry in strange]
    assert known[0]["score"] > 0.99
    assert strange[0]["score"] < 0.6
    assert not answer(b"a").notes
    assert [note.code for note in answer(b"z").notes] == [NoteCode.FAR_FROM_TRAINING]


def test_a_strict_request_with_a_strange_input_is_refused() -> None:
    with pytest.raises(NotedInputError, match="image/letter"):
        answer(b"z", strict=True)
