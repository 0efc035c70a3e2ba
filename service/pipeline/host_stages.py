"""The stages of one input that run on the host: plain functions that can run in a thread."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, JsonValue, ValidationError

from omnivec2.canary.canary_state import base_spec
from omnivec2.errors import (
    InputError,
    InvalidInputError,
    InvalidParameterError,
    NotedInputError,
    TooLargeError,
)
from omnivec2.postprocess.base import Parameters, Postprocessor
from omnivec2.postprocess.softening import soften
from omnivec2.preprocess import Array, Prepared, Preprocessor, Sample, collate
from omnivec2.preprocess.formats.guards.misplaced_content import decode_file, decode_value
from omnivec2.preprocess.notes import Note, collect_notes
from omnivec2.preprocess.source_options import SourceOptions, state
from omnivec2.spec import HeadSpec, TaskFamily
from service.pipeline.inline_costs import InlineCosts
from service.runtimes.base import Model

ModelT = TypeVar("ModelT", bound=BaseModel)

# Families whose post-processing takes a few microseconds per value. Handing it to a thread
# would take longer than the work; the others draw masks at the size of the input.
_CHEAP_FAMILIES = frozenset(
    {TaskFamily.CLASSIFICATION, TaskFamily.REGRESSION, TaskFamily.EMBEDDING}
)
_CHEAP_VALUES = 2048

_MOST_SLICES = 64
"""The most slices of ``limits.inputs`` in one request: its deadline and fairness to others allow
for no more."""


@dataclass(frozen=True)
class FileInput:
    """One input as a file: its bytes, and their content type if the caller named it."""

    data: bytes
    media_type: str | None = None

    @property
    def nbytes(self) -> int:
        """The bytes of the file."""
        return len(self.data)

    @property
    def content(self) -> bytes:
        """The file."""
        return self.data


@dataclass(frozen=True)
class JsonInput:
    """One input as a JSON value, and at most how many bytes of JSON it was."""

    value: JsonValue
    nbytes: int = field(default=sys.maxsize, compare=False)

    @property
    def content(self) -> JsonValue:
        """The value."""
        return self.value


RawInput = FileInput | JsonInput


@dataclass(frozen=True)
class Head:
    """A loaded model with the pre-processor and post-processor that its spec names.

    Attributes:
        model: The model.
        preprocessor: The pre-processor.
        postprocessor: The post-processor of the family.
        costs: The costs of preparing its inputs, as measured so far.
    """

    model: Model
    preprocessor: Preprocessor[Any, Any]
    postprocessor: Postprocessor
    costs: InlineCosts = field(default_factory=InlineCosts, compare=False, repr=False)

    @property
    def spec(self) -> HeadSpec:
        """The model's head spec."""
        return self.model.spec


class CandidateHead(Head):
    """A new version of a head beside the one that is served: it answers for the same task."""

    @cached_property
    def spec(self) -> HeadSpec:
        """The model's head spec, with the task that it answers for."""
        return base_spec(self.model.spec)


@dataclass
class PreparedInput:
    """An input whose samples are ready for the network.

    Attributes:
        prepared: The samples, and what post-processing must know of the input.
        batch: All samples in one batch; None if they are too many for one.
        decode_seconds: The time to decode the input.
        preprocess_seconds: The time to make samples of it, and a batch of them.
        started: The value of ``time.perf_counter()`` when decoding began.
        notes: The remarks on what was guessed or left out.
    """

    prepared: Prepared
    batch: Mapping[str, Array] | None
    decode_seconds: float
    preprocess_seconds: float
    started: float
    notes: Sequence[Note] = ()


def check_parameters(
    head: Head, parameters: Mapping[str, JsonValue]
) -> tuple[Any, SourceOptions | None]:
    """Validate a request's parameters: those of the family, and what they state of the input.

    Returns:
        The family's parameters, and what is stated of the input; None if nothing is.

    Raises:
        InvalidParameterError: One is unknown or of the wrong kind; it is named.
    """
    family_kind = head.postprocessor.parameters_type
    source_kind = head.preprocessor.source_options_type
    if not parameters:
        return _default_parameters(family_kind), None
    of_source = {k: v for k, v in parameters.items() if k in source_kind.model_fields}
    of_family = {k: v for k, v in parameters.items() if k not in of_source}
    known = sorted({*family_kind.model_fields, *source_kind.model_fields})
    source = _validate(source_kind, of_source, known) if of_source else None
    return _validate(family_kind, of_family, known), source


