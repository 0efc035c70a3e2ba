"""A preprocessor whose decoder does what a file says: crash, hang, or take all memory."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from typing import Any, ClassVar
from weakref import WeakSet

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array, Parameters, Prepared, Preprocessor
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import SourceOptions, stated
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec


class HostileOptions(SourceOptions):
    """What can be stated about an input."""

    factor: int = 1


class HostileParameters(Parameters):
    """How many samples an input has."""

    samples: int = 1


class HostilePreprocessor(Preprocessor[HostileParameters, Array]):
    """Decodes the numbers of its bytes, unless they name a disaster."""

    modality = Modality.IMAGE
    media_types = {"image/png": "PNG"}  # noqa: RUF012 -- as every preprocessor declares it
    parameters_type = HostileParameters
    source_options_type = HostileOptions
    default_limits = Limits()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return ()

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        return {}

    def decode(self, data: bytes, media_type: str | None = None) -> Array:
        DISASTERS.get(data, lambda: None)()
        note(NoteCode.IGNORED, "the colour is not used", field="colour", count=2)
        return np.frombuffer(data, np.uint8) * stated(HostileOptions).factor

    def prepare(self, native: Array) -> Prepared:
        samples = [{"numbers": native + index} for index in range(self.parameters.samples)]
        context = {"size": (len(native), 1), "first": native[:1]}
        unsendable = UNSENDABLE.get(native.tobytes())
        return Prepared(samples, context if unsendable is None else {**context, "more": unsendable})


def _crash() -> None:
    ctypes.string_at(0)


def _hang() -> None:
    time.sleep(3600)


def _take_memory() -> None:
    taken: list[Any] = []
    while True:
        taken.append(np.ones(2**24))


def _refuse() -> None:
    raise InvalidInputError("expected a colour", field="inputs.colour", known=["red"])


def _fail() -> None:
    raise RuntimeError("a defect")


class _Frame:
    """A frame of a codec that refers to itself."""

    alive: ClassVar[WeakSet[_Frame]] = WeakSet()

    def __init__(self) -> None:
        self.owner = self
        self.alive.add(self)


def _leave_frames() -> None:
    if len(_Frame.alive) > 1:
        raise RuntimeError(f"{len(_Frame.alive)} frames of earlier inputs are in memory")
    for _ in range(2):
        _Frame()


def _damage() -> None:
    """Do what costs the process only at its next input, as a write beyond a buffer does."""
    for name in (b"abc", b"fail if damaged"):
        DISASTERS[name] = _crash if name == b"abc" else _fail


DISASTERS = {
    b"damage": _damage,
    b"crash": _crash,
    b"hang": _hang,
    b"take memory": _take_memory,
    b"refuse": _refuse,
    b"fail": _fail,
    b"leave frames": _leave_frames,
}

UNSENDABLE = {
    b"a set": {1, 2},
    b"dates": np.array(["2024-01-31"], np.datetime64),
}
"""Values of a context that no message can hold, by the bytes of a file that gets them."""
