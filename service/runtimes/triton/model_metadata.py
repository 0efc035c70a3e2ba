"""What Triton's own metadata say about a model: all that a gateway knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tritonclient.grpc.model_config_pb2 import ModelConfig

from omnivec2.errors import ArtifactError, PassportError
from omnivec2.model_config import has_head_spec, read_head_spec, read_passport, read_steps
from omnivec2.passport import check_claims
from omnivec2.spec import HeadSpec
from service.runtimes.base import Model
from service.runtimes.ensemble import check_steps

_ANY_VERSION = "-1"


@dataclass(frozen=True)
class Described:
    """What a model's configuration says.

    Attributes:
        model: the modality-task; None for a part, and for what is not of this project.
        digest: of a part, by its passport.
        parts: part or decoder -> digest of the files it had when the model was exported.
    """

    model: Model | None = None
    digest: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)


def describe(config: ModelConfig, version: str) -> Described:
    """Read a model's configuration.

    Raises:
        ArtifactError: the head spec or the tensors are wrong; the message names the model.
        PassportError: the passport is missing, or is not for this head spec.
    """
    passport = read_passport(config)
    if not has_head_spec(config):
        return Described(digest=passport.content_digest if passport else None)
    spec = read_head_spec(config, config.name)
    if spec.name != config.name:
        raise ArtifactError(f"{config.name}: holds the head spec of {spec.name}")
    if passport is None:
        raise PassportError(f"{config.name}: has no passport; export it again")
    check_claims(passport, spec)
    _check_tensors(config, spec)
    steps = tuple(
        replace(step, version="") if step.version == _ANY_VERSION else step
        for step in read_steps(config)
    )
    model = Model(spec, version, steps)
    if steps:
        check_steps(model)
    return Described(model, passport.content_digest, passport.dependencies(spec))


def same(one: Model | None, other: Model | None) -> bool:
    """Whether two descriptions are of the same model."""
    if one is other:
        return True
    if one is None or other is None:
        return False
    return (one.version, one.spec, one.steps) == (other.version, other.spec, other.steps)


def _check_tensors(config: ModelConfig, spec: HeadSpec) -> None:
    for verb, declared, tensors in (
        ("takes", config.input, spec.inputs),
        ("gives", config.output, spec.outputs),
    ):
        names = {tensor.name for tensor in declared}
        wanted = {tensor.name for tensor in tensors}
        if names != wanted:
            raise ArtifactError(
                f"{config.name}: {verb} {sorted(names)}, its head spec says {sorted(wanted)}"
            )
