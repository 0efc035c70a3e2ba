"""What training knows of inertial sensors: restoring runs, and heads of other channels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from omnivec2.errors import InvalidInputError
from omnivec2.network.tokenizers.series import ImuTokenizer, ImuTokenizerConfig
from omnivec2.preprocess import Array, Sample
from omnivec2.preprocess.imu import ImuParameters, ImuPreprocessor
from omnivec2.spec import Modality, PreprocessSpec, TaskFamily
from omnivec2.training.adaptation.frozen_network import Base, load_base
from omnivec2.training.adaptation.reading.labelled_rows import Row, Value
from omnivec2.training.data import augmentation
from omnivec2.training.data.array_inputs import prepare_array
from omnivec2.training.data.base import Split, TaskData, preprocess_spec
from omnivec2.training.modalities.imu import TRAINING, ImuRestoration, ImuRules
from omnivec2.training.pictures.input_drawings import Drawing
from tests.support.data_sets import adapt_data
from tests.support.training import tiny_tasks

RULES = ImuRules()
TABLE = Path("walks.csv")
PATCH, WIDTH = 8, 4


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A base of 16 samples over acc_x, acc_y and acc_z."""
    directory = adapt_data.tiny_base(tmp_path_factory.mktemp("base") / "checkpoint", Modality.IMU)
    return load_base(directory, Modality.IMU)


def task_of(channels: list[str], samples: list[Sample]) -> TaskData:
    return TaskData(
        route="imu/pace",
        family=TaskFamily.CLASSIFICATION,
        preprocess=preprocess_spec(Modality.IMU, window=16, channels=channels),
        splits={"train": Split(samples, [0] * len(samples))},
        metric="accuracy",
        test_name="any",
        sources=(tiny_tasks.SOURCE,),
    )


