"""What may change in the recipe of a resumed run, and what is refused with both values."""

from __future__ import annotations

from typing import Any

import pytest

from omnivec2.errors import CheckpointError
from omnivec2.training.recipe import Recipe
from omnivec2.training.runs.resuming import check_recipe

STAGED = {
    "preset": "tiny",
    "stages": [
        {"kind": "masked", "steps": 5},
        {"kind": "supervised", "steps": 10},
        {"kind": "supervised", "steps": 20},
    ],
    "tasks": {"imu/activity": {"weight": 1}},
}
ONE = {"preset": "tiny", "steps": 10, "tasks": {"imu/activity": {"weight": 1}}}


def _check(saved: dict[str, Any], given: dict[str, Any], stage: int = 0, step: int = 4) -> None:
    before, after = (Recipe.model_validate(each).model_dump(mode="json") for each in (saved, given))
    check_recipe("runs/x/state", before, after, stage, step)


def _stages(**changes: Any) -> dict[str, Any]:
    """The stages with one field of the stage that a name ends with, e.g. ``steps_1``."""
    stages = [dict(stage) for stage in STAGED["stages"]]
    for name, value in changes.items():
        field, _, index = name.rpartition("_")
        stages[int(index)][field] = value
    return STAGED | {"stages": stages}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"steps": 11},
        {"steps": 4},
        {"steps": 0, "epochs": 3},
        {"validate_every_steps": 5, "checkpoint_every_steps": 7, "accumulation": 2},
        {"tasks": {"imu/activity": {"weight": 1, "served": False}}},
    ],
)
def test_a_run_goes_on_with_other_steps_and_with_what_does_not_change_training(changes):
    _check(ONE, ONE | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 3}, "steps was 10 and is now 3"),
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"start_from": "checkpoints/x"}, "start_from was not set and is now 'checkpoints/x'"),
        ({"learning_rates": {"stem": 1.0}}, "learning_rates.stem was 0.0002 and is now 1.0"),
        (
            {"tasks": {"imu/activity": {"weight": 2}}},
            "tasks.imu/activity.weight was 1.0 and is now 2.0",
        ),
    ],
)
def test_another_field_is_refused_with_both_values(changes, message):
    by_another = "runs/x/state was trained by another recipe"
    with pytest.raises(CheckpointError, match=by_another) as error:
        _check(ONE, ONE | changes)
    assert message in str(error.value)
    assert "checkpoint_every_steps" in str(error.value)  # what may change is listed


def test_epochs_may_grow_whatever_steps_they_were():
    saved = Recipe.model_validate(ONE | {"steps": 0, "epochs": 2}).model_dump(mode="json")
    given = Recipe.model_validate(ONE | {"steps": 0, "epochs": 3}).model_dump(mode="json")
    check_recipe("state", saved | {"steps": 77}, given, 0, 70)


def test_stages_to_come_may_change_and_be_added_but_not_those_that_are_over():
    changed = _stages(steps_1=12, steps_2=5, kind_2="masked")
    changed["stages"].append({"kind": "supervised", "steps": 1})
    _check(STAGED, changed, stage=1)
    with pytest.raises(CheckpointError, match=r"stages\.0\.steps was 5 and is now 6"):
        _check(STAGED, _stages(steps_0=6), stage=1)
    with pytest.raises(CheckpointError, match=r"stages\.1\.steps was 10 and is now 3"):
        _check(STAGED, _stages(steps_1=3), stage=1)
