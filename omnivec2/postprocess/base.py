"""What every post-processor shares: arrays in, the answer's JSON value out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, JsonValue

from omnivec2.arrays import Array as Array  # noqa: PLC0414 (exported from here too)
from omnivec2.generation import SearchOptions
from omnivec2.spec import HeadSpec, TaskFamily


class Parameters(BaseModel):
    """Base of a family's request parameters; unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Postprocessor(ABC):
    """Turns a head's outputs into the answer people's tools understand.

    Class attributes:
        family: the task family it serves.
        parameters_type: pydantic model of the request's ``parameters``.
        response_type: type of the answer to one input, for OpenAPI.
    """

    family: ClassVar[TaskFamily]
    parameters_type: ClassVar[type[Parameters]]

    @abstractmethod
    def __call__(
        self,
        outputs: Mapping[str, Array],
        context: Mapping[str, Any],
        spec: HeadSpec,
        parameters: Any,
    ) -> JsonValue:
        """The answer to one input.

        Args:
            outputs: name -> array (samples, ...), all samples of this input.
            context: ``Prepared.context`` of this input.
            spec: the head's spec (labels, targets, units).
            parameters: an instance of ``parameters_type``.

        Raises:
            InvalidParameterError: a parameter does not fit this head.
        """

    def search_options(self, spec: HeadSpec, parameters: Any) -> SearchOptions:
        """What is searched for where the head writes text: the head's own, unless overridden.

        Raises:
            InvalidParameterError: a parameter asks for more than the head can.
        """
        assert spec.generation is not None, f"{spec.route} writes no text"
        return SearchOptions.of(spec.generation)

    def combine(self, results: Sequence[JsonValue], *, batched: bool, spec: HeadSpec) -> JsonValue:
        """The response body for all inputs of a request.

        Args:
            results: one answer per input, in the order of the inputs.
            batched: whether the caller sent a list of inputs.
            spec: the head's spec.
        """
        return list(results) if batched else results[0]

    @abstractmethod
    def response_schema(self, spec: HeadSpec) -> type[Any]:
        """Type of the response body to one input, for the OpenAPI document."""

    def batch_schema(self, spec: HeadSpec) -> type[Any]:
        """Type of the response body to a list of inputs."""
        return cast(type[Any], list[self.response_schema(spec)])  # type: ignore[misc]
