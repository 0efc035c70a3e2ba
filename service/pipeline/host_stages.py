"""The stages of one input that run on the host: plain functions, to be called in a thread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import JsonValue, ValidationError

from omnivec2.errors import InvalidInputError, InvalidParameterError, TooLargeError
from omnivec2.postprocess.base import Postprocessor
from omnivec2.preprocess import Array, Prepared, Preprocessor, Sample, collate
from omnivec2.spec import HeadSpec, TaskFamily
from service.runtimes.base import Model

# Families whose post-processing is a few microseconds per value. Handing it to a thread
# would cost more than the work; the others draw masks at the size of the input.
_QUICK_FAMILIES = frozenset(
    {TaskFamily.CLASSIFICATION, TaskFamily.REGRESSION, TaskFamily.EMBEDDING}
)
_QUICK_VALUES = 2048


@dataclass(frozen=True)
class FileInput:
    """One input as a file: its bytes, and their content type if the caller named it."""

    data: bytes
    media_type: str | None = None


@dataclass(frozen=True)
class JsonInput:
    """One input as a JSON value."""

    value: JsonValue


RawInput = FileInput | JsonInput


@dataclass(frozen=True)
class Head:
    """A loaded model with the code that its spec asks for."""

    model: Model
    preprocessor: Preprocessor[Any, Any]
    postprocessor: Postprocessor

    @property
    def spec(self) -> HeadSpec:
        """The model's head spec."""
        return self.model.spec


@dataclass
class Ready:
    """An input whose samples wait for the network.

    Attributes:
        started: ``time.perf_counter()`` when it began to be decoded.
    """

    prepared: Prepared
    batch: Mapping[str, Array] | None
    decode_seconds: float
    preprocess_seconds: float
    started: float


def check_parameters(postprocessor: Postprocessor, parameters: Mapping[str, JsonValue]) -> Any:
    """Validate a request's parameters against their family.

    Raises:
        InvalidParameterError: one is unknown or of the wrong kind; it is named.
    """
    kind = postprocessor.parameters_type
    try:
        return kind.model_validate(parameters)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(map(str, first["loc"])) or "parameters"
        known = sorted(kind.model_fields)
        if first["type"] == "extra_forbidden":
            message = f"unknown parameter {name!r}; known are {', '.join(known) or 'none'}"
            raise InvalidParameterError(message, field=f"parameters.{name}", known=known) from error
        raise InvalidParameterError(
            f"parameter {name!r}: {first['msg'].lower()}", field=f"parameters.{name}"
        ) from error


def check_count(count: int, spec: HeadSpec) -> None:
    """Refuse a request of no inputs or of more than the limit.

    Raises:
        InvalidInputError: there is none.
        TooLargeError: there are too many.
    """
    if count == 0:
        raise InvalidInputError("expected at least one input, got none", field="inputs")
    if count > spec.limits.inputs:
        raise TooLargeError(
            f"{count:,} inputs in one request, at most {spec.limits.inputs:,} are taken",
            field="inputs",
        )


def prepare(preprocessor: Preprocessor[Any, Any], raw: RawInput, max_batch_size: int) -> Ready:
    """Decode and prepare one input; a small one is made into a batch right away."""
    started = time.perf_counter()
    if isinstance(raw, FileInput):
        native = preprocessor.decode(raw.data, raw.media_type)
    else:
        native = preprocessor.decode_json(raw.value)
    decoded = time.perf_counter()
    prepared = preprocessor.prepare(native)
    count = len(prepared.samples)
    if count == 0:
        raise InvalidInputError("the input holds no samples", field="inputs")
    small = count <= max_batch_size
    batch = collate_range(prepared.samples, 0, count) if small else None
    return Ready(prepared, batch, decoded - started, time.perf_counter() - decoded, started)


def collate_range(samples: Sequence[Sample], start: int, stop: int) -> dict[str, Array]:
    """A batch of some of the samples; a lazy sequence makes only those."""
    return collate([samples[index] for index in range(start, stop)])


def postprocess(
    head: Head, outputs: Mapping[str, Array], context: Mapping[str, Any], parameters: Any
) -> tuple[JsonValue, float]:
    """The answer to one input, and the seconds it took."""
    started = time.perf_counter()
    result = head.postprocessor(outputs, context, head.spec, parameters)
    return result, time.perf_counter() - started


def is_quick(head: Head, outputs: Mapping[str, Array]) -> bool:
    """Whether post-processing may run in the event loop."""
    values = sum(array.size for array in outputs.values())
    return head.spec.family in _QUICK_FAMILIES and values <= _QUICK_VALUES


def check_finite(outputs: Mapping[str, Array]) -> None:
    """Extreme but legal values can overflow inside the network; that is no answer."""
    for array in outputs.values():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InvalidInputError(
                "the network gives no finite answer: values of the input are far outside "
                "the range it was trained on",
                field="inputs",
            )
