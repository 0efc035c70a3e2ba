from __future__ import annotations

import base64
import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import preprocessor_type
from omnivec2.preprocess.xray import XrayPreprocessor
from omnivec2.spec import Modality
from tests.support.sample_files.radiographs import shown, xray

DATA = Path(__file__).parents[2] / "data" / "xray"
FILES = {
    "chest_normal.dcm": "application/dicom",
    "chest_pneumonia_monochrome1_jpeg2000.dcm": "application/dicom",
    "chest_normal_16bit.png": "image/png",
    "chest_pneumonia.png": "image/png",
    "chest_pneumonia.jpg": "image/jpeg",
}


@pytest.mark.parametrize(("name", "media_type"), FILES.items())
def test_every_accepted_format_is_detected_and_read(name, media_type):
    data = (DATA / name).read_bytes()
    preprocessor = xray()
    assert preprocessor.sniff(data) == media_type
    for declared in (media_type, None):
        prepared = preprocessor.prepare(preprocessor.decode(data, declared))
        (sample,) = prepared.samples
        assert sample["pixels"].shape == preprocessor.inputs[0].shape == (96, 96, 1)
        assert sample["pixels"].dtype == np.uint8
        assert prepared.context == {"size": (112, 112)}


@pytest.mark.parametrize(
    "names",
    [
        ("chest_normal.dcm", "chest_normal_16bit.png"),
        ("chest_pneumonia.png", "chest_pneumonia_monochrome1_jpeg2000.dcm"),
        ("chest_pneumonia.png", "chest_pneumonia.jpg"),
    ],
)
def test_the_container_of_a_picture_makes_no_difference(names):
    preprocessor = xray()
    first, second = (
        preprocessor.prepare(preprocessor.decode((DATA / n).read_bytes())).samples[0]["pixels"]
        for n in names
    )
    assert np.abs(first.astype(int) - second).mean() < 2


def test_a_picture_is_scaled_by_its_own_range():
    picture = np.linspace(50, 150, 96 * 96).reshape(96, 96)
    for native in (picture.astype(np.uint8), picture.astype(np.float32), picture * 100):
        pixels = xray().prepare(native).samples[0]["pixels"]
        assert (pixels.min(), pixels.max()) == (0, 255)


def test_a_picture_of_one_value_becomes_black():
    assert xray().prepare(np.full((9, 9), 77, np.uint8)).samples[0]["pixels"].max() == 0


def test_training_arrays_are_prepared():
    sample = xray().prepare(np.arange(784, dtype=np.uint8).reshape(28, 28)).samples[0]
    assert sample["pixels"].shape == (96, 96, 1)


def test_json_may_be_base64():
    text = base64.b64encode((DATA / "chest_normal.dcm").read_bytes()).decode()
    assert xray().decode_json(text).shape == (112, 112)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.005, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(name, share):
    data = (DATA / name).read_bytes()
    with pytest.raises((UndecodableError, InvalidInputError)):
        xray().decode(data[: int(len(data) * share)])


def test_a_dicom_that_ends_inside_its_pixels_is_undecodable():
    data = (DATA / "chest_normal.dcm").read_bytes()
    with pytest.raises(UndecodableError):
        xray().decode(data[:-100])


@pytest.mark.parametrize("data", [b"", b"no picture", bytes(300), bytes(128) + b"DICM"])
def test_bytes_that_are_no_radiograph_are_refused(data):
    with pytest.raises(InputError):
        xray().decode(data)


def test_other_bytes_than_declared_are_refused():
    data = (DATA / "chest_pneumonia.png").read_bytes()
    with pytest.raises(UndecodableError, match="declared as DICOM, but the bytes are PNG"):
        xray().decode(data, "application/dicom")
    with pytest.raises(UnsupportedMediaTypeError):
        xray().decode(data, "image/tiff")


def test_colour_pictures_become_grey_and_eight_bits_stay():
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 20, 30)).save(file, "PNG")
    assert xray().decode(file.getvalue()).dtype == np.uint8


@pytest.mark.parametrize("array", [np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)])
def test_arrays_that_are_no_grey_pictures_are_invalid(array):
    with pytest.raises(InvalidInputError):
        xray().prepare(array)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("name", FILES)
def test_damaged_bytes_never_raise_anything_but_input_errors(name):
    original = (DATA / name).read_bytes()
    generator = np.random.default_rng(0)
    preprocessor = xray()
    for _ in range(60):
        data = np.frombuffer(original, dtype=np.uint8).copy()
        where = generator.integers(0, min(len(data), 1_500), generator.integers(1, 30))
        data[where] = generator.integers(0, 256, len(where))
        with contextlib.suppress(InputError):
            preprocessor.prepare(preprocessor.decode(data.tobytes()))


def test_the_registry_finds_it():
    assert preprocessor_type(Modality.XRAY) is XrayPreprocessor


def test_a_picture_of_nothing_but_padding_is_invalid():
    with pytest.raises(InvalidInputError, match="nothing but padding"):
        shown(np.full((2, 2), 7, np.uint16), PixelPaddingValue=7)
