from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pyarrow
import pytest
from PIL import Image

from omnivec2.errors import InvalidInputError, InvalidParameterError
from omnivec2.preprocess import preprocessor_type
from omnivec2.spec import Modality
from omnivec2_api.input_values import (
    FileValue,
    JsonInputValue,
    guess_media_type,
    many_inputs,
    read_input,
)

RNG = np.random.default_rng(0)


def decode(modality, value):
    """What the preprocessor of a modality reads of a value."""
    kind = preprocessor_type(Modality(modality))
    read = read_input(modality, value)
    preprocessor = kind(kind.parameters_type())
    if isinstance(read, FileValue):
        media_type = read.media_type if read.media_type in kind.media_types else None
        return preprocessor.decode(read.data, media_type)
    return preprocessor.decode_json(read.value)


def test_a_string_is_a_path_but_of_texts_and_molecules_itself(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"data")
    assert read_input("image", str(path)) == FileValue(b"data", "image/jpeg")
    assert read_input("text", "a film") == JsonInputValue("a film")
    assert read_input("graph", "CCO") == JsonInputValue("CCO")
    assert read_input("image", "data:image/png;base64,xx").value.startswith("data:")


def test_a_path_is_a_file_of_every_modality(tmp_path: Path):
    path = tmp_path / "a.smi"
    path.write_bytes(b"CCO")
    assert read_input("graph", path) == FileValue(b"CCO", "chemical/x-daylight-smiles")


def test_the_name_of_a_file_is_not_taken_for_a_text(tmp_path: Path):
    path = tmp_path / "review.txt"
    path.write_text("good")
    with pytest.raises(InvalidInputError, match=r"pathlib\.Path"):
        read_input("text", str(path))


def test_a_file_that_is_missing_is_named():
    with pytest.raises(InvalidInputError, match=r"nowhere\.jpg: No such file"):
        read_input("image", "nowhere.jpg")


def test_bytes_and_open_files_are_contents(tmp_path: Path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"data")
    assert read_input("audio", b"data") == FileValue(b"data")
    assert read_input("audio", io.BytesIO(b"data")) == FileValue(b"data")
    with path.open("rb") as file:
        assert read_input("audio", file) == FileValue(b"data", "audio/x-wav")
    with path.open() as file, pytest.raises(InvalidInputError, match="binary"):
        read_input("audio", file)


def test_a_picture_and_its_array_are_the_same_pixels():
    pixels = RNG.integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(decode("image", pixels).pixels, pixels)
    assert np.array_equal(decode("image", Image.fromarray(pixels)).pixels, pixels)


def test_the_orientation_of_a_picture_is_kept():
    pixels = RNG.integers(0, 256, (20, 30, 3), np.uint8)
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(pixels).save(stream, format="PNG", exif=exif)
    with Image.open(stream) as picture:
        assert decode("image", picture).size == (20, 30)


def test_grey_values_of_16_bits_and_temperatures_are_kept():
    grey = RNG.integers(0, 2**16, (20, 30), np.uint16)
    with Image.open(io.BytesIO(read_input("xray", grey).data)) as picture:
        assert np.array_equal(picture, grey)
    warm = RNG.normal(290, 5, (20, 30))
    assert np.allclose(decode("infrared", warm), warm.astype(np.float32))


def test_an_array_of_another_shape_is_refused():
    with pytest.raises(InvalidInputError, match=r"uint8 \(height, width, 3\).*float64 \(3, 4, 5\)"):
        read_input("image", np.zeros((3, 4, 5)))
    with pytest.raises(InvalidInputError, match="frames, height, width"):
        read_input("video", np.zeros((3, 4, 5), np.uint8))


def test_frames_become_a_clip_without_loss():
    frames = RNG.integers(0, 256, (8, 32, 48, 3), np.uint8)
    with av.open(io.BytesIO(read_input("video", frames).data)) as clip:
        decoded = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert np.array_equal(decoded, frames)
    assert len(decode("video", frames).frames)


def test_a_sound_keeps_its_sampling_rate():
    samples = np.sin(np.arange(8000) / 20).astype(np.float32)
    sound = decode("audio", {"array": samples, "sampling_rate": 8000})
    assert sound[1] == 8000
    assert np.allclose(sound[0], samples)


def test_points_depth_and_cubes_go_as_npy():
    points = RNG.normal(0, 1, (100, 3))
    assert np.array_equal(np.load(io.BytesIO(read_input("pointcloud", points).data)), points)
    assert read_input("depth", np.ones((4, 5), np.float32)).media_type == "application/x-npy"


def test_numbers_of_series_go_as_json():
    assert read_input("timeseries", np.array([1.0, np.nan, 2.0])).value == [1.0, None, 2.0]
    record = {"age": np.int64(3), "name": "x", "score": float("nan")}
    assert read_input("tabular", record).value == {"age": 3, "name": "x", "score": None}


def test_a_data_frame_goes_as_parquet():
    table = pyarrow.table({"age": [40.0, 20.0], "workclass": ["Private", "State-gov"]})
    read = read_input("tabular", table)
    assert read.media_type == "application/vnd.apache.parquet"
    assert read.data.startswith(b"PAR1")


def test_what_no_head_takes_is_refused():
    with pytest.raises(InvalidInputError, match="got object"):
        read_input("image", object())
    with pytest.raises(InvalidInputError, match="got object"):
        read_input("tabular", {"a": object()})


def test_a_list_of_files_is_many_inputs(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"x")
    for files in ([tmp_path / "a.png"], [str(tmp_path / "a.png")] * 2):
        with pytest.raises(InvalidInputError, match="predict_batch answers many"):
            read_input("image", files)
    assert many_inputs(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    "one", ["a text", b"a file", Path("a.png"), {"age": 3}, pyarrow.table({"age": [3]})]
)
def test_one_input_is_no_batch(one: object):
    with pytest.raises(InvalidParameterError, match="expected several inputs"):
        many_inputs(one)


def test_media_types_of_scientific_files_are_known():
    assert guess_media_type("A.NPY") == "application/x-npy"
    assert guess_media_type("a.jpg") == "image/jpeg"
    assert guess_media_type("a.unknown") is None
