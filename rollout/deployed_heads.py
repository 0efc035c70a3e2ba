"""The heads of a model repository, with their versions and parts, as they are deployed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from omnivec2.canary.canary_state import Canary, CanaryStatus, is_candidate
from omnivec2.errors import ArtifactError
from omnivec2.model_config import (
    CONFIG_FILE,
    has_head_spec,
    model_directories,
    read_config,
    read_head_spec,
    read_steps,
)
from omnivec2.model_config_messages import model_config_pb2 as triton
from omnivec2.passport import PASSPORT_FILE, Passport, load_passport
from omnivec2.spec import HeadSpec


@dataclass(frozen=True)
class DeployedModel:
    """A model or part of a repository.

    Attributes:
        name: The name of its directory.
        versions: The numbers of its version directories, oldest first.
        config: The content of its ``config.pbtxt``.
        passport: The passport of the newest version.
        head: The head spec; None for a part.
        parts: A map from the parts of an ensemble to their versions, in the order they run.
    """

    name: str
    versions: tuple[int, ...]
    config: triton.ModelConfig
    passport: Passport
    head: HeadSpec | None
    parts: Mapping[str, int]

    @property
    def version(self) -> int:
        """The newest version."""
        return self.versions[-1]

    @property
    def needs(self) -> Mapping[str, int]:
        """A map from everything it is run with, parts and decoder, to the versions."""
        generation = self.head.generation if self.head else None
        decoder = {generation.decoder: int(generation.version)} if generation else {}
        return {**self.parts, **decoder}


def read_deployed(repository: Path) -> dict[str, DeployedModel]:
    """Read the models of a repository by name; those that cannot be read are left out.

    Raises:
        ArtifactError: There is no repository.
    """
    if not repository.is_dir():
        raise ArtifactError(f"{repository}: no model repository; `omnivec2 export --out` makes one")
    found: dict[str, DeployedModel] = {}
    for directory in model_directories(repository):
        try:
            found[directory.name] = _read(directory)
        except (OSError, ArtifactError):
            continue
    return found


def users_of(part: str, deployed: Mapping[str, DeployedModel]) -> set[str]:
    """Return the heads that are run with a part."""
    return {name for name, model in deployed.items() if part in model.needs}


def list_heads(
    deployed: Mapping[str, DeployedModel], canaries: Mapping[str, Canary] | None = None
) -> list[dict[str, JsonValue]]:
    """Return a row of JSON values per head, in the order of their names.

    Args:
        deployed: The models of a repository.
        canaries: The canaries of the repository, by the routes of their heads.
    """
    rows: list[dict[str, JsonValue]] = []
    for model in sorted(deployed.values(), key=lambda model: model.name):
        if model.head is None or is_candidate(model.name):
            continue
        rows.append(
            {
                "route": model.head.route,
                "version": model.version,
                "parts": {name: version for name, version in model.parts.items()},
                "precision": model.passport.precision,
                "max_relative_error": model.passport.max_relative_error,
                "checkpoint": model.passport.checkpoint_digest[:12],
                "canary": _brief(canaries.get(model.head.route) if canaries else None),
            }
        )
    return rows


def _brief(canary: Canary | None) -> str | None:
    """Return a canary in a few words; None without one, and once it is the head itself."""
    if canary is None or canary.status is CanaryStatus.PROMOTED:
        return None
    if not canary.is_running:
        return f"version {canary.version} rolled back"
    shadow = " and shadow" if canary.shadow else ""
    return f"version {canary.version} at {canary.share:g} %{shadow}"


def _read(directory: Path) -> DeployedModel:
    config = read_config(directory / CONFIG_FILE)
    versions = sorted(int(p.name) for p in directory.iterdir() if p.name.isdigit())
    if not versions:
        raise ArtifactError(f"{directory}: no version directory")
    return DeployedModel(
        name=directory.name,
        versions=tuple(versions),
        config=config,
        passport=load_passport(directory / str(versions[-1]) / PASSPORT_FILE),
        head=read_head_spec(config, directory.name) if has_head_spec(config) else None,
        parts={step.model: int(step.version) for step in read_steps(config)},
    )
