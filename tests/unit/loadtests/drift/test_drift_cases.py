from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from loadtests.drift.drift_cases import (
    another_camera,
    blurred_pictures,
    shuffled_columns,
    slow_audio,
)
from tests.support.data_sets import tiny_data


def picture(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_pictures_are_blurred_and_keep_their_size_and_labels(tmp_path: Path) -> None:
    tiny_data.cifar10(tmp_path, train_per_class=1)
    case = blurred_pictures(tmp_path, 6)
    assert len(case.usual) == len(case.labels) == len(case.others["blurred"]) == 6
    assert len(set(case.labels)) == 6
    sharp, blurred = (
        np.asarray(picture(texts[0])).astype(float)
        for texts in (case.usual, case.others["blurred"])
    )
    assert sharp.shape == blurred.shape == (32, 32, 3)
    assert np.abs(np.diff(blurred, axis=0)).mean() < np.abs(np.diff(sharp, axis=0)).mean() / 2


def test_clips_of_the_test_fold_are_resampled(tmp_path: Path) -> None:
    tiny_data.esc10(tmp_path)
    case = slow_audio(tmp_path, 4)
    assert len(case.usual) == 4
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(case.others["8 kHz"][0])))
    assert rate == 8000
    assert len(samples) == 4000


def test_columns_are_shuffled_and_exchanged(tmp_path: Path) -> None:
    tiny_data.adult(tmp_path)
    case = shuffled_columns(tmp_path, 8)
    first = case.usual[0]
    assert first["workclass"] == "State-gov"
    assert first["occupation"] is None
    assert not {"fnlwgt", "income"} & first.keys()
    hours = [row["hours-per-week"] for row in case.usual]
    shuffled = [row["hours-per-week"] for row in case.others["each column shuffled"]]
    assert sorted(shuffled) == sorted(hours)
    assert shuffled != hours
    exchanged = case.others["columns of numbers exchanged"][0]
    assert exchanged["age"] == first["education-num"]
    assert exchanged["workclass"] == first["workclass"]
    assert json.dumps(case.others)


def test_thermal_pictures_come_from_other_cameras(tmp_path: Path) -> None:
    tiny_data.hituav(tmp_path)
    pixels = np.zeros((5, 40, 24), np.uint8)
    for folder in ("infrared_solarmodules", "infrared_roadscene_pairs"):
        (tmp_path / folder).mkdir()
    np.savez(tmp_path / "infrared_solarmodules" / "solar_modules_40x24.npz", test_images=pixels)
    file = io.BytesIO()
    Image.fromarray(pixels[0]).save(file, "JPEG")
    with tarfile.open(tmp_path / "infrared_roadscene_pairs" / "pairs160.tar", "w") as archive:
        for kind in ("infrared", "visible"):
            member = tarfile.TarInfo(f"train/{kind}/FLIR_1.jpg")
            member.size = len(file.getvalue())
            archive.addfile(member, io.BytesIO(file.getvalue()))
    case = another_camera(tmp_path, 3)
    assert {kind: len(inputs) for kind, inputs in case.others.items()} == {
        "a car's camera": 1,
        "solar modules": 3,
    }
    assert picture(case.usual[0]).size == (32, 32)
    assert picture(case.others["solar modules"][0]).size == (24, 40)
