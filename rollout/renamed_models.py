"""Models under other names: a candidate is a head and its new parts, each with a suffix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from export.repository.layouts import PlannedModel
from omnivec2.canary.canary_state import base_name, base_spec, candidate_name
from omnivec2.model_config import format_config, parse_config, set_head_spec, set_passport
from omnivec2.passport import PASSPORT_FILE
from omnivec2.spec import HeadSpec
from rollout.deployed_heads import DeployedModel
from rollout.new_version import NewVersion

_PASSPORTS = ".passports"
"""A directory of staging for passports that are rewritten: its name is no model's."""


def as_candidate(new: Sequence[NewVersion], staging: Path) -> list[NewVersion]:
    """Return new versions of a head and its parts under the names of its candidate.

    Args:
        new: The versions, the head's own model last.
        staging: A directory for what is rewritten; it must stay until they are written.
    """
    return _renamed(new, staging, candidate_name, lambda spec: candidate_name(spec.task))


def as_served(candidate: Sequence[DeployedModel], root: Path, staging: Path) -> list[NewVersion]:
    """Return the model and the parts of a candidate as new versions of the head.

    Args:
        candidate: The models, the head's own last.
        root: The repository that holds them.
        staging: A directory for what is rewritten; it must stay until they are written.
    """
    stored = [_stored(model, root) for model in candidate]
    return _renamed(stored, staging, base_name, lambda spec: base_spec(spec).task)


def _stored(model: DeployedModel, root: Path) -> NewVersion:
    """Return a deployed model as one that is to be written from its own files."""
    directory = root / model.name / str(model.version)
    files = {path.name: path for path in directory.iterdir()}
    config = format_config(model.config)
    planned = PlannedModel(model.name, config, files, model.passport, model.head)
    return NewVersion(planned, model.version)


def _renamed(
    new: Sequence[NewVersion],
    staging: Path,
    rename: Callable[[str], str],
    task_of: Callable[[HeadSpec], str],
) -> list[NewVersion]:
    names = {entry.model.name: rename(entry.model.name) for entry in new}
    (staging / _PASSPORTS).mkdir()
    return [
        replace(entry, model=_renamed_model(entry.model, names, staging / _PASSPORTS, task_of))
        for entry in new
    ]


def _renamed_model(
    model: PlannedModel,
    names: Mapping[str, str],
    passports: Path,
    task_of: Callable[[HeadSpec], str],
) -> PlannedModel:
    """Return a model under its other name; other models that it needs get theirs too."""
    name = names[model.name]
    parts = {names.get(part, part): digest for part, digest in model.passport.parts.items()}
    passport = model.passport.model_copy(update={"model": name, "parts": parts})
    head = None if model.head is None else _renamed_head(model.head, names, task_of)
    config = parse_config(model.config, name)
    config.name = name
    for step in config.ensemble_scheduling.step:
        step.model_name = names.get(step.model_name, step.model_name)
    set_passport(config, passport)
    if head is not None:
        set_head_spec(config, head)
    file = passports / f"{name}.json"
    file.write_text(passport.model_dump_json(), "utf-8")
    files = {**model.files, PASSPORT_FILE: file}
    return PlannedModel(name, format_config(config), files, passport, head)


def _renamed_head(
    head: HeadSpec, names: Mapping[str, str], task_of: Callable[[HeadSpec], str]
) -> HeadSpec:
    changes: dict[str, object] = {"task": task_of(head)}
    if (generation := head.generation) is not None:
        decoder = names.get(generation.decoder, generation.decoder)
        changes["generation"] = generation.model_copy(update={"decoder": decoder})
    # Validated again: a task's name may become too long.
    return HeadSpec.model_validate(head.model_copy(update=changes).model_dump())
