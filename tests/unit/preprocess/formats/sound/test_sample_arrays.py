from __future__ import annotations

from typing import Any

import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.sound.sample_arrays import file_text, is_array, read_samples
from omnivec2.preprocess.notes import NoteCode, collect_notes

SAMPLES: Any = [0.0, 0.5, -0.5, 1]


def read(value: Any) -> tuple[list[Any], int | None, list[NoteCode]]:
    with collect_notes() as notes:
        samples, rate = read_samples(value, 100, 2)
    return samples.tolist(), rate, [found.code for found in notes]


@pytest.mark.parametrize(
    "value",
    [
        {"array": SAMPLES, "sampling_rate": 8000},
        {"raw": SAMPLES, "sampling_rate": 8000},
        {"path": None, "array": SAMPLES, "sampling_rate": 8000},
        {"samples": SAMPLES, "sampleRate": 8000},
        {"waveform": [SAMPLES], "sample_rate": "8000"},
        {"y": SAMPLES, "sr": 8000.0},
        {"Data": SAMPLES, "Sample-Rate-Hz": 8000},
    ],
)
def test_arrays_and_their_rates_go_by_many_names(value):
    assert read(value) == (SAMPLES, 8000, [])


def test_a_list_of_numbers_states_no_rate():
    assert read(SAMPLES) == (SAMPLES, None, [])
    assert read({"array": SAMPLES}) == (SAMPLES, None, [])
    assert read({"array": SAMPLES, "sampling_rate": None}) == (SAMPLES, None, [])


def test_keys_that_are_not_understood_are_noted():
    assert read({"array": SAMPLES, "gain": 3})[2] == [NoteCode.IGNORED]


def test_channels_may_lie_either_way():
    rows = [[0.0, 1.0]] * 3
    assert read({"array": rows})[0] == rows
    assert read({"array": [[0.0, 0.5, 1.0]] * 2})[0] == [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "base64.*array.*nothing"),
        ({"gain": 1}, "array.*gain"),
        ([], "no list of numbers"),
        ({"array": []}, "no list of numbers"),
        ({"array": ["a", "b"]}, "not all numbers"),
        ({"array": [1, None]}, "not all numbers"),
        ({"array": [True, False]}, "not all numbers"),
        ({"array": [[1, 2], [3]]}, "equal channels"),
        ({"array": [[[1]]] * 2}, "equal channels"),
        ({"array": [0] * 101}, "101 samples; at most 100"),
        ({"array": SAMPLES, "sampling_rate": "fast"}, "no number of samples"),
        ({"array": SAMPLES, "sampling_rate": []}, "no number of samples"),
    ],
)
def test_what_is_no_array_is_refused_with_what_was_expected(value, words):
    with pytest.raises(InvalidInputError, match=words):
        read(value)


def test_only_lists_of_numbers_are_arrays():
    assert is_array([1, 2.5])
    for value in ([], ["a"], [1, "a"], [[1]], {"a": 1}, "text", None):
        assert not is_array(value)


@pytest.mark.parametrize(
    "value",
    [
        {"data": "AAAA", "format": "wav"},
        {"audio": "AAAA"},
        {"bytes": "AAAA", "path": None},
        {"b64": "AAAA"},
        {"input_audio": {"data": "AAAA", "format": "wav"}, "type": "input_audio"},
    ],
)
def test_objects_that_hold_a_file_give_its_text(value):
    assert file_text(value) == "AAAA"
    assert file_text({"array": [1]}) is None
