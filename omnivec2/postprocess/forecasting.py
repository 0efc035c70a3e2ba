"""Forecasting: the next steps of every series, in the units of the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, Field, JsonValue

from omnivec2.errors import InvalidParameterError, ModelNotReadyError
from omnivec2.postprocess.base import Array, Parameters, Postprocessor
from omnivec2.postprocess.numeric import Floats, checked_output
from omnivec2.spec import HeadSpec, TaskFamily


class SeriesForecast(BaseModel):
    """The next steps of one series."""

    target: str = Field(description="name of the series")
    mean: list[float] = Field(description="expected values, next step first")
    quantiles: dict[str, list[float]] | None = Field(
        default=None, description="quantile -> values; absent if the head has none"
    )


class Forecast(BaseModel):
    """One forecast per series of the input, in its order."""

    predictions: list[SeriesForecast]


class ForecastingParameters(Parameters):
    """The parameter of forecasting: the number of steps."""

    prediction_length: int | None = Field(
        default=None, ge=1, description="number of steps, at most and by default the head's horizon"
    )


class ForecastingPostprocessor(Postprocessor):
    """Makes ``{"predictions": [{"target", "mean", "quantiles"?}, …]}``."""

    family = TaskFamily.FORECASTING
    parameters_type = ForecastingParameters

    def __call__(
        self,
        outputs: Mapping[str, Array],
        context: Mapping[str, Any],
        spec: HeadSpec,
        parameters: ForecastingParameters,
    ) -> JsonValue:
        """Make the answer to one input; see the base class."""
        means = checked_output(outputs, "mean", spec, ndim=2)
        quantiles = checked_output(outputs, "quantiles", spec, ndim=3) if spec.quantiles else None
        if quantiles is not None and quantiles.shape[1] != len(spec.quantiles):
            raise ModelNotReadyError(f"{spec.route} gives {quantiles.shape[1]} quantiles")
        means = _in_units_of_input(means, context)
        if quantiles is not None:
            quantiles = _in_units_of_input(quantiles, context)
        steps = _steps(parameters, spec, means.shape[1])
        names = context.get("names") or _default_names(spec, len(means))
        predictions: list[JsonValue] = []
        for index, name in enumerate(names):
            entry: dict[str, JsonValue] = {"target": str(name), "mean": _list(means[index, :steps])}
            if quantiles is not None:
                # Quantiles estimated one by one may cross; sorting makes them no worse.
                ordered = np.sort(quantiles[index, :, :steps], axis=0)
                rows = zip(sorted(spec.quantiles), ordered, strict=True)
                entry["quantiles"] = {f"{level:g}": _list(row) for level, row in rows}
            predictions.append(entry)
        return {"predictions": predictions}

    def response_schema(self, spec: HeadSpec) -> type[Any]:
        """Return the type of the response body to one input."""
        return Forecast


def _in_units_of_input(values: Floats, context: Mapping[str, Any]) -> Floats:
    """Bring back series that were normalised before the network; their location is in 64 bits."""
    if "scale" not in context:
        return values
    shape = (-1, *(1,) * (values.ndim - 1))
    scale, location = (np.reshape(context[key], shape) for key in ("scale", "location"))
    return np.asarray(values * scale + location, np.float64)


def _steps(parameters: ForecastingParameters, spec: HeadSpec, available: int) -> int:
    horizon = spec.horizon or available
    if horizon > available:
        raise ModelNotReadyError(f"{spec.route} gives {available} of {horizon} steps")
    if parameters.prediction_length is None:
        return horizon
    if parameters.prediction_length > horizon:
        raise InvalidParameterError(
            f"prediction_length must be 1 to {horizon}, the head's horizon, "
            f"got {parameters.prediction_length}",
            field="parameters.prediction_length",
        )
    return parameters.prediction_length


def _default_names(spec: HeadSpec, count: int) -> list[str]:
    named = [target.name for target in spec.targets]
    return named if len(named) == count else [f"series_{index}" for index in range(count)]


def _list(row: Floats) -> list[JsonValue]:
    return [float(value) for value in row]


POSTPROCESSOR = ForecastingPostprocessor