def signals(count: int, channels: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    scale = np.arange(1, channels + 1)
    return [
        {"signal": (rng.normal(size=(16, channels)) * scale + scale).astype(np.float32)}
        for _ in range(count)
    ]


# --- restoring hidden runs ----------------------------------------------------------------


@pytest.fixture
def restoration() -> ImuRestoration:
    tokenizer = ImuTokenizer(ImuTokenizerConfig(window=16, channels=2, patch=4), WIDTH)
    tokenizer.mean.copy_(torch.tensor([1.0, -1.0]))
    tokenizer.std.copy_(torch.tensor([2.0, 0.5]))
    return ImuRestoration(tokenizer)


def test_hidden_runs_are_flat_at_the_mean_and_visible_ones_as_they_were(
    restoration: ImuRestoration,
) -> None:
    inputs = {"signal": torch.randn(1, 16, 2)}
    hidden = torch.tensor([[False, True, False, False]])
    seen = restoration.hide(inputs, hidden, torch.Generator())["signal"]
    assert torch.equal(seen[:, 4:8], restoration.tokenizer.mean.expand(1, 4, 2))
    kept = [*range(4), *range(8, 16)]
    assert torch.equal(seen[:, kept], inputs["signal"][:, kept])


def test_every_run_may_be_hidden_and_has_a_place(restoration: ImuRestoration) -> None:
    inputs = {"signal": torch.zeros(3, 16, 2)}
    assert restoration.maskable(inputs).tolist() == [[True] * 4] * 3
    assert restoration.places(inputs).shape == (1, 4, WIDTH)
    assert restoration.outputs == 4 * 2


def test_the_loss_counts_hidden_runs_alone_in_deviations_of_each_channel(
    restoration: ImuRestoration,
) -> None:
    inputs = {"signal": torch.zeros(1, 16, 2) + restoration.tokenizer.mean}
    predicted = torch.zeros(1, 4, 8)
    hidden = torch.tensor([[False, True, False, False]])
    assert restoration.loss(predicted, inputs, hidden) == 0
    inputs["signal"][:, 4:8] += restoration.tokenizer.std
    inputs["signal"][:, 8:] += 100.0
    assert restoration.loss(predicted, inputs, hidden).item() == pytest.approx(1.0)


# --- the columns of a table ---------------------------------------------------------------


def test_a_table_with_a_column_of_paths_is_a_table_of_recordings() -> None:
    assert RULES.input_columns(TABLE, ["person", "path"]) == ["path"]
    assert RULES.input_columns(TABLE, ["recording"]) == ["recording"]


def test_a_table_of_samples_must_say_which_make_up_a_recording() -> None:
    message = r"walks\.csv: give --group, .* or --input, .*; the table has 'acc_x', 'acc_y'"
    with pytest.raises(InvalidInputError, match=message):
        RULES.input_columns(TABLE, ["acc_x", "acc_y"])


# --- the channels of the data -------------------------------------------------------------


def channels_in(base: Base, value: Value, *given: str) -> Any:
    return RULES.parameters_from_data([Row("row 1", value, "walk")], base.head, given)


def test_an_array_of_as_many_channels_is_taken_for_those_of_the_base(base: Base) -> None:
    assert channels_in(base, np.zeros((50, 3))) == {}


def test_the_channels_of_an_array_of_another_width_are_numbered(base: Base) -> None:
    assert channels_in(base, np.zeros((50, 2))) == {"channels": ["channel_1", "channel_2"]}


def test_channels_that_the_request_names_are_kept(base: Base) -> None:
    assert channels_in(base, np.zeros((50, 2)), "channels") == {}


def test_numeric_columns_but_time_are_channels_of_a_json_recording(base: Base) -> None:
    value = {
        "time": [0.0, 0.02, 0.04],
        "heart": [60, 61, 62],
        "breath": [0.1, 0.2, 0.3],
        "place": ["park", "park", "street"],
        "device": "watch",
    }
    assert channels_in(base, value) == {"channels": ["heart", "breath"]}


def test_a_recording_with_every_channel_of_the_base_may_have_more(base: Base) -> None:
    value = {name: [0.0, 1.0] for name in ("acc_x", "acc_y", "acc_z", "heart")}
    assert channels_in(base, value) == {}


def test_a_file_without_a_header_has_the_channels_of_the_base(base: Base, tmp_path: Path) -> None:
    path = tmp_path / "walk.csv"
    path.write_text("0.1,0.2,9.8\n0.2,0.2,9.7\n")
    assert channels_in(base, path) == {}


def test_the_header_of_a_file_names_its_channels(base: Base, tmp_path: Path) -> None:
    path = tmp_path / "walk.csv"
    path.write_text("timestamp,gyro_x,gyro_y\n0.00,0.1,0.2\n0.02,0.2,0.2\n")
    assert channels_in(base, path) == {"channels": ["gyro_x", "gyro_y"]}


def test_a_value_that_is_no_recording_is_refused_with_its_row(base: Base) -> None:
    with pytest.raises(InvalidInputError, match="row 1: expected a recording, a table of channels"):
        channels_in(base, "walking")


# --- the tokenizer ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        ({}, False),
        ({"window": 32}, True),
        ({"rate_hz": 100.0}, True),
        ({"channels": ("acc_z", "acc_y", "acc_x")}, True),
    ],
    ids=["the base's", "window", "rate", "order of channels"],
)
def test_other_parameters_than_the_base_s_need_a_tokenizer_of_their_own(
    base: Base, change: dict[str, Any], needed: bool
) -> None:
    parameters = ImuParameters.model_validate(dict(base.head.preprocess.parameters) | change)
    assert RULES.needs_own_tokenizer(ImuPreprocessor(parameters), base.head) is needed


def projection(channels: int, start: float = 0.0) -> torch.Tensor:
    """Weights that tell output, sample and channel: (WIDTH, PATCH * channels)."""
    size = WIDTH * PATCH * channels
    return torch.arange(start, start + size).reshape(WIDTH, PATCH * channels)


