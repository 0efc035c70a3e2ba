"""Embedding: feature vectors, of length 1 unless requested otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
from pydantic import Field, JsonValue

from omnivec2.errors import InvalidParameterError
from omnivec2.postprocess.base import Array, Parameters, Postprocessor
from omnivec2.postprocess.numeric import checked_output, is_averaged
from omnivec2.spec import HeadSpec, TaskFamily


class EmbeddingParameters(Parameters):
    """Hugging Face's parameters of feature extraction, as far as they apply."""

    normalize: bool | None = Field(
        default=None, description="whether to divide by the L2 norm; default true"
    )
    truncate: bool | None = Field(
        default=None,
        description="false refuses texts that would be cut; accepted for other inputs",
    )
    truncation_direction: Literal["left", "right"] | None = Field(
        default=None,
        description="the side on which texts are cut; only right for other inputs",
    )
    prompt_name: str | None = Field(default=None, description="only null: there are no prompts")
    dimensions: int | None = Field(
        default=None,
        ge=1,
        description="how many of the first numbers of a vector to keep, before it is normalised; a "
        "head is fitted for it if its description says so, others compare less well",
    )
    encoding_format: Literal["float"] | None = Field(default=None, description="only float")


class EmbeddingPostprocessor(Postprocessor):
    """Makes ``[[float, …], …]``: one vector per input, or per row of a table.

    The pixels of a cube and the windows of a recording are averaged before normalising.
    """

    family = TaskFamily.EMBEDDING
    parameters_type = EmbeddingParameters

    def __call__(
        self,
        outputs: Mapping[str, Array],
        context: Mapping[str, Any],
        spec: HeadSpec,
        parameters: EmbeddingParameters,
    ) -> JsonValue:
        """Make the answer to one input, a list of vectors; see the base class."""
        vectors = checked_output(outputs, "embedding", spec, ndim=2)
        _check(parameters, vectors.shape[1])
        if (measured := context.get("measured")) is not None:  # pixels of a cube that hold data
            vectors = vectors[np.asarray(measured).ravel()]
        if "grid" in context or is_averaged(context, len(vectors)):
            vectors = vectors.mean(axis=0, keepdims=True)
        vectors = vectors[:, : parameters.dimensions]
        if parameters.normalize is not False:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.where(lengths > 0.0, lengths, 1.0)
        return cast(JsonValue, vectors.tolist())

    def combine(self, results: Sequence[JsonValue], *, batched: bool, spec: HeadSpec) -> JsonValue:
        """Join the vectors in one flat list, whether a list of inputs was sent or not."""
        return [vector for vectors in results for vector in cast(list[JsonValue], vectors)]

    def response_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the type of the response body to one input."""
        return cast(type[Any], list[list[float]])

    def batch_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the same type: the vectors of all inputs are in one list."""
        return self.response_schema(spec)


def _check(parameters: EmbeddingParameters, size: int) -> None:
    if parameters.prompt_name is not None:
        raise InvalidParameterError(
            "prompt_name must be null: there are no prompts", field="parameters.prompt_name"
        )
    if parameters.truncation_direction == "left":
        raise InvalidParameterError(
            "truncation_direction must be right: of inputs other than texts the end is cut",
            field="parameters.truncation_direction",
        )
    if parameters.dimensions is not None and parameters.dimensions > size:
        raise InvalidParameterError(
            f"dimensions must be at most {size}, the size of the head's vectors, got "
            f"{parameters.dimensions}",
            field="parameters.dimensions",
        )


POSTPROCESSOR = EmbeddingPostprocessor
