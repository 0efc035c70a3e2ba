"""``GET /models``: the loaded models, their training data and their metrics."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import JsonValue
from starlette.requests import Request

from omnivec2.explanations import can_explain
from service.gateway import Gateway
from service.pipeline.host_stages import Head

router = APIRouter(tags=["models"])


@router.get("/models", summary="Every loaded modality-task", response_model=None)
async def list_models(request: Request) -> dict[str, Any]:
    """Return the specs of all loaded heads, and the models that were refused with the reasons."""
    gateway: Gateway = request.app.state.gateway
    heads = gateway.dataplane.heads
    health = await gateway.health()
    return {
        "models": [_describe(gateway, heads[route]) for route in sorted(heads)],
        "refused": [
            {"name": name, "reason": reason} for name, reason in sorted(health.refused.items())
        ],
    }


@router.get("/models/{modality}/{task}", summary="One loaded modality-task", response_model=None)
async def get_model(request: Request, modality: str, task: str) -> dict[str, JsonValue]:
    """Return the spec of one head: tensors, labels, limits, metrics, data and licences."""
    gateway: Gateway = request.app.state.gateway
    return _describe(gateway, gateway.dataplane.head(modality, task))


def _describe(gateway: Gateway, head: Head) -> dict[str, JsonValue]:
    """Describe a head, with its canary if it has or had one."""
    canary = gateway.canaries.describe(head.spec.route)
    return describe(head) if canary is None else {**describe(head), "canary": canary}


def describe(head: Head) -> dict[str, JsonValue]:
    """Return a head's spec with its name, address and version, and what computes it.

    Each input has its ``source``: the unit, scale, axes and sampling rate that are assumed of it;
    ``source_options`` are the parameters with which a request can state others. ``explainable`` is
    whether ``explain`` says which parts of an input carried its answer. A head whose scores were
    calibrated has its ``temperature``.
    """
    model, spec = head.model, head.spec
    fields = spec.model_dump(mode="json")
    for tensor in fields["inputs"]:
        source = head.preprocessor.sources.get(tensor["name"])
        tensor["source"] = None if source is None else source.model_dump(exclude_none=True)
    options = head.preprocessor.source_options_type
    return {
        "name": spec.name,
        "version": model.version,
        "predict": f"/predict/{spec.route}",
        "execution": None if model.execution is None else asdict(model.execution),
        **fields,
        "source_options": options.model_json_schema().get("properties", {}),
        "explainable": can_explain(spec),
    }
