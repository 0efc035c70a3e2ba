"""Triton's own metadata of a model: all that a gateway knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from omnivec2.errors import ArtifactError, PassportError
from omnivec2.familiarity import Familiarity
from omnivec2.model_config import (
    has_head_spec,
    read_head_spec,
    read_passport,
    read_reference,
    read_steps,
)
from omnivec2.model_config_messages import ModelConfig
from omnivec2.passport import check_claims
from omnivec2.spec import HeadSpec
from service.runtimes.base import Model
from service.runtimes.ensemble import check_steps

_ANY_VERSION = "-1"


@dataclass(frozen=True)
class ModelDescription:
    """The description of a model in its configuration.

    Attributes:
        model: The head; None for a part, and for models that are not of this project.
        digest: The content digest in the passport of a part.
        parts: A map from the parts and decoder of a head to the content digests that it was
            exported with.
    """

    model: Model | None = None
    digest: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)


def describe(config: ModelConfig, version: str) -> ModelDescription:
    """Read a model's configuration.

    Raises:
        ArtifactError: The head spec or the tensors are wrong; the message names the model.
        PassportError: The passport is missing, or is not for this head spec.
    """
    passport = read_passport(config)
    if not has_head_spec(config):
        return ModelDescription(digest=passport.content_digest if passport else None)
    spec = read_head_spec(config, config.name)
    if spec.name != config.name:
        raise ArtifactError(f"{config.name}: holds the head spec of {spec.name}")
    if passport is None:
        raise PassportError(f"{config.name}: has no passport; export it again")
    check_claims(passport, spec)
    reference = read_reference(config)
    _check_tensors(config, spec, () if reference is None else reference.summaries)
    steps = tuple(
        replace(step, version="") if step.version == _ANY_VERSION else step
        for step in read_steps(config)
    )
    familiarity = None if reference is None else Familiarity(reference)
    model = Model(spec, version, steps, familiarity=familiarity)
    if steps:
        check_steps(model)
    return ModelDescription(model, passport.content_digest, passport.dependencies(spec))


def is_same_model(model: Model | None, other: Model | None) -> bool:
    """Whether two descriptions are of the same model."""
    if model is other:
        return True
    if model is None or other is None:
        return False
    return _identity(model) == _identity(other)


def _identity(model: Model) -> tuple[object, ...]:
    familiarity = model.familiarity
    reference = None if familiarity is None else familiarity.reference
    return model.version, model.spec, model.steps, reference


def _check_tensors(config: ModelConfig, spec: HeadSpec, summaries: Sequence[str]) -> None:
    given = [*(tensor.name for tensor in spec.outputs), *summaries]
    taken = [tensor.name for tensor in spec.inputs]
    for verb, declared, tensors in (
        ("takes", config.input, taken),
        ("gives", config.output, given),
    ):
        names = {tensor.name for tensor in declared}
        wanted = set(tensors)
        if names != wanted:
            raise ArtifactError(
                f"{config.name}: {verb} {sorted(names)}, its head spec says {sorted(wanted)}"
            )
