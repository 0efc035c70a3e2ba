from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console
from typer.testing import CliRunner

from omnivec2.errors import ArtifactError
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.training.ablation import ablation_run
from omnivec2.training.ablation.ablation_run import ablate
from omnivec2.training.ablation.ablation_table import ROWS, Cells, spread
from omnivec2.training.ablation.network_variants import make_variant, parameters_in_use
from omnivec2.training.data import load_task
from omnivec2.training.data.base import TaskData
from omnivec2.training.optimisation import WeightAverage
from omnivec2.training.recipe import Recipe
from omnivec2.training.training_run import build_network
from omnivec2_cli.main import app
from tests.support.data_sets.tiny_data import TINY
from tests.support.documents import ROOT

ROUTES = ("xray/pneumonia", "imu/activity")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for route in (*ROUTES, "video/action", "graph/solubility", "tabular/income"):
        TINY[route](root)
    return root


def recipe(*routes: str) -> Recipe:
    tasks = {route: {"weight": 1, "batch_size": 2} for route in routes}
    return Recipe.model_validate(
        {"preset": "tiny", "steps": 2, "bf16": False, "warm_start": False, "tasks": tasks}
    )


def tasks_of(data: Path, *routes: str) -> dict[str, TaskData]:
    return {route: load_task(route, data, cache=data / "cache") for route in routes}


def network_of(data: Path, *routes: str) -> OmniVec2:
    torch.manual_seed(0)
    return build_network(recipe(*routes), tasks_of(data, *routes))[0].eval()


def inputs_of(data: Path, route: str) -> dict[str, torch.Tensor]:
    samples = tasks_of(data, route)[route].splits["train"].samples
    return {name: torch.from_numpy(value.copy())[None] for name, value in samples[0].items()}


def test_one_tokenizer_for_all_is_one_set_of_weights(data: Path) -> None:
    own, shared = network_of(data, *ROUTES), network_of(data, *ROUTES)
    make_variant(own, "patches", "own")
    make_variant(shared, "unified", "own")
    raw = shared.tokenizers["xray"].raw
    assert shared.tokenizers["imu"].raw is raw
    assert own.tokenizers["imu"].raw is not own.tokenizers["xray"].raw
    weights = sum(p.numel() for p in raw.parameters())  # type: ignore[misc]
    assert parameters_in_use(own) - parameters_in_use(shared) == weights
    for route in ROUTES:
        assert shared(route, inputs_of(data, route))["logits"].isfinite().all()


def test_the_numbers_of_a_modality_reach_its_tokens(data: Path) -> None:
    routes = (*ROUTES, "video/action")
    network = network_of(data, *routes)
    make_variant(network, "unified", "own")
    # A tubelet has two frames, all other modalities have fewer numbers.
    assert network.tokenizers["xray"].raw.numbers == 2 * 3 * 16 * 16
    for route in routes:
        inputs = inputs_of(data, route)
        (name,) = inputs
        before = network.tokenize(route, inputs).x_BND
        inputs[name][0, -1] += 1
        after = network.tokenize(route, inputs).x_BND
        changed = (before != after).any(dim=2)[0]
        assert changed[-1]
        assert not changed[0]


def test_one_head_for_all_gives_every_task_its_own_classes(data: Path) -> None:
    network = network_of(data, *ROUTES)
    make_variant(network, "own", "unified")
    pneumonia, activity = (network(route, inputs_of(data, route))["logits"] for route in ROUTES)
    assert (pneumonia.shape, activity.shape) == ((1, 2), (1, 2))
    heads = network.heads["xray_pneumonia"].head, network.heads["imu_activity"].head
    assert heads[0] is heads[1]
    assert heads[0].output.linear.out_features == 4
    with torch.no_grad():
        heads[0].output.linear.bias[2] += 1.0
    moved = network(ROUTES[1], inputs_of(data, ROUTES[1]))["logits"] - activity
    assert moved[0].tolist() == pytest.approx([1, 0], abs=1e-5)


