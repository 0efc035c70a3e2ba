"""What may change in the recipe of a run that is resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from omnivec2.errors import CheckpointError

_FREE_FIELDS = frozenset(
    {
        "accumulation",
        "checkpoint_every_steps",
        "sharded",
        "validate_every_steps",
        "validation_samples",
    }
)
"""The fields that change neither the weights to train nor what they are trained on."""
MAY_CHANGE = (
    "steps and epochs of the stages that are not over, later stages, tasks.*.served, "
    + ", ".join(sorted(_FREE_FIELDS))
)


def check_recipe(
    directory: object, saved: Mapping[str, Any], given: Mapping[str, Any], stage: int, step: int
) -> None:
    """Check that a run may be resumed by a recipe.

    Args:
        directory: The directory of the state, for messages.
        saved: The recipe that the state was trained by, as JSON.
        given: The recipe to go on by, in the same form; steps of stages with epochs are not read.
        stage: The index of the stage that the run has reached.
        step: The next step of that stage.

    Raises:
        CheckpointError: A field differs that must not; each is named with both values.
    """
    before, after = dict(dotted_fields(saved)), dict(dotted_fields(given))
    wrong = []
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if name.endswith("steps") and after.get(f"{name.removesuffix('steps')}epochs") is not None:
            continue  # its steps follow from the epochs, which are compared themselves
        if old != new and not _may_change(name, new, stage, step):
            wrong.append(f"{name} was {_shown(old)} and is now {_shown(new)}")
    if wrong:
        raise CheckpointError(
            f"{directory} was trained by another recipe: {'; '.join(wrong)}. Give another --run "
            f"to train anew, or restore the recipe; what may change on resuming: {MAY_CHANGE}"
        )


def _may_change(name: str, new: Any, stage: int, step: int) -> bool:
    parts = name.split(".")
    index = 0
    if parts[0] == "stages" and len(parts) > 1:
        index = int(parts[1])
        parts = parts[2:]
        if index > stage:
            return True
    if parts == ["steps"]:
        return index == stage and isinstance(new, int) and new >= step
    if parts == ["epochs"]:  # fewer than are done: the stage is over
        return index == stage
    is_served = len(parts) == 3 and parts[0] == "tasks" and parts[2] == "served"
    return is_served or (len(parts) == 1 and parts[0] in _FREE_FIELDS)


def dotted_fields(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the plain values of nested mappings and lists with their dotted names."""
    if isinstance(value, Mapping):
        children = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list | tuple):
        children = [(str(key), child) for key, child in enumerate(value)]
    else:
        yield name, value
        return
    for key, child in children:
        yield from dotted_fields(child, f"{name}.{key}" if name else key)


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)
