"""The operations of the OpenAPI document that do not depend on a head.

FastAPI knows their paths and parameters; failures and the names of loaded models are added
here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omnivec2 import errors
from service.errors import status_of
from service.http.forms.content_type import JSON
from service.oip.tensors import DATATYPES
from service.pipeline.host_stages import Head

Json = dict[str, Any]
Failures = Callable[[Sequence[type[errors.OmniVecError]]], Json]

_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
"""FastAPI's schemas of failures, which this service answers in another form."""

_MODEL_FREE_PATHS = ("/healthz", "/metrics", "/v2", "/v2/health/live")
"""Paths that need no model."""

_FEEDBACK_FAILURES = (
    errors.UnknownRequestError,
    errors.FeedbackGivenError,
    errors.TooLargeError,
    errors.InvalidInputError,
    errors.ModelNotReadyError,
)


def complete(document: Json, heads: Mapping[str, Head], failures: Failures) -> None:
    """Add failures, names of loaded models and the example of tensors.

    Args:
        document: The document, with the routes that FastAPI found.
        heads: The loaded heads by route.
        failures: A callback that returns the responses to given errors, by status.
    """
    for path, item in document["paths"].items():
        for operation in item.values():
            operation["responses"].pop(str(int(status_of(errors.InputError))), None)
            operation["responses"].update(failures(_failures_of(path)))
            for parameter in operation.get("parameters", ()):
                _name_loaded(parameter, heads)
    for name in _UNUSED_SCHEMAS:
        document.get("components", {}).get("schemas", {}).pop(name, None)
    if metrics := document["paths"].get("/metrics"):
        metrics["get"]["responses"]["200"]["content"] = {
            "text/plain": {"schema": {"type": "string"}}
        }


def add_tensor_example(operation: Json, heads: Mapping[str, Head]) -> None:
    """Add an example request: zeros for the model with the fewest values."""
    fixed = [h.spec for h in heads.values() if all(min(t.shape) > 0 for t in h.spec.inputs)]
    if not fixed:
        return
    spec = min(fixed, key=lambda spec: sum(math.prod(t.shape) for t in spec.inputs))
    inputs = [
        {
            "name": tensor.name,
            "datatype": DATATYPES[tensor.dtype],
            "shape": [1, *tensor.shape],
            "data": [0] * math.prod(tensor.shape),
        }
        for tensor in spec.inputs
    ]
    (name,) = (p for p in operation["parameters"] if p["in"] == "path")
    name["example"] = spec.name
    operation["requestBody"]["content"][JSON]["example"] = {"inputs": inputs}


def _failures_of(path: str) -> tuple[type[errors.OmniVecError], ...]:
    if path in _MODEL_FREE_PATHS:
        return ()
    if path.startswith("/feedback/"):
        return _FEEDBACK_FAILURES
    missing = (errors.UnknownModelError,) if "{" in path else ()
    return (*missing, errors.ModelNotReadyError)


def _name_loaded(parameter: Json, heads: Mapping[str, Head]) -> None:
    """Add the values of a path parameter that name a loaded model."""
    specs = [head.spec for head in heads.values()]
    known = {
        "name": {spec.name for spec in specs},
        "modality": {spec.modality.value for spec in specs},
        "task": {spec.task for spec in specs},
    }.get(parameter["name"])
    if parameter["in"] == "path" and known:
        parameter["schema"]["enum"] = sorted(known)
