from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.dicom.dicom_display import displayed, number
from omnivec2.preprocess.notes import NoteCode, collect_notes

STORED = np.arange(0, 4096, 65, dtype=np.uint16).reshape(8, 8)
SHOWN = np.rint((STORED - STORED.min()) * 255.0 / np.ptp(STORED)).astype(int)


def described(**elements: Any) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    dataset.PhotometricInterpretation = "MONOCHROME2"
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def shown(stored: np.ndarray = STORED, **elements: Any) -> tuple[np.ndarray, list[NoteCode]]:
    with collect_notes() as notes:
        found = displayed(stored, described(**elements))
    return found.astype(int), [note.code for note in notes]


def table(entries: np.ndarray, first: int, bits: int, *, packed: bool = False) -> Dataset:
    made = Dataset()
    made.LUTDescriptor = [len(entries), first, bits]
    made.LUTData = entries.astype(np.uint8 if packed else "<u2").tobytes()
    made["LUTData"].VR = "OW"
    return made


def assert_shown(expected: np.ndarray = SHOWN, tolerance: int = 1, **elements: Any) -> None:
    found, notes = shown(**elements)
    assert np.abs(found - expected).max() <= tolerance
    assert not notes


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.5, -1024), (-1, 4095), (-10, 2550)])
@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT"])
def test_the_sign_of_the_slope_decides_with_and_without_a_window(slope, intercept, function):
    expected = SHOWN if slope > 0 else 255 - SHOWN
    assert_shown(expected, RescaleSlope=slope, RescaleIntercept=intercept)
    values = STORED * float(slope) + intercept
    window = {"WindowCenter": (values.min() + values.max()) / 2, "WindowWidth": np.ptp(values) + 1}
    if function:
        window["VOILUTFunction"] = function
    elements = {"RescaleSlope": slope, "RescaleIntercept": intercept, **window}
    assert_shown(expected, **elements)
    assert_shown(255 - expected, PhotometricInterpretation="MONOCHROME1", **elements)


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": None, "RescaleIntercept": "5"},
        {"RescaleIntercept": "-1000"},
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": "2048", "WindowWidth": None},
        {"WindowCenter": ["2048", "1"], "WindowWidth": ["4097", "50"]},
        {"PixelPaddingValue": None},
        {"VOILUTSequence": []},
    ],
)
def test_blank_elements_count_as_absent(elements):
    assert_shown(**elements)


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": "0", "WindowWidth": "0"},
        {"WindowCenter": "2048", "WindowWidth": "0"},
        {"WindowCenter": "2048", "WindowWidth": "-5"},
        {"WindowCenter": "2048", "WindowWidth": "4097", "VOILUTFunction": "GAMMA"},
        {"RescaleSlope": "0", "RescaleIntercept": "0"},
        {"VOILUTSequence": [table(np.arange(10), 0, 16)]},
    ],
)
def test_elements_that_break_the_rules_are_left_out_with_a_note(elements):
    if sequence := elements.get("VOILUTSequence"):
        sequence[0].LUTDescriptor = [4096, 0, 16]
    found, notes = shown(**elements)
    assert np.abs(found - SHOWN).max() <= 1
    assert notes == [NoteCode.REPAIRED]


def test_the_first_usable_of_several_windows_counts():
    assert_shown(WindowCenter=["0", "2048"], WindowWidth=["0", "4097"])


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": "128", "WindowWidth": "-1"},
        {"WindowCenter": "40000", "WindowWidth": "100"},
        {"WindowCenter": "-500", "WindowWidth": "100"},
        {"WindowCenter": "2048", "WindowWidth": "1"},
        {"VOILUTSequence": [table(np.arange(100) * 600, 0, 16)]},
    ],
)
def test_what_would_show_an_even_picture_is_not_followed_which_is_noted(elements):
    found, notes = shown(**elements)
    assert np.abs(found - SHOWN).max() <= 1
    assert notes in ([NoteCode.GUESSED], [NoteCode.REPAIRED])


def test_a_window_that_clips_most_of_the_picture_is_followed_and_noted():
    found, notes = shown(WindowCenter="2048", WindowWidth="600")
    assert (found == 0).mean() > 0.35
    assert (found == 255).mean() > 0.35
    assert notes == [NoteCode.UNUSUAL]


def test_a_sigmoid_keeps_the_order_of_values():
    found, notes = shown(WindowCenter="2048", WindowWidth="2000", VOILUTFunction="SIGMOID")
    assert (np.diff(found.ravel()) >= 0).all()
    assert not notes


RAMP = np.arange(4096)


@pytest.mark.parametrize(
    "made",
    [
        table(RAMP * 16, 0, 16),
        table(RAMP, 0, 12),
        table(RAMP // 16, 0, 8),
        table(RAMP // 16, 0, 8, packed=True),
    ],
    ids=["16 bits", "12 bits", "8 bits in 16", "8 bits packed"],
)
@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_tables_are_read_in_every_depth(made, keyword):
    assert_shown(**{keyword: [made]})


def test_a_table_starts_at_the_value_that_it_states_whatever_its_sign():
    signed = STORED.astype(np.int16) - 2048
    for first in (-2048, 65_536 - 2048):
        made = table(RAMP * 16, 0, 16)
        made.LUTDescriptor = [4096, 0, 16]
        made["LUTDescriptor"].VR = "SS" if first < 0 else "US"
        made["LUTDescriptor"].value = [4096, first, 16]
        found, notes = shown(signed, VOILUTSequence=[made])
        assert np.abs(found - SHOWN).max() <= 1
        assert not notes


@pytest.mark.parametrize("padding", [-2000, 63_536])
def test_padding_of_either_sign_is_black_and_counts_for_nothing(padding):
    stored = STORED.astype(np.int16)
    stored[0] = -2000
    found, _ = shown(stored, PixelPaddingValue=padding)
    assert found[0].max() == 0
    assert (found[1:].min(), found[1:].max()) == (0, 255)


def test_a_range_of_padding_is_black():
    found, _ = shown(PixelPaddingValue=0, PixelPaddingRangeLimit=400)
    assert found[STORED <= 400].max() == 0
    with pytest.raises(InvalidInputError, match="nothing but padding"):
        shown(PixelPaddingValue=0, PixelPaddingRangeLimit=5000)


def test_numbers_are_read_whatever_their_form():
    source = pydicom.Dataset()
    source.add_new(0x00281053, "DS", ["2.5", "7"])
    assert number(source, "RescaleSlope") == 2.5
    assert number(source, "RescaleIntercept") is None
    source.add_new(0x00281052, "LO", "no number")
    with collect_notes() as notes:
        assert number(source, "RescaleIntercept") is None
    assert "RescaleIntercept is no number" in next(iter(notes)).text
