"""Whole adaptations of a tiny, untrained network: to what is easy to tell apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from omnivec2.checkpoint import load_stored_tensors, read_checkpoint
from omnivec2.errors import InvalidInputError, InvalidParameterError, UnknownModelError
from omnivec2.network.saved_network import load_network
from omnivec2.spec import Modality
from omnivec2.training.adaptation.adaptation_request import read_recipe, recipe_names, request_of
from omnivec2.training.adaptation.adaptation_result import (
    AdaptationResult,
    adapted_table,
    read_json,
    write_json,
)
from omnivec2.training.adaptation.adaptation_run import AdaptationPaths, adapt
from omnivec2_cli.main import app
from tests.support import adapt_data


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapt_data.tiny_base(tmp_path_factory.mktemp("base") / "checkpoint")


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
    second = run(base, tmp_path, "image/light", {"path": pictures}, hidden=8)
    assert calls == [10, 2]
    assert first.value == second.value
    # What was kept before a summary was thought of lacks it.
    [kept, other] = (tmp_path / "run").glob("*.safetensors")
    for file in (kept, other):
        save_file({"cls": load_file(file)["cls"]}, file)
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
    for route, family in (("timeseries/next", "forecasting"), ("image/boxes", "detection")):
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


def test_a_gain_is_over_the_better_simple_model() -> None:
    lower = AdaptationResult(
        "graph/x", "x", 1, 10, 5, "rmse", 2.0, 2.0, {"majority": 4.0, "linear": 1.5}, "", (), 0,
        {"total": 1.0, "cpu": 1.0}, 0, "",
    )  # fmt: skip
    assert lower.gain == -0.5
    assert adapted_table([lower]).row_count == 1


def test_results_are_kept_one_per_route(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    result = AdaptationResult(
        "graph/x", "x", 1, 10, 5, "rmse", 2.0, 2.0, {"majority": 4.0, "linear": 1.5}, "", (), 0,
        {"total": 1.0, "cpu": 1.0}, 0, "",
    )  # fmt: skip
    for route, value in (("graph/x", 2.0), ("graph/y", 3.0), ("graph/x", 1.0)):
        write_json(replace(result, route=route, value=value), file, threads=2)
    found = [(entry["route"], entry["value"], entry["gain"]) for entry in read_json(file)]
    assert found == [("graph/y", 3.0, -1.5), ("graph/x", 1.0, 0.5)]
    file.write_text("{}")
    with pytest.raises(InvalidInputError, match="expected a list"):
        read_json(file)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_that_ships_is_valid(name: str) -> None:
    request = request_of(read_recipe(name), name)
    assert request.fraction == 0.1
    assert request.sources[0].licence


def test_the_command_writes_a_head_from_a_recipe_of_ones_own(base: Path, tmp_path: Path) -> None:
    adapt_data.picture_folder(tmp_path / "data" / "pictures", count=6)
    recipe = tmp_path / "mine.yaml"
    fields = {
        "route": "image/light",
        "train": {"path": "pictures"},
        "sources": [{"name": "mine", "licence": "CC0"}],
    }
    recipe.write_text(yaml.safe_dump(fields))
    options = ["--data", tmp_path / "data", "-c", base, "--out", tmp_path / "out",
               "--run", tmp_path / "run", "--json", tmp_path / "figures.json"]  # fmt: skip
    outcome = CliRunner().invoke(app, ["adapt", str(recipe), *map(str, options)])
    assert outcome.exit_code == 0, outcome.output
    assert "image/light" in outcome.output
    assert (tmp_path / "figures.json").is_file()
    assert read_checkpoint(tmp_path / "out").heads[0].route == "image/light"


def test_a_quantity_is_named_by_its_column_in_a_listing_of_files(
    base: Path, tmp_path: Path
) -> None:
    pictures = adapt_data.picture_folder(tmp_path / "pictures", count=6)
    listing = tmp_path / "values.csv"
    rows = [f"{path.relative_to(pictures)},{int(path.stem)}" for path in pictures.rglob("*.png")]
    listing.write_text("file,brightness\n" + "\n".join(rows) + "\n")
    options = ["--modality", "image", "--task", "bright", "--task-family", "regression",
               "--data", pictures, "--labels", listing, "--unit", "cd", "-c", base,
               "--out", tmp_path / "out", "--run", tmp_path / "run"]  # fmt: skip
    outcome = CliRunner().invoke(app, ["adapt", *map(str, options)])
    assert outcome.exit_code == 0, outcome.output
    [target] = read_checkpoint(tmp_path / "out").heads[0].targets
    assert (target.name, target.unit) == ("brightness", "cd")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "elegance"}, "expected one of"),
        ({"fractoin": 0.1}, "fractoin: Extra inputs"),
        ({"fraction": 2}, "fraction: Input should be less"),
        ({"train": {"path": "nowhere"}}, "nowhere is not there"),
    ],
)
def test_a_wrong_recipe_is_one_line_that_names_the_field(
    base: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    adapt_data.picture_folder(tmp_path / "pictures", count=2)
    recipe = tmp_path / "mine.yaml"
    fields = {
        "route": "image/light",
        "train": {"path": "pictures"},
        "sources": [{"name": "mine", "licence": "CC0"}],
    }
    recipe.write_text(yaml.safe_dump(fields | change))
    options = ["--data", str(tmp_path), "-c", str(base)]
    outcome = CliRunner().invoke(app, ["adapt", str(recipe), *options])
    assert outcome.exit_code != 0
    assert message in outcome.output
    assert "Traceback" not in outcome.output
