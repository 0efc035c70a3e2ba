"""Pressure readings, one number a line -> the newest readings of a fixed number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.base import Array, Parameters, Prepared, Preprocessor
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec


class ToyParameters(Parameters):
    """Frozen parameters of the toy preprocessor."""

    readings: int = 16


class ToyPreprocessor(Preprocessor[ToyParameters, Array]):
    """Text with one number a line, or a JSON list of numbers -> ``pressure`` (readings,)."""

    modality = Modality.TOY
    media_types: ClassVar[Mapping[str, str]] = {"text/plain": "text"}
    parameters_type = ToyParameters
    default_limits = Limits(bytes=2**16, rows=10_000)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """``pressure`` float32 (readings,), in hPa."""
        shape = (self.parameters.readings,)
        return (TensorSpec(name="pressure", dtype="float32", shape=shape),)

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw readings around the pressure at sea level."""
        del lengths
        return {"pressure": rng.normal(1013, 10, (batch, *head.inputs[0].shape))}

    @property
    def json_example(self) -> JsonValue:
        """A pressure that rises."""
        return [1000.0 + number for number in range(self.parameters.readings)]

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """Split a list of lists; a list of numbers is a single input."""
        if isinstance(value, list) and value and all(isinstance(each, list) for each in value):
            return list(value)
        return None

    def decode(self, data: bytes, media_type: str | None = None) -> Array:
        """Read the numbers of a text.

        Raises:
            UndecodableError: A line is not a number.
        """
        try:
            return np.array([float(line) for line in data.decode().split()])
        except ValueError as error:
            raise UndecodableError(f"expected one number a line: {error}") from error

    def decode_json(self, value: JsonValue) -> Array:
        """Read a list of numbers.

        Raises:
            InvalidInputError: The value is something else.
        """
        try:
            return np.array(value, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidInputError("expected a list of numbers", field="inputs") from error

    def prepare(self, native: Array) -> Prepared:
        """Keep the newest readings.

        Raises:
            InvalidInputError: There are too few, or one is not finite.
        """
        count = self.parameters.readings
        if native.ndim != 1 or len(native) < count or not np.isfinite(native).all():
            raise InvalidInputError(f"expected at least {count} finite numbers", field="inputs")
        return Prepared([{"pressure": native[-count:].astype(np.float32)}])


PREPROCESSOR = ToyPreprocessor
