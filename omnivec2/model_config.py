"""Names and readers of Triton's ``config.pbtxt``: what a model repository says about a model.

A head carries its head spec and its passport as parameters of its configuration, each as JSON on
one line, so that a gateway needs nothing but Triton's own metadata. The exporter writes them,
the runtimes and ``rollout`` read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from pydantic import BaseModel, ValidationError

from omnivec2.errors import ArtifactError, PassportError
from omnivec2.familiarity.training_reference import TrainingReference
from omnivec2.model_config_messages import ModelConfig
from omnivec2.parts import is_part
from omnivec2.passport import Passport
from omnivec2.spec import HeadSpec

CONFIG_FILE = "config.pbtxt"
HEAD_SPEC_PARAMETER = "head_spec"
PASSPORT_PARAMETER = "passport"
REFERENCE_PARAMETER = "training_reference"
HEAD_SPEC_FILE = "head_spec.json"
"""Beside a head's configuration, as is its passport: the same in a form for people to read."""
ONNX_BACKEND = "onnxruntime"
"""The backend of every model that is an ONNX graph; the embedded runtime runs no other."""
ENSEMBLE_PLATFORM = "ensemble"


@dataclass(frozen=True)
class Step:
    """One part of a model that is put together from parts: a tokenizer, the trunk or a head.

    Attributes:
        model: The part's name in the repository.
        version: The part's version; -1 is the newest.
        inputs: A map from the part's tensors to the names of the tensors they are given.
        outputs: A map from the part's tensors to the names that later steps know them by.
    """

    model: str
    version: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def model_directories(repository: Path) -> list[Path]:
    """List the directories of a repository that hold a configuration, sorted by name.

    Names that begin with a dot are left out: those directories are being written, or were
    replaced a moment ago.
    """
    return [path.parent for path in sorted(repository.glob(f"[!.]*/{CONFIG_FILE}"))]


def read_config(path: Path) -> ModelConfig:
    """Read a ``config.pbtxt``.

    Raises:
        ArtifactError: The file is missing or not a model configuration.
    """
    try:
        return parse_config(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: not a model configuration: {error}") from error


def parse_config(text: str, where: str) -> ModelConfig:
    """Parse the text of a ``config.pbtxt``.

    Args:
        text: The whole configuration.
        where: The name of the configuration in errors.

    Raises:
        ArtifactError: The text is not a model configuration.
    """
    try:
        return text_format.Parse(text, ModelConfig())
    except text_format.ParseError as error:
        raise ArtifactError(f"{where}: not a model configuration: {error}") from error


def format_config(config: ModelConfig) -> str:
    """Return the text of a ``config.pbtxt``; equal configurations give equal texts."""
    text: str = text_format.MessageToString(config, as_utf8=True)
    return text


def is_served(config: ModelConfig, name: str) -> bool:
    """Whether a model is served by itself: it has a head spec, or at least no part's name."""
    return has_head_spec(config) or not is_part(name)


def has_head_spec(config: ModelConfig) -> bool:
    """Whether a configuration is that of a head; parts carry no head spec."""
    return HEAD_SPEC_PARAMETER in config.parameters


def read_head_spec(config: ModelConfig, where: str) -> HeadSpec:
    """Return the head spec of a configuration.

    Args:
        config: The configuration of a head.
        where: The name of the configuration in errors.

    Raises:
        ArtifactError: The configuration has no head spec, or one that is not valid.
    """
    if not has_head_spec(config):
        raise ArtifactError(f"{where}: no {HEAD_SPEC_PARAMETER} among its parameters")
    text = config.parameters[HEAD_SPEC_PARAMETER].string_value
    try:
        return HeadSpec.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactError(f"{where}: not a head spec: {_first(error)}") from error


def read_passport(config: ModelConfig) -> Passport | None:
    """Return the passport of a configuration, or None if it carries none.

    Raises:
        PassportError: The passport is not valid.
    """
    if PASSPORT_PARAMETER not in config.parameters:
        return None
    try:
        return Passport.model_validate_json(config.parameters[PASSPORT_PARAMETER].string_value)
    except ValidationError as error:
        raise PassportError(f"{config.name}: not a passport: {_first(error)}") from error


def read_reference(config: ModelConfig) -> TrainingReference | None:
    """Return the training reference of a head's configuration, or None if it carries none.

    Raises:
        ArtifactError: The reference is not valid.
    """
    if REFERENCE_PARAMETER not in config.parameters:
        return None
    text = config.parameters[REFERENCE_PARAMETER].string_value
    try:
        return TrainingReference.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactError(f"{config.name}: not a training reference: {_first(error)}") from error


def read_steps(config: ModelConfig) -> tuple[Step, ...]:
    """Return the steps of an ensemble, in the order they run; nothing for any other model."""
    return tuple(
        Step(
            step.model_name,
            str(step.model_version),
            dict(step.input_map),
            dict(step.output_map),
        )
        for step in config.ensemble_scheduling.step
    )


def set_head_spec(config: ModelConfig, head: HeadSpec | None) -> None:
    """Write a head spec into a configuration, or remove the one it has.

    The names of files that it was trained on are nobody's business who calls it.
    """
    if head is not None and head.data_block is not None:
        head = head.model_copy(update={"data_block": None})
    _set(config, HEAD_SPEC_PARAMETER, head)


def set_passport(config: ModelConfig, passport: Passport) -> None:
    """Write a passport into a configuration."""
    _set(config, PASSPORT_PARAMETER, passport)


def set_reference(config: ModelConfig, reference: TrainingReference | None) -> None:
    """Write a training reference into a configuration, or remove the one it has."""
    _set(config, REFERENCE_PARAMETER, reference)


def _set(config: ModelConfig, name: str, value: BaseModel | None) -> None:
    if value is None:
        config.parameters.pop(name, None)
    else:
        config.parameters[name].string_value = value.model_dump_json()


def _first(error: ValidationError) -> str:
    """Return the first of a model's validation errors: the field, and what is wrong with it."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