def _validate(
    kind: type[ModelT], parameters: Mapping[str, JsonValue], known: Sequence[str]
) -> ModelT:
    try:
        return kind.model_validate(parameters)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(map(str, first["loc"])) or "parameters"
        if first["type"] == "extra_forbidden":
            message = f"unknown parameter {name!r}; known are {', '.join(known) or 'none'}"
            raise InvalidParameterError(message, field=f"parameters.{name}", known=known) from error
        raise InvalidParameterError(
            f"parameter {name!r}: {first['msg'].lower()}", field=f"parameters.{name}"
        ) from error


@cache
def _default_parameters(kind: type[Parameters]) -> Parameters:
    """Return the parameters of a request that names none; frozen, so that all can share them."""
    return kind.model_validate({})


def name_input(error: InputError, index: int) -> None:
    """Let an error name the input of several that it is about, unless it names a parameter."""
    if not isinstance(error, InvalidParameterError | NotedInputError):
        error.field = f"inputs[{index}]{(error.field or '').removeprefix('inputs')}"


def check_count(count: int, head: Head) -> None:
    """Refuse a request of no inputs, or of more than the limit or than all slices may have.

    Raises:
        InvalidInputError: There is none.
        TooLargeError: There are too many.
    """
    if count == 0:
        raise InvalidInputError("expected at least one input, got none", field="inputs")
    slices = _MOST_SLICES if head.preprocessor.answers_in_slices else 1
    most = head.spec.limits.inputs * slices
    if count > most:
        raise TooLargeError(
            f"{count:,} inputs in one request, at most {most:,} are taken", field="inputs"
        )


def prepare(
    preprocessor: Preprocessor[Any, Any],
    raw: RawInput,
    max_batch_size: int,
    source: SourceOptions | None = None,
) -> PreparedInput:
    """Decode and prepare one input; make a batch of it right away if it is small.

    Args:
        preprocessor: The preprocessor.
        raw: The input.
        max_batch_size: The most samples that are made into one batch.
        source: The statements of the caller on the input.
    """
    with state(source), collect_notes() as notes:
        prepared = _prepare(preprocessor, raw, max_batch_size)
    prepared.notes = tuple(notes)
    return prepared


def _prepare(
    preprocessor: Preprocessor[Any, Any], raw: RawInput, max_batch_size: int
) -> PreparedInput:
    started = time.perf_counter()
    if isinstance(raw, FileInput):
        native = decode_file(preprocessor, raw.data, raw.media_type)
    else:
        native = decode_value(preprocessor, raw.value)
    decoded = time.perf_counter()
    prepared = preprocessor.prepare(native)
    count = len(prepared.samples)
    if count == 0:
        raise InvalidInputError("the input holds no samples", field="inputs")
    small = count <= max_batch_size
    batch = collate_range(prepared.samples, 0, count) if small else None
    return PreparedInput(prepared, batch, decoded - started, time.perf_counter() - decoded, started)


def collate_range(samples: Sequence[Sample], start: int, stop: int) -> dict[str, Array]:
    """Return a batch of some of the samples; a lazy sequence makes only those."""
    return collate([samples[index] for index in range(start, stop)])


def postprocess(
    head: Head,
    outputs: Mapping[str, Array],
    context: Mapping[str, Any],
    parameters: Any,
    ceilings: npt.NDArray[np.float64] | None = None,
) -> tuple[JsonValue, float]:
    """Return the answer to one input, and the seconds that it took.

    Args:
        head: The head.
        outputs: Its outputs: name -> array (rows, ...).
        context: The facts that its pre-processor knows of the input.
        parameters: The parameters of its family.
        ceilings: The highest score of each row of an input in doubt; None for all others.
    """
    started = time.perf_counter()
    if ceilings is not None:
        outputs = soften(outputs, ceilings, head.spec, parameters)
    result = head.postprocessor(outputs, context, head.spec, parameters)
    return result, time.perf_counter() - started


def is_cheap_to_prepare(head: Head, raw: RawInput) -> bool:
    """Whether decoding and preparing takes less time than handing it to a thread would.

    Never for what a codec expands: its size says nothing.
    """
    return not head.preprocessor.may_expand(raw.content) and head.costs.are_small(raw.nbytes)


def is_cheap_to_postprocess(head: Head, outputs: Mapping[str, Array]) -> bool:
    """Whether post-processing takes less time than handing it to a thread would."""
    values = sum(array.size for array in outputs.values())
    return head.spec.family in _CHEAP_FAMILIES and values <= _CHEAP_VALUES


def check_finite(outputs: Mapping[str, Array]) -> None:
    """Refuse outputs that are not finite: legal but extreme values can overflow in the network.

    Raises:
        InvalidInputError: A value is infinite or not a number.
    """
    for array in outputs.values():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InvalidInputError(
                "the network gives no finite answer: values of the input are far outside "
                "the range it was trained on",
                field="inputs",
            )
