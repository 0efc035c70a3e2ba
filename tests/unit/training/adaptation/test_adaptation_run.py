"""Whole adaptations of a tiny, untrained network: to what is easy to tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.numpy import load_file, save_file

from omnivec2.checkpoint import load_stored_tensors, read_checkpoint
from omnivec2.errors import InvalidInputError, InvalidParameterError, UnknownModelError
from omnivec2.network.saved_network import load_network
from omnivec2.spec import Modality
from omnivec2.training.adaptation.adaptation_request import request_of
from omnivec2.training.adaptation.adaptation_result import (
    AdaptationResult,
)
from omnivec2.training.adaptation.adaptation_run import AdaptationPaths, adapt
from tests.support.data_sets import adapt_data


def run(
    base: Path, folder: Path, route: str, train: dict[str, Any], **fields: Any
) -> AdaptationResult:
    values = {
        "route": route,
        "train": train,
        "sources": [{"name": "made up", "licence": "CC0"}],
        "hidden": 16,
        "tokenizer_steps": 80,
    }
    paths = AdaptationPaths(base, folder / "run", folder / "adapted")
    return adapt(request_of(values | fields, "the test"), paths, Console(quiet=True))


def test_pictures_become_a_head_on_the_trunk_as_it_is_stored(base: Path, tmp_path: Path) -> None:
    pictures = adapt_data.picture_folder(tmp_path / "pictures")
    result = run(base, tmp_path, "image/light", {"path": pictures}, fraction=0.5)
    assert (result.labelled, result.pool, result.samples) == (10, 19, 5)
    assert result.value == 1.0
    assert set(result.baselines) == {"majority", "linear"}
    written = read_checkpoint(tmp_path / "adapted")
    [head] = written.heads
    assert head.labels == ("dark", "light")
    assert head.metrics[0].value == result.value
    assert head.data[0].licence == "CC0"
    before, after = load_stored_tensors(base), load_stored_tensors(tmp_path / "adapted")
    kept = [name for name in after if name.startswith(("trunk.", "tokenizers.image."))]
    assert len(kept) > 50
    assert all(np.array_equal(before[name], after[name]) for name in kept)
    assert all(after[name].dtype == before[name].dtype for name in kept)


def test_the_network_is_run_once_for_the_same_samples(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnivec2.training.adaptation.fitting import frozen_summaries

    pictures = adapt_data.picture_folder(tmp_path / "pictures", count=6)
    calls: list[int] = []
    compute = frozen_summaries.compute

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(len(arguments[2]))
        return compute(*arguments, **options)

    monkeypatch.setattr(frozen_summaries, "compute", counted)
    first = run(base, tmp_path, "image/light", {"path": pictures})
    second = run(base, tmp_path, "image/light", {"path": pictures})
    assert calls == [10, 2]
    assert first.value == second.value
    # What was kept before a summary was thought of lacks it.
    [kept, other] = (tmp_path / "run").glob("*.safetensors")
    for file in (kept, other):
        save_file({"sum": next(iter(load_file(file).values()))}, file)
    assert run(base, tmp_path, "image/light", {"path": pictures}).value == first.value
    assert calls == [10, 2, 10, 2]


def test_texts_of_a_table_become_a_head(base: Path, tmp_path: Path) -> None:
    table = adapt_data.text_table(tmp_path / "texts.csv")
    result = run(base, tmp_path, "text/topic", {"path": table, "label": "topic"})
    assert result.value >= 0.75
    [head] = read_checkpoint(tmp_path / "adapted").heads
    assert head.preprocess.parameters["pair"] is False


def test_other_channels_get_a_tokenizer_of_their_own(base: Path, tmp_path: Path) -> None:
    data = adapt_data.recordings(tmp_path / "imu.npz")
    train = {"path": data, "input": "signal", "lengths": "length", "label": "action"}
    channels = ["acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z"]
    result = run(base, tmp_path, "imu/pace", train, preprocess={"channels": channels})
    assert result.value >= 0.75
    network = load_network(tmp_path / "adapted")
    assert list(network.tokenizers) == ["imu_pace"]
    assert network.tokenizers["imu_pace"].get_buffer("mean").shape == (6,)
    before, after = load_stored_tensors(base), load_stored_tensors(tmp_path / "adapted")
    trunk = [name for name in after if name.startswith("trunk.")]
    assert all(np.array_equal(before[name], after[name]) for name in trunk)


def test_pixels_of_a_scene_with_other_bands_become_a_head_per_pixel(
    base: Path, tmp_path: Path
) -> None:
    data = adapt_data.scene(tmp_path / "scene.mat")
    train = {"path": data, "input": "cube", "label": "gt"}
    result = run(
        base, tmp_path, "hyperspectral/crop", train,
        family="segmentation", labels={"2": "wheat", "5": "maize"}, fraction=0.4,
    )  # fmt: skip
    assert result.value >= 0.9
    [head] = read_checkpoint(tmp_path / "adapted").heads
    assert head.labels == ("wheat", "maize")
    assert head.inputs[0].shape == (3, 3, 25)


def test_rows_of_a_table_get_a_schema_and_a_tokenizer(base: Path, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    rng = np.random.default_rng(0)
    lines = [f"{rng.normal(2 * (i % 2), 0.3):.3f},{'xy'[i % 3 > 0]},{i % 2}" for i in range(60)]
    table.write_text("size,kind,label\n" + "\n".join(lines) + "\n")
    result = run(base, tmp_path, "tabular/size", {"path": table})
    assert result.value >= 0.8
    [head] = read_checkpoint(tmp_path / "adapted").heads
    columns = head.preprocess.parameters["columns"]
    assert [(c["name"], c["kind"]) for c in columns] == [("size", "number"), ("kind", "category")]  # type: ignore[call-overload]


def test_quantities_are_answered_in_their_units(base: Path, tmp_path: Path) -> None:
    table = adapt_data.molecules(tmp_path / "m.csv")
    result = run(
        base, tmp_path, "graph/size", {"path": table, "label": "size"},
        family="regression", targets=[{"name": "size", "unit": "pm"}],
    )  # fmt: skip
    assert result.metric == "rmse"
    assert result.value < result.baselines["majority"]
    [head] = read_checkpoint(tmp_path / "adapted").heads
    assert head.targets[0].unit == "pm"


def test_scores_are_calibrated_and_their_error_is_on_the_card(base: Path, tmp_path: Path) -> None:
    table = adapt_data.number_table(tmp_path / "rows.csv")
    result = run(base, tmp_path, "tabular/kind", {"path": table, "label": "kind"})
    assert result.temperature != 1.0
    accuracy, calibration = read_checkpoint(tmp_path / "adapted").heads[0].metrics
    assert (accuracy.name, calibration.name) == ("accuracy", "ece")
    assert calibration.value == result.ece
    assert calibration.baselines == {"uncalibrated": result.ece_uncalibrated}
    assert not calibration.higher_is_better


def test_tags_become_a_head_with_a_threshold_for_each(base: Path, tmp_path: Path) -> None:
    table = adapt_data.tag_table(tmp_path / "tags.csv")
    train = {"path": table, "label": "tags", "input": "sentence"}
    result = run(base, tmp_path, "text/tags", train, multi_label=True)
    assert result.metric == "map"
    assert result.value > 0.8 > result.baselines["majority"]
    [head] = read_checkpoint(tmp_path / "adapted").heads
    assert head.labels == ("cats", "money")
    assert len(head.thresholds) == 2
    assert all(0 < threshold < 1 for threshold in head.thresholds)


def test_series_of_several_lengths_become_a_head_of_classes(base: Path, tmp_path: Path) -> None:
    table = adapt_data.long_waves(tmp_path / "waves.csv")
    train = {"path": table, "label": "pace", "group": "machine"}
    result = run(base, tmp_path, "timeseries/pace", train, tokenizer_steps=0)
    assert result.value >= 0.8
    [head] = read_checkpoint(tmp_path / "adapted").heads
    assert head.inputs[0].shape == (30,)
    assert set(head.labels) == {"quick", "slow"}


def test_what_is_known_of_people_is_neither_validated_nor_measured_on_them(
    base: Path, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    # A badge tells the person and so the label, which no other person's badge tells.
    rows = [
        f"{generator.uniform():.3f},n{person},{label},{person}\n"
        for person, label in enumerate(generator.permutation(["a", "b"] * 15))
        for _ in range(6)
    ]
    table = tmp_path / "people.csv"
    table.write_text("height,badge,label,person\n" + "".join(rows))
    train = {"path": table, "input": ["height", "badge"]}
    quick = {"tokenizer_steps": 0, "search_seconds": 0}
    mixed = run(base, tmp_path, "tabular/kind", train, **quick)
    apart = run(base, tmp_path, "tabular/kind", {**train, "group": "person"}, **quick)
    assert mixed.value > 0.9
    assert mixed.validation > 0.9
    assert apart.value < 0.8
    assert apart.validation < 0.8
    assert apart.samples % 6 == 0


def test_series_become_a_forecast_with_quantiles_that_is_ahead_of_the_last_season(
    base: Path, tmp_path: Path
) -> None:
    table = adapt_data.load_table(tmp_path / "load.csv")
    result = run(base, tmp_path, "timeseries/load", {"path": table}, family="forecasting",
                 horizon=12)  # fmt: skip
    assert set(result.baselines) == {"naive", "seasonal", "linear"}
    assert result.value < result.baselines["seasonal"] < result.baselines["naive"]
    assert result.ece is None
    [head] = read_checkpoint(tmp_path / "adapted").heads
    assert (head.horizon, head.quantiles) == (12, (0.1, 0.5, 0.9))
    assert [tensor.shape for tensor in head.outputs] == [(12,), (3, 12)]
    network = load_network(tmp_path / "adapted")
    values = 100 + 20 * np.sin(np.arange(64) * 2 * np.pi / 12)
    with torch.no_grad():
        inputs = {"values": torch.from_numpy(values[None].astype(np.float32))}
        answer = network("timeseries/load", inputs)
    low, middle, high = answer["quantiles"][0]
    assert (low < high).all()
    # Twelve steps are one season: the next values are those of the last twelve.
    assert np.abs(answer["mean"][0].numpy() - values[-12:]).max() < 4
    assert np.abs(middle.numpy() - values[-12:]).max() < 4


def test_a_pass_that_is_interrupted_goes_on_where_it_was(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omnivec2.training.adaptation.fitting import frozen_summaries

    pictures = adapt_data.picture_folder(tmp_path / "pictures", count=40)
    seen: list[int] = []
    of_batch = frozen_summaries._of_batch

    def interrupted(*arguments: Any) -> Any:
        if seen:
            raise KeyboardInterrupt
        seen.append(len(arguments[2]))
        return of_batch(*arguments)

    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(frozen_summaries, "_of_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(base, tmp_path, "image/light", {"path": pictures})

    def counted(*arguments: Any) -> Any:
        seen.append(len(arguments[2]))
        return of_batch(*arguments)

    monkeypatch.setattr(frozen_summaries, "_of_batch", counted)
    assert run(base, tmp_path, "image/light", {"path": pictures}).value == 1.0
    # 64 samples to learn from, of which 32 were done, and 16 to measure on.
    assert seen == [32, 32, 16]


def _write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


REFUSED: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "one class": (("text,label", *["a,x"] * 8), {}, "add inputs of another class"),
    "no label column": (("text,kind", "a,x", "b,y"), {}, "give --labels"),
    "an empty label": (("text,label", "a,x", "b,"), {}, "row 2: the label .* is empty; fill it in"),
    "fewer rows than folds": (("text,label", "a,x", "b,y", "c,x", "d,x"), {}, "needs 5"),
    "numbers as classes": (
        ("text,label", *[f"t {i},{i / 7:.3f}" for i in range(90)]), {}, "--task-family regression",
    ),
    "a quantity that is not a number": (
        ("text,label", "a,1", "b,nan"),
        {"family": "regression", "targets": [{"name": "label"}]},
        "row 2: expected a finite number",
    ),
    "no tags": (("text,label", *["a,"] * 9), {"multi_label": True}, "no input has a tag"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_data_is_refused_with_what_to_do(base: Path, tmp_path: Path, name: str) -> None:
    lines, fields, message = REFUSED[name]
    table = _write(tmp_path / "t.csv", *lines)
    with pytest.raises(InvalidInputError, match=message):
        run(base, tmp_path, "text/topic", {"path": table, "input": "text"}, **fields)
    assert not (tmp_path / "adapted").exists()


def test_a_file_that_is_listed_twice_is_refused(base: Path, tmp_path: Path) -> None:
    pictures = adapt_data.picture_folder(tmp_path / "pictures", count=2)
    listing = _write(tmp_path / "l.csv", "file,label", "dark/00.png,a", "light/00.png,b",
                     "dark/00.png,b")  # fmt: skip
    with pytest.raises(InvalidInputError, match=r"row 3: 00.png is listed twice, first in row 1"):
        run(base, tmp_path, "image/light", {"path": pictures, "label": str(listing)})


def test_a_horizon_longer_than_the_series_is_refused(base: Path, tmp_path: Path) -> None:
    table = adapt_data.load_table(tmp_path / "load.csv", steps=60)
    with pytest.raises(InvalidInputError, match=r"longest series has 60 steps.*shorter --horizon"):
        run(base, tmp_path, "timeseries/load", {"path": table}, family="forecasting", horizon=50)


def test_bad_inputs_are_named_with_file_and_reason_and_may_be_skipped(
    base: Path, tmp_path: Path
) -> None:
    pictures = adapt_data.picture_folder(tmp_path / "pictures", count=8)
    (pictures / "dark" / "03.png").write_bytes(b"not a picture")
    train = {"path": pictures}
    with pytest.raises(InvalidInputError, match=r"1 of .*--skip-bad 1 .*dark/03.png: "):
        run(base, tmp_path, "image/light", train, test=train)
    assert not (tmp_path / "adapted").exists()
    # The same file is in both parts here.
    result = run(base, tmp_path, "image/light", train, test=train, skip_bad=2)
    assert (result.skipped, result.labelled, result.samples) == (2, 15, 15)


def test_a_class_of_which_every_input_would_be_skipped_is_named(base: Path, tmp_path: Path) -> None:
    pictures = adapt_data.picture_folder(tmp_path / "pictures", count=4)
    for path in (pictures / "dark").iterdir():
        path.write_bytes(b"not a picture")
    with pytest.raises(InvalidInputError, match=r"every input of dark was skipped.* dark/\d\d"):
        run(base, tmp_path, "image/light", {"path": pictures}, skip_bad=4)
    assert not (tmp_path / "adapted").exists()


def test_what_two_layers_cannot_answer_is_refused(base: Path, tmp_path: Path) -> None:
    train = {"path": adapt_data.picture_folder(tmp_path / "pictures", 1)}
    for route, family in (("image/maps", "summarization"), ("image/boxes", "detection")):
        with pytest.raises(InvalidParameterError, match="omnivec2 train"):
            run(base, tmp_path, route, train, family=family)


def test_another_picture_size_than_the_tokenizers_is_refused(base: Path, tmp_path: Path) -> None:
    train = {"path": adapt_data.picture_folder(tmp_path / "pictures", 4)}
    with pytest.raises(InvalidParameterError, match=r"takes pixels \(32, 32, 3\)"):
        run(base, tmp_path, "image/light", train, preprocess={"height": 64})


def test_a_base_without_the_modality_is_refused(tmp_path: Path) -> None:
    base = adapt_data.tiny_base(tmp_path / "base", Modality.IMU)
    train = {"path": adapt_data.picture_folder(tmp_path / "pictures", 1)}
    with pytest.raises(UnknownModelError, match="no head for image; it has imu"):
        run(base, tmp_path, "image/light", train)