def test_averages_of_weights_with_several_names_reach_all_of_them(data: Path) -> None:
    network = network_of(data, *ROUTES)
    make_variant(network, "unified", "unified")
    average = WeightAverage(network, 0.9)
    state = average.state(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    network.load_state_dict(average.state(network))
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("routes", "variant", "named"),
    [
        (("imu/activity", "tabular/income"), ("patches", "own"), "tabular has no raw patches"),
        (("imu/activity", "graph/solubility"), ("own", "unified"), "graph/solubility: only class"),
    ],
)
def test_what_has_no_such_variant_is_named(
    data: Path, routes: tuple[str, ...], variant: tuple[str, str], named: str
) -> None:
    with pytest.raises(ArtifactError, match=named):
        make_variant(network_of(data, *routes), *variant)


def test_a_table_that_was_stopped_resumes_with_the_next_network(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "table.json"

    def run() -> Cells:
        return ablate(recipe(*ROUTES), data, out, seeds=1, run=tmp_path / "run", console=Console())

    first = run()
    assert [(cell.row, cell.route, cell.steps) for cell in first.measured] == [
        *(("single", route, 1) for route in ROUTES),
        *((row.name, route, 2) for row in ROWS[1:] if not row.autoencoder for route in ROUTES),
    ]
    assert all(cell.metric == "accuracy" and 0 <= cell.value <= 1 for cell in first.measured)
    content = json.loads(out.read_text())
    assert {"created", "hardware", "versions"} <= set(content)
    lost = content["cells"].pop()
    out.write_text(json.dumps(content))
    capsys.readouterr()
    again = run()
    assert capsys.readouterr().out.count("network ") == 1
    # The same network again: its figures are those of its seed.
    assert again.measured[-1].value == lost["value"]
    # Without a masked stage nothing can start as an autoencoder.
    assert [line[0] for line in again.lines()] == ["single", *["multiple"] * 4]


def test_rows_of_an_autoencoder_go_through_a_masked_stage_first(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation_run, "ROWS", [row for row in ROWS if "multiple" in row.name])
    stages = [{"kind": "masked", "steps": 3}, {"kind": "supervised", "steps": 2}]
    made = Recipe.model_validate(
        recipe(*ROUTES).model_dump(exclude_unset=True) | {"steps": 0, "stages": stages}
    )
    run = tmp_path / "run"
    cells = ablate(made, data, tmp_path / "t.json", seeds=1, run=run, console=Console())
    assert [(cell.row, cell.steps) for cell in cells.measured] == [
        *[("multiple", 2)] * 2,
        *[("multiple autoencoder", 5)] * 2,
    ]
    assert [line[0] for line in cells.lines()] == ["multiple", "multiple, autoencoder"]
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["stage"].endswith("masked")] == [0, 1, 2]


def test_other_stages_than_masked_ones_and_a_supervised_one_are_refused(tmp_path: Path) -> None:
    stages = [{"kind": "supervised", "steps": 1}, {"kind": "masked", "steps": 1}]
    made = Recipe.model_validate(
        recipe(*ROUTES).model_dump(exclude_unset=True) | {"steps": 0, "stages": stages}
    )
    with pytest.raises(ArtifactError, match="not supervised, masked"):
        ablate(made, tmp_path, tmp_path / "t.json", seeds=1, run=tmp_path, console=Console())


def test_the_documented_command_prints_the_table(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "training.md").read_text()
    (line,) = re.findall(r"^omnivec2 (ablate .*)$", text, flags=re.MULTILINE)
    (tmp_path / "r.yaml").write_text(
        yaml.safe_dump(recipe("imu/activity").model_dump(mode="json", exclude_unset=True))
    )
    monkeypatch.chdir(tmp_path)
    arguments = [*shlex.split(line.replace("DATA", str(data))), "--seeds", "1", "r.yaml"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "unified" in done.output
    assert len(Cells(tmp_path / "ablation.json").measured) == len(ROWS) - 2
    assert "imu/activity: accuracy" in (tmp_path / "ablation.svg").read_text()


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"cells": [{"row": 1}]}')
    with pytest.raises(ArtifactError, match="is no table of ablations"):
        Cells(tmp_path / "x.json")


def test_a_spread_says_over_how_many_seeds() -> None:
    assert spread([]) == ""
    assert spread([0.5]) == "0.500 (1)"
    assert spread([0.1, 0.2, 0.3]) == "0.200 ± 0.100 (3)"
