"""A tiny classifier in NumPy with the gate of its answers, and faults to inject into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from omnivec2.accuracy_gate import TOLERANCES, Gate
from omnivec2.spec import HeadSpec, TaskFamily
from tests.support.model_repositories.tiny_models import classification

Weights = list[np.ndarray]
ROWS = 16
SPEC: HeadSpec = classification("imu/activity", "walking", "sitting", "lying")


def make_weights(layers: int = 6, width: int = 32) -> Weights:
    """Weights of some layers of tanh over the 64 x 9 numbers of a recording."""
    rng = np.random.default_rng(0)
    sizes = [64 * 9, *[width] * (layers - 1), 3]
    return [
        rng.normal(0, 2.5 / np.sqrt(before), (before, after)).astype(np.float32)
        for before, after in pairwise(sizes)
    ]


def runner(weights: Weights) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """A function that runs the classifier."""

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        x = inputs["signal"].reshape(len(inputs["signal"]), -1)
        for weight in weights[:-1]:
            x = np.tanh(x @ weight)
        return {"logits": x @ weights[-1]}

    return run


def make_gate(weights: Weights, rows: int = ROWS) -> Gate:
    """The gate with the answers of these weights."""
    signal = np.random.default_rng(1).normal(size=(rows, 64, 9)).astype(np.float32)
    inputs = {"signal": signal}
    return Gate(inputs, runner(weights)(inputs), TOLERANCES[TaskFamily.CLASSIFICATION])


def in_bfloat16(weights: Weights) -> Weights:
    """The weights as an engine that computes in bfloat16 rounds them."""
    bits = [weight.view(np.uint32) for weight in weights]
    return [((b + 0x8000) & np.uint32(0xFFFF0000)).view(np.float32) for b in bits]


def with_swapped_channels(weights: Weights) -> Weights:
    """The weights with two channels between two layers in each other's place."""
    changed = [weight.copy() for weight in weights]
    changed[1][[0, 1]] = changed[1][[1, 0]]
    return changed


def with_noise(weights: Weights, share: float = 0.05) -> Weights:
    """The weights with noise of a share of their spread."""
    rng = np.random.default_rng(2)
    return [w + (share * w.std() * rng.normal(size=w.shape)).astype(np.float32) for w in weights]


def with_wrong_scale(weights: Weights) -> Weights:
    """The weights with one layer whose scale is twice as large, as one of 255 steps is for 127."""
    return [weights[0], weights[1] * np.float32(2), *weights[2:]]
