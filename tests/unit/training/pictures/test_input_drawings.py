from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import Modality, TaskFamily
from omnivec2.training.data.base import Split, TaskData, preprocess_spec
from omnivec2.training.modalities import modality_training
from omnivec2.training.pictures.input_drawings import Drawing, TableRow
from tests.support.networks.networks import INPUTS
from tests.support.training import tiny_tasks


def _task(spec, sample, modality: Modality) -> TaskData:
    return TaskData(
        route=f"{modality.value}/any",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={"test": Split([sample], [0])},
        metric="accuracy",
        test_name="any",
        sources=(tiny_tasks.SOURCE,),
    )


DRAWN = [m for m in Modality if isinstance(modality_training(m).display, Drawing)]


def _draw(modality: Modality, axes, sample) -> None:
    display = modality_training(modality).display
    assert isinstance(display, Drawing)
    display.draw(axes, sample)


def _cells(modality: Modality, sample, task: TaskData) -> dict[str, str]:
    display = modality_training(modality).display
    assert isinstance(display, TableRow)
    return display.cells(sample, task)


@pytest.mark.parametrize("modality", DRAWN)
def test_a_sample_of_a_modality_leaves_something_on_its_panel(modality: Modality) -> None:
    batch = INPUTS[modality.value](1)
    axes = Figure().subplots()
    _draw(modality, axes, {name: array[0].numpy() for name, array in batch.items()})
    assert axes.has_data()


def test_four_frames_of_a_clip_are_shown_first_to_last() -> None:
    frames = np.arange(16, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), np.uint8)
    axes = Figure().subplots()
    _draw(Modality.VIDEO, axes, {"frames": frames})
    shown = axes.images[0].get_array()
    assert shown.shape == (4, 6, 3)
    assert shown[[0, 0, 3, 3], [0, 5, 0, 5], 0].tolist() == [0, 5, 10, 15]


def test_what_a_depth_camera_did_not_measure_is_left_out() -> None:
    depth = np.full((4, 2, 2), 900, np.uint16)
    depth[:, 0, 0] = 0
    axes = Figure().subplots()
    _draw(Modality.DEPTH, axes, {"depth": depth})
    assert axes.images[0].get_array().mask.sum() == 4


def test_texts_are_read_back_from_their_tokens() -> None:
    spec = preprocess_spec(Modality.TEXT, max_tokens=32, pair=True)
    (sample,) = preprocessor_for(spec).prepare(("It rains.", "The street is wet!")).samples
    cells = _cells(Modality.TEXT, sample, _task(spec, sample, Modality.TEXT))
    assert cells == {"text": "It rains.", "second text": "The street is wet!"}


def test_a_row_is_read_back_in_the_order_of_its_columns() -> None:
    columns = [
        {"name": "job", "kind": "category", "categories": ["cook", "judge"]},
        {"name": "age", "kind": "number", "mean": 40.0, "std": 9.0},
        {"name": "home", "kind": "category", "categories": ["own", "rent"]},
        {"name": "pay", "kind": "number"},
    ]
    spec = preprocess_spec(Modality.TABULAR, columns=columns)
    preprocessor = preprocessor_for(spec)
    row = {"job": "judge", "age": 61, "home": "boat", "pay": None}
    (sample,) = preprocessor.prepare(preprocessor.decode_json([row])).samples
    cells = _cells(Modality.TABULAR, sample, _task(spec, sample, Modality.TABULAR))
    assert list(cells.items()) == [
        ("job", "judge"),
        ("age", "61"),
        ("home", "(unknown)"),
        ("pay", ""),
    ]
