"""Answers of the data plane, and the time that each of their stages took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omnivec2.preprocess import Array
from service.request_context import REQUEST
from service.runtimes.base import Model


@dataclass
class Timings:
    """Seconds spent per stage, added up over the inputs of a request.

    Written by the event loop's thread only.
    """

    decode: float = 0.0
    preprocess: float = 0.0
    queue: float = 0.0
    compute: float = 0.0
    postprocess: float = 0.0

    def add(self, stage: str, started: float, seconds: float) -> None:
        """Add to a stage, and record it in the request's trace.

        Args:
            stage: The name of one of the fields.
            started: The value of ``time.perf_counter()`` at its start.
            seconds: The time that was spent.
        """
        setattr(self, stage, getattr(self, stage) + seconds)
        if spans := REQUEST.get().spans:
            spans.record_stage(stage, started, seconds)


@dataclass(frozen=True)
class Answer:
    """The body of a response (JSON), the models that gave it, and the time of each stage."""

    body: bytes
    models: Sequence[Model]
    timings: Timings


@dataclass(frozen=True)
class TensorAnswer:
    """Output name -> array (batch, ...), the model that gave them, and the time of each stage."""

    outputs: Mapping[str, Array]
    model: Model
    timings: Timings

    @property
    def nbytes(self) -> int:
        """The bytes of the outputs' values."""
        return sum(array.nbytes for array in self.outputs.values())
