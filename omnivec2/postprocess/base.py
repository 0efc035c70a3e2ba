"""The base class of the postprocessors: arrays in, the answer's JSON value out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from omnivec2.arrays import Array as Array  # noqa: PLC0414 (exported from here too)
from omnivec2.generation import SearchOptions
from omnivec2.spec import HeadSpec, TaskFamily


class Parameters(BaseModel):
    """The base class of a family's request parameters; unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExplainableParameters(Parameters):
    """The parameters of families whose answers can be explained."""

    explain: bool | None = Field(
        default=None,
        description="whether to say which parts of the input carried the answer; it is then "
        '{"answer": …, "explanations": […]}',
    )


class Postprocessor(ABC):
    """Converts a head's outputs into an answer in Hugging Face's form for the task.

    Class attributes:
        family: The task family it serves.
        parameters_type: The pydantic model of the request's ``parameters``.
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
        """Make the answer to one input.

        Args:
            outputs: The name -> array (samples, ...) of each output, all samples of this input.
            context: The ``Prepared.context`` of this input.
            spec: The head's spec (labels, targets, units).
            parameters: An instance of ``parameters_type``.

        Raises:
            InvalidParameterError: a parameter does not fit this head.
        """

    def search_options(self, spec: HeadSpec, parameters: Any) -> SearchOptions:
        """Return the options of the search in a head that writes text: the head's own defaults.

        Raises:
            InvalidParameterError: a parameter is beyond the head's maximum.
        """
        assert spec.generation is not None, f"{spec.route} writes no text"
        return SearchOptions.of(spec.generation)

    def combine(self, results: Sequence[JsonValue], *, batched: bool, spec: HeadSpec) -> JsonValue:
        """Make the response body for all inputs of a request.

        Args:
            results: One answer per input, in the order of the inputs.
            batched: Whether the caller sent a list of inputs.
            spec: The head's spec.
        """
        return list(results) if batched else results[0]

    @abstractmethod
    def response_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the type of the response body to one input, for the OpenAPI document."""

    def batch_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the type of the response body to a list of inputs."""
        return cast(type[Any], list[self.response_schema(spec)])  # type: ignore[misc]
