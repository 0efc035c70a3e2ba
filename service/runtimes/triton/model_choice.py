"""The choice of what is served, where servers have different versions of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from service.runtimes.base import Model
from service.runtimes.triton.endpoint import Endpoint
from service.runtimes.triton.model_metadata import is_same_model


def merge_models(
    endpoints: Sequence[Endpoint], served: Mapping[str, Model], serves: Callable[[str], bool]
) -> dict[str, Model]:
    """Return of each model the newest version that any server has.

    Versions of ejected servers count only where no other has the model. Of different
    models under one version, the one that is served already stays. Servers that have the
    chosen model share one object for it.

    Args:
        endpoints: The servers.
        served: The models that are served now, by name.
        serves: A callback that says whether a model of a name is to be served.
    """
    merged: dict[str, Model] = {}
    offers = [(e, m) for e in endpoints for n, m in e.models.items() if serves(n)]
    rank: dict[str, tuple[bool, int, bool]] = {}
    for endpoint, model in offers:
        is_served = is_same_model(model, served.get(model.name))
        offered = (endpoint.is_up, int(model.version), is_served)
        if model.name not in rank or offered > rank[model.name]:
            rank[model.name] = offered
            merged[model.name] = served[model.name] if is_served else model
    for endpoint, model in offers:
        if is_same_model(model, merged[model.name]):
            endpoint.share_model(merged[model.name])
    return merged
