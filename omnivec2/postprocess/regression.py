"""Regression: values in the targets' units, of an input or of each of its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, JsonValue

from omnivec2.errors import ModelNotReadyError
from omnivec2.postprocess.base import Array, ExplainableParameters, Postprocessor
from omnivec2.postprocess.number_maps import TargetMap, describe_map
from omnivec2.postprocess.numeric import Floats, checked_output, is_averaged
from omnivec2.spec import HeadSpec, Modality, TaskFamily


class TargetValue(BaseModel):
    """A quantity, its value and its unit."""

    label: str
    value: float
    unit: str


class RegressionParameters(ExplainableParameters):
    """The parameters of regression: none of its own."""


class RegressionPostprocessor(Postprocessor):
    """Makes ``[{"label", "value", "unit"}, …]``, one per target.

    A head that answers with maps gives ``[{"label", "unit", "map", …}, …]`` instead.
    Rows get a list each; with ``form="table"`` and one target they get a number each, as in
    Hugging Face's tabular regression.
    """

    family = TaskFamily.REGRESSION
    parameters_type = RegressionParameters

    def __call__(
        self,
        outputs: Mapping[str, Array],
        context: Mapping[str, Any],
        spec: HeadSpec,
        parameters: RegressionParameters,
    ) -> JsonValue:
        """Make the answer to one input; see the base class."""
        ndim = 4 if _has_maps(spec) else 2
        values = checked_output(outputs, "values", spec, ndim=ndim)
        if values.shape[1] != len(spec.targets):
            raise ModelNotReadyError(
                f"{spec.route} gives {values.shape[1]} values, "
                f"its head spec names {len(spec.targets)} targets"
            )
        if _has_maps(spec):
            size = context["size"]
            maps = zip(values[0], spec.targets, strict=True)
            return [describe_map(array, size, target) for array, target in maps]
        if context.get("form") == "table" and len(spec.targets) == 1:
            return [float(value) for value in values[:, 0]]
        if is_averaged(context, len(values)):
            return _target_values(values.mean(axis=0), spec)
        return [_target_values(row, spec) for row in values]

    def response_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the type of the response body to one input."""
        if _has_maps(spec):
            return cast(type[Any], list[TargetMap])
        if spec.modality is Modality.TABULAR:
            return cast(type[Any], list[list[TargetValue]] | list[float])
        return cast(type[Any], list[TargetValue])


def _has_maps(spec: HeadSpec) -> bool:
    """Whether an answer has a value per pixel: ``values`` (targets, rows, columns)."""
    return any(len(tensor.shape) == 3 for tensor in spec.outputs)


def _target_values(row: Floats, spec: HeadSpec) -> JsonValue:
    return [
        {"label": target.name, "value": float(value), "unit": target.unit}
        for target, value in zip(spec.targets, row, strict=True)
    ]


POSTPROCESSOR = RegressionPostprocessor
