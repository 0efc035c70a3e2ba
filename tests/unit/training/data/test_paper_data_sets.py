"""Data sets of the paper: read where they are, named where they are not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import ArtifactError
from omnivec2.spec import TaskFamily
from omnivec2.training.data import load_task
from omnivec2.training.data.paper_data_sets import SETS
from omnivec2.training.recipe import load_recipe
from omnivec2.training.structure.network_structure import network_config


def _jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), shade, dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def data(tmp_path):
    for part, count in (("train", 100), ("val", 3)):
        for shade, name in enumerate(("cat", "dog")):
            folder = tmp_path / "imagenet1k" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number:03}.jpg").write_bytes(_jpeg(100 * shade))
        (tmp_path / "wikipedia" / part).mkdir(parents=True)
        (tmp_path / "wikipedia" / part / "a.txt").write_text("A film is a moving picture.")
    return tmp_path


def test_the_recipe_of_the_paper_names_these_sets_in_three_stages_with_the_papers_masks():
    recipe = load_recipe("paper")
    assert set(recipe.tasks) == set(SETS)
    stages = recipe.stage_recipes()
    assert [stage.kind for stage in stages] == ["masked", "masked-pairs", "supervised"]
    assert all(SETS[route].labelled for route in stages[2].routes())
    assert all(recipe.literal.model_dump().values())


@pytest.mark.parametrize("route", sorted(SETS))
def test_a_set_that_is_not_there_is_named_with_its_source_and_form(tmp_path, route):
    with pytest.raises(ArtifactError) as error:
        load_task(route, tmp_path)
    spec = SETS[route]
    assert all(part in str(error.value) for part in (route, spec.name, spec.source, spec.form()))


def test_folders_are_classes_and_the_official_validation_part_is_the_test_part(data):
    task = load_task("image/imagenet", data)
    assert task.labels == ("cat", "dog")
    assert {part: len(split) for part, split in task.splits.items()} == {
        "train": 198,
        "val": 2,
        "test": 6,
    }
    assert task.splits["test"].samples[5]["pixels"].shape == (224, 224, 3)
    assert list(task.splits["test"].targets) == [0, 0, 0, 1, 1, 1]


def test_position_tables_are_large_enough_for_the_pictures_of_the_paper(data):
    config = network_config("tiny", [load_task("image/imagenet", data)])
    assert config.tokenizers["image"].grid == (1, 14, 16)


def test_a_set_without_labels_has_a_task_for_masked_stages_alone(data):
    task = load_task("text/wikipedia", data)
    assert task.family is TaskFamily.EMBEDDING
    assert task.labels == ()
    assert len(task.splits["train"].samples[0]["input_ids"]) > 5


def test_a_damaged_file_is_named(data):
    path = data / "imagenet1k" / "val" / "cat" / "000.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(ArtifactError, match=r"val/cat/000\.jpg"):
        load_task("image/imagenet", data).splits["test"].samples[0]


def test_a_folder_without_classes_is_refused(data):
    for path in sorted((data / "imagenet1k" / "train" / "dog").iterdir()):
        path.unlink()
    (data / "imagenet1k" / "train" / "dog").rmdir()
    with pytest.raises(ArtifactError, match="a folder per class"):
        load_task("image/imagenet", data)
