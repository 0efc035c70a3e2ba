"""Gestures and sports by motion sensors, and acts by video and depth, that were not trained on."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from omnivec2.preprocess import Array
from omnivec2.preprocess.imu import Recording
from omnivec2.training.data.base import DataDirectories
from omnivec2.training.evaluation.unseen.unseen_set import UnseenSet, classes, grouped_classes

_WINDOW = 64
_GRAVITY = 9.80665
_FRAMES = 16
_HUPBA = "video_hupba_actions"


def basic_motions(at: DataDirectories) -> UnseenSet:
    """Return recordings of standing, walking, running and badminton by a watch at 10 Hz."""
    return _watch(at, "imu_basicmotions", "BasicMotions, four activities")


def racket_sports(at: DataDirectories) -> UnseenSet:
    """Return strokes of badminton and squash by a watch at 10 Hz."""
    return _watch(at, "imu_racketsports", "RacketSports, four strokes")


def gestures(at: DataDirectories) -> UnseenSet:
    """Return gestures of a hand by its acceleration (uWave), each stretched to one window."""
    parts = [np.load(at.find(f"imu_uwave_gesture/{name}.npz")) for name in ("train", "test")]
    signals = [signal for part in parts for signal in part["x"].astype(np.float32)]
    labels = np.concatenate([part["y"] for part in parts])
    known = np.arange(len(labels)) < len(parts[0]["y"])
    return classes(
        "uWave, eight gestures",
        [Recording(_nine_channels(_stretched(one), np.zeros_like(_stretched(one))))
         for one in signals],
        labels, known,
    )  # fmt: skip


def acts(at: DataDirectories) -> UnseenSet:
    """Return clips of acts of whole bodies; those of one sequence are never compared."""
    folder = at.find(_HUPBA)
    described: Mapping[str, Mapping[str, Any]] = json.loads((folder / "labels.json").read_text())
    clips: list[Array] = []
    names: list[str] = []
    sequences: list[str] = []
    with tarfile.open(folder / "strips_16x112x84.tar") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name in described else None
            if file is None:
                continue
            clips.append(_frames(file.read()))
            names.append(str(described[member.name]["label"]))
            sequences.append(str(described[member.name]["seq"]))
    labels, groups = (np.unique(some, return_inverse=True)[1] for some in (names, sequences))
    return grouped_classes("ChaLearn HuPBA, eleven acts", clips, labels, groups)


def _watch(at: DataDirectories, folder: str, name: str) -> UnseenSet:
    parts = [np.load(at.find(f"{folder}/{part}.npz")) for part in ("train", "test")]
    signals = np.concatenate([part["x"] for part in parts]).astype(np.float32)
    labels = np.unique(np.concatenate([part["y"] for part in parts]), return_inverse=True)[1]
    known = np.arange(len(labels)) < len(parts[0]["y"])
    recordings = [
        Recording(_nine_channels(_stretched(one[:, :3]) / _GRAVITY, _stretched(one[:, 3:])))
        for one in signals
    ]
    return classes(name, recordings, labels, known)


def _stretched(signal: Array) -> Array:
    """Return a signal [n, 3] with the samples of one window, whatever time it takes."""
    places = np.linspace(0, len(signal) - 1, _WINDOW)
    axes = [np.interp(places, np.arange(len(signal)), axis) for axis in signal.T]
    return np.stack(axes, axis=1).astype(np.float32)


def _nine_channels(acceleration: Array, rotation: Array) -> Array:
    """Return acceleration, the same without its mean, and rotation, [n, 9]."""
    moving = acceleration - acceleration.mean(axis=0)
    return np.concatenate([acceleration, moving, rotation], axis=1)


def _frames(data: bytes) -> Array:
    """Return the frames of a strip of pictures side by side, uint8 [16, height, width, 3]."""
    with Image.open(io.BytesIO(data)) as picture:
        strip = np.asarray(picture.convert("RGB"))
    height, width, _ = strip.shape
    return np.ascontiguousarray(strip.reshape(height, _FRAMES, width // _FRAMES, 3).swapaxes(0, 1))