def test_weights_of_channels_that_both_have_are_copied_by_name(base: Base) -> None:
    known = projection(3, start=1000)
    own = projection(4)
    drawn = own.clone()
    task = task_of(["acc_z", "heart", "acc_x", "breath"], signals(1, 4))
    RULES.start_projection(own, known, base, task)
    before, after = (each.reshape(WIDTH, PATCH, 4) for each in (drawn, own))
    source = known.reshape(WIDTH, PATCH, 3)
    assert torch.equal(after[..., 0], source[..., 2])
    assert torch.equal(after[..., 2], source[..., 0])
    assert torch.equal(after[..., [1, 3]], before[..., [1, 3]])


def test_a_projection_of_runs_of_another_length_stays_as_drawn(base: Base) -> None:
    own = torch.ones(WIDTH, 2 * PATCH * 3)
    task = task_of(["acc_x", "acc_y", "acc_z"], signals(1, 3))
    RULES.start_projection(own, projection(3), base, task)
    assert (own == 1).all()


def test_a_base_that_names_no_channels_has_the_default_ones(base: Base) -> None:
    bare = PreprocessSpec(name=Modality.IMU, version=1, parameters={})
    base = replace(base, head=base.head.model_copy(update={"preprocess": bare}))
    default = ImuParameters().channels
    assert channels_in(base, np.zeros((50, len(default)))) == {}
    known, own = projection(len(default), start=1000), projection(1)
    RULES.start_projection(own, known, base, task_of([default[2]], signals(1, 1)))
    assert torch.equal(own, known.reshape(WIDTH, PATCH, len(default))[..., 2])


def test_only_threes_of_channels_are_turned_like_axes_of_a_sensor() -> None:
    assert RULES.augmentation(signals(1, 6)) is augmentation.imu
    assert RULES.augmentation(signals(1, 4)) is None


def test_an_array_is_cut_into_windows_like_a_file(base: Base, tmp_path: Path) -> None:
    parameters = ImuParameters.model_validate(dict(base.head.preprocess.parameters))
    preprocessor = ImuPreprocessor(parameters)
    array: Array = np.random.default_rng(0).integers(-5, 5, (40, 3)).astype(np.int16)
    columns = dict(zip(parameters.channels, array.T.tolist(), strict=True))
    wanted = preprocessor.prepare(preprocessor.decode(json.dumps(columns).encode()))
    found = prepare_array(array, preprocessor)
    assert len(found.samples) == len(wanted.samples) > 1
    for one, other in zip(found.samples, wanted.samples, strict=True):
        np.testing.assert_array_equal(one["signal"], other["signal"])


# --- training -----------------------------------------------------------------------------


def test_a_tokenizer_takes_its_sizes_and_constants_from_the_training_part() -> None:
    samples = signals(20, 4)
    task = task_of(["a", "b", "c", "d"], samples)
    config = TRAINING.tokenizer_config(task)
    assert isinstance(config, ImuTokenizerConfig)
    assert (config.window, config.channels) == (16, 4)
    constants = TRAINING.tokenizer_constants(task)
    values = np.concatenate([sample["signal"] for sample in samples])
    np.testing.assert_allclose(constants["mean"], values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(constants["std"], values.std(axis=0), rtol=1e-4)


def test_a_channel_at_rest_has_a_deviation_to_divide_by() -> None:
    task = task_of(["a"], [{"signal": np.ones((16, 1), np.float32)}])
    assert TRAINING.tokenizer_constants(task)["std"][0] > 0


def test_plain_features_are_the_samples_with_mean_and_deviation_of_each_channel() -> None:
    samples = signals(3, 2)
    rows = TRAINING.plain_features(samples)
    assert rows.shape == (3, 16 * 2 + 4)
    np.testing.assert_array_equal(rows[0, :32], samples[0]["signal"].ravel())
    np.testing.assert_allclose(rows[0, 32:34], samples[0]["signal"].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(rows[0, 34:], samples[0]["signal"].std(axis=0), rtol=1e-5)


def test_a_recording_is_drawn_as_a_line_per_channel() -> None:
    axes = Figure().subplots()
    assert isinstance(TRAINING.display, Drawing)
    [sample] = signals(1, 5)
    TRAINING.display.draw(axes, sample)
    assert len(axes.lines) == 5
    np.testing.assert_array_equal(axes.lines[2].get_ydata(), sample["signal"][:, 2])
