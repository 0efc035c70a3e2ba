"""What Triton's own metadata say about a model: all that a gateway knows of it."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from tritonclient.grpc.model_config_pb2 import ModelConfig

from omnivec2.errors import ArtifactError
from omnivec2.passport import Passport, check_claims
from omnivec2.spec import HeadSpec
from service.repository import HEAD_SPEC_PARAMETER
from service.runtimes.base import Model, Step
from service.runtimes.steps import check_steps

PASSPORT_PARAMETER = "passport"
_ENSEMBLE = "ensemble"

B = TypeVar("B", bound=BaseModel)


def model_of(config: ModelConfig, version: str) -> Model | None:
    """The model of a configuration, or None if it is no modality-task of ours but, say, a part.

    Raises:
        ArtifactError: its head spec or its tensors are wrong; the message names the model.
        PassportError: its passport is missing or is not for this head spec.
    """
    if HEAD_SPEC_PARAMETER not in config.parameters:
        return None
    spec = _parameter(config, HEAD_SPEC_PARAMETER, HeadSpec)
    if spec.name != config.name:
        raise ArtifactError(f"{config.name}: holds the head spec of {spec.name}")
    check_claims(_parameter(config, PASSPORT_PARAMETER, Passport), spec)
    _check_tensors(config, spec)
    model = Model(spec, version, _steps(config))
    if model.steps:
        check_steps(model)
    return model


def same(one: Model | None, other: Model | None) -> bool:
    """Whether two descriptions are of the same model."""
    if one is other:
        return True
    if one is None or other is None:
        return False
    return (one.version, one.spec, one.steps) == (other.version, other.spec, other.steps)


def _parameter(config: ModelConfig, name: str, kind: type[B]) -> B:
    if name not in config.parameters:
        raise ArtifactError(f"{config.name}: no {name} among its parameters; export it again")
    try:
        return kind.model_validate_json(config.parameters[name].string_value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise ArtifactError(f"{config.name}: not a {name}: {where}: {first['msg']}") from error


def _check_tensors(config: ModelConfig, spec: HeadSpec) -> None:
    for kind, declared, tensors in (
        ("takes", config.input, spec.inputs),
        ("gives", config.output, spec.outputs),
    ):
        names = {tensor.name for tensor in declared}
        wanted = {tensor.name for tensor in tensors}
        if names != wanted:
            raise ArtifactError(
                f"{config.name}: {kind} {sorted(names)}, its head spec says {sorted(wanted)}"
            )


def _steps(config: ModelConfig) -> tuple[Step, ...]:
    if config.platform != _ENSEMBLE:
        return ()
    return tuple(_step(step) for step in config.ensemble_scheduling.step)


def _step(step: Any) -> Step:
    # -1 leaves the version to the part's version policy.
    version = str(step.model_version) if step.model_version > 0 else ""
    return Step(step.model_name, version, dict(step.input_map), dict(step.output_map))
