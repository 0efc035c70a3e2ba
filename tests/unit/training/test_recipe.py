"""Recipes: the shipped ones, and the errors of wrong ones."""

from __future__ import annotations

import re

import pytest

from omnivec2.errors import ArtifactError
from omnivec2.spec import Modality
from omnivec2.training.data import routes
from omnivec2.training.modalities import modality_training
from omnivec2.training.recipe import load_recipe
from tests.support.documents import ROOT


def test_the_reference_recipe_trains_all_thirteen_modalities_on_data_there_is():
    recipe = load_recipe("reference")
    assert {route.split("/")[0] for route in recipe.tasks} == {m.value for m in Modality}
    assert set(recipe.tasks) <= set(routes())


def test_an_unknown_name_lists_the_recipes_there_are():
    with pytest.raises(ArtifactError, match="reference"):
        load_recipe("nothing-like-it")


def test_every_wrong_field_is_named(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("preset: tiny\nsteps: -1\ntasks: {a/b: {weight: x}}\ncolour: red\n")
    with pytest.raises(ArtifactError) as error:
        load_recipe(path)
    assert all(name in str(error.value) for name in ("steps", "tasks.a/b.weight", "colour"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"preset: \xff\xfe", "not valid YAML"),
        (b"- a list", "expected fields with values"),
        (b"preset: tiny\npreset: paper", r"r\.yaml:2: preset is given twice"),
        (b"tasks:\n- {a: 1, a: 2}", r"r\.yaml:2: a is given twice"),
        (b"preset: huge\nsteps: 1\ntasks: {a/b: {weight: 1}}", "'huge' is none of tiny"),
        (b"preset: tiny\ntasks: {a/b: {weight: 1}}", "give either steps"),
        (b"preset: tiny\nsteps: 1\nonly: [c/d]\ntasks: {a/b: {weight: 1}}", "c/d is none of"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_with_the_reason(tmp_path, content, message):
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        load_recipe(path)


def test_damaged_yaml_is_named_as_such(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("preset: [tiny\n")
    with pytest.raises(ArtifactError, match="not valid YAML"):
        load_recipe(path)


STAGED = """\
preset: tiny
seed: 3
weight_decay: 0.1
stages:
  - {kind: masked, steps: 5, mask_ratios: {image: 0.6}}
  - kind: masked-pairs
    steps: 6
    batch_sizes: {imu/activity: 8}
  - {kind: supervised, steps: 7, weight_decay: 0.2, only: [imu/activity]}
tasks:
  imu/activity: {weight: 1, batch_size: 4}
  tabular/income: {weight: 2, batch_size: 4}
"""


def _recipe(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    return load_recipe(path)


def _complaint(tmp_path, text):
    with pytest.raises(ArtifactError) as error:
        _recipe(tmp_path, text)
    return str(error.value)


def test_a_recipe_without_stages_is_one_supervised_stage():
    (stage,) = load_recipe("reference").stage_recipes()
    assert (stage.kind, stage.steps) == ("supervised", 1750)


def test_tasks_come_equally_often_unless_the_recipe_says_otherwise(tmp_path):
    recipe = _recipe(tmp_path, STAGED.replace("{weight: 1, ", "{").replace("{weight: 2, ", "{"))
    assert [task.weight for task in recipe.tasks.values()] == [1.0, 1.0]


def test_a_stage_is_the_recipe_with_what_it_sets_for_itself(tmp_path):
    recipe = _recipe(tmp_path, STAGED)
    first, second, third = recipe.stage_recipes()
    assert [s.kind for s in (first, second, third)] == ["masked", "masked-pairs", "supervised"]
    assert recipe.total_steps == 18
    assert first.mask_ratios == {Modality.IMAGE: 0.6}
    assert [s.weight_decay for s in (first, second, third)] == [0.1, 0.1, 0.2]
    assert [s.batch_size("imu/activity") for s in (first, second, third)] == [4, 8, 4]
    assert first.routes() == ["imu/activity", "tabular/income"]
    assert third.routes() == ["imu/activity"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("steps: 5", "steps: 0", "r.yaml:5: stages.0.steps: "),
        ("steps: 6", "stepz: 6", "r.yaml:7: stages.1.stepz: unknown field; did you mean steps?"),
        ("steps: 6", "warmup_steps: 6", "r.yaml:6: stages.1: give either steps or epochs"),
        ("kind: masked-pairs", "kind: masked_pair", "did you mean masked-pairs?"),
        ("kind: masked-pairs", "kind: paired", "r.yaml:6: stages.1.kind: "),
        ("{image: 0.6}", "{images: 0.6}", "did you mean image?"),
        ("  tabular/income: {weight: 2", "  tabular/income: {wieght: 2", "did you mean weight?"),
        ("  tabular/income:", "  tabluar/income:", "r.yaml:12: tasks.tabluar/income: expected"),
        ("  tabular/income:", "  tabluar/income:", "did you mean tabular?"),
        ("weight_decay: 0.1", "wieght_decay: 0.1", "did you mean weight_decay?"),
        ("image: 0.6", "image: 1.5", "r.yaml:5: stages.0.mask_ratios.image: "),
        (
            "only: [imu/activity]",
            "only: [imu/activty]",
            "r.yaml:9: stages.2.only: imu/activty is n",
        ),
        ("only: [imu/activity]", "only: [imu/activty]", "did you mean imu/activity?"),
        ("weight_decay: 0.2", "mask_ratios: {imu: 0.5}", "means nothing in a stage of kind sup"),
        (
            "preset: tiny",
            "preset: huge",
            "r.yaml:1: preset: 'huge' is none of tiny, reference, paper",
        ),
        ("preset: tiny", "preset: referense", "did you mean reference?"),
        ("seed: 3", "steps: 3", "give either steps or epochs (one stage) or stages"),
        ("  tabular/income: {weight: 2", "  tabular/income: {weight: no", "r.yaml:12: tasks.tab"),
        ("seed: 3", "preset: tiny", "r.yaml:2: preset is given twice"),
        ("seed: 3", "seed: [3", "r.yaml:3: not valid YAML"),
    ],
)
def test_an_error_names_file_line_and_field(tmp_path, old, new, expected):
    assert old in STAGED
    assert expected in _complaint(tmp_path, STAGED.replace(old, new))


def test_the_documented_stages_are_a_recipe(tmp_path):
    text = (ROOT / "docs" / "training.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    (example,) = (example for example in examples if "stages:" in example)
    recipe = _recipe(tmp_path, example)
    assert [stage.kind for stage in recipe.stage_recipes()] == [
        "masked",
        "masked-pairs",
        "supervised",
    ]


def test_the_documented_shares_of_hidden_tokens_are_those_in_use():
    text = (ROOT / "docs" / "training.md").read_text()
    table = dict(re.findall(r"^\| (.+?) \| (\d\d %(?:, \d\d %)?)", text, flags=re.MULTILINE))
    named = {
        "image, X-ray, infrared, depth": ("image", "xray", "infrared", "depth"),
        "video, audio": ("video", "audio"),
        "text": ("text",),
        "point cloud": ("pointcloud",),
        "time series": ("timeseries",),
        "IMU, hyperspectral": ("imu", "hyperspectral"),
        "tabular": ("tabular",),
        "graph": ("graph",),
    }
    for row, modalities in named.items():
        shares = [modality_training(Modality(m)).hidden_share() for m in modalities]
        percents = [f"{share:.0%}".replace("%", " %") for share in shares]
        assert table[row] == ", ".join(dict.fromkeys(percents)), row


def test_a_file_that_is_no_recipe_at_all_is_named(tmp_path):
    assert "expected fields" in _complaint(tmp_path, "- just\n- a list\n")
