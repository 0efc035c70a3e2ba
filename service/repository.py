"""Reading a Triton model repository: which models there are and what their specs say."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from pydantic import ValidationError
from tritonclient.grpc.model_config_pb2 import ModelConfig

from omnivec2.errors import ArtifactError, PassportError
from omnivec2.passport import verify_passport
from omnivec2.spec import HeadSpec

CONFIG_FILE = "config.pbtxt"
HEAD_SPEC_PARAMETER = "head_spec"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredModel:
    """A model of the repository whose files are those of its passport.

    Attributes:
        spec: what it does.
        version: name of its newest version directory.
        directory: that directory; holds ``model.onnx``, its weights and its passport.
    """

    spec: HeadSpec
    version: str
    directory: Path


@dataclass(frozen=True)
class Repository:
    """What a model repository holds.

    Attributes:
        models: name -> model that may be served.
        refused: name -> why a model may not.
    """

    models: dict[str, StoredModel]
    refused: dict[str, str]


def read_repository(root: Path, only: Iterable[str] = ()) -> Repository:
    """Read every model of a repository, or only those of the given routes.

    A model that cannot be served does not stop the others: it is logged and listed.

    Args:
        root: holds one directory per model.
        only: routes (``image/classification``) to read; empty reads all.

    Raises:
        ArtifactError: there is no repository, or a model of ``only`` is not in it.
    """
    if not root.is_dir():
        raise ArtifactError(f"{root}: no model repository; `omnivec2 serve` makes one")
    wanted = {route.replace("/", "_") for route in only}
    found = {path.parent.name: path.parent for path in sorted(root.glob(f"*/{CONFIG_FILE}"))}
    if missing := wanted - found.keys():
        raise ArtifactError(f"{root}: no model named {', '.join(sorted(missing))}")
    repository = Repository({}, {})
    for name, directory in found.items():
        if wanted and name not in wanted:
            continue
        try:
            repository.models[name] = read_model(directory)
        except ArtifactError as error:
            _LOG.error("%s is not served: %s", name, error)
            repository.refused[name] = str(error)
    return repository


def read_model(directory: Path) -> StoredModel:
    """Read one model's spec and check its files against its passport.

    Raises:
        ArtifactError: the configuration or its head spec cannot be read.
        PassportError: the files are not those the passport was written for.
    """
    spec = read_head_spec(directory / CONFIG_FILE)
    if spec.name != directory.name:
        raise ArtifactError(f"{directory}: holds the head spec of {spec.name}")
    versions = [path for path in directory.iterdir() if path.is_dir() and path.name.isdigit()]
    if not versions:
        raise ArtifactError(f"{directory}: no version directory")
    newest = max(versions, key=lambda path: int(path.name))
    passport = verify_passport(newest)
    if passport.model != spec.name:
        raise PassportError(f"{newest}: the passport of {passport.model}")
    if spec.checkpoint_digest and passport.checkpoint_digest != spec.checkpoint_digest:
        raise PassportError(f"{newest}: head spec and passport name different checkpoints")
    return StoredModel(spec, newest.name, newest)


def read_head_spec(config: Path) -> HeadSpec:
    """The head spec in a model configuration's ``parameters``.

    Raises:
        ArtifactError: the file or the spec in it cannot be read.
    """
    try:
        message = text_format.Parse(config.read_text(encoding="utf-8"), ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ArtifactError(f"{config}: not a model configuration: {error}") from error
    if HEAD_SPEC_PARAMETER not in message.parameters:
        raise ArtifactError(f"{config}: no {HEAD_SPEC_PARAMETER} among its parameters")
    text = message.parameters[HEAD_SPEC_PARAMETER].string_value
    try:
        return HeadSpec.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise ArtifactError(f"{config}: not a head spec: {where}: {first['msg']}") from error
