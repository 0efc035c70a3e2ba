from __future__ import annotations

import sys
from pathlib import Path

import pytest

from export.exported_checkpoint import read_exported_checkpoint
from export.repository.assembly import assemble
from export.repository.cost_measurement import measure_costs, write_cost_table
from export.repository.layouts import Layout, plan
from export.repository.triton_options import read_cost_table
from omnivec2.errors import ExportError
from tests.support.checkpoints.exported import REFERENCE

CHEAP = "head_tabular_income"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("repository")
    assemble(REFERENCE, out, Layout.SHARED)
    return out


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_every_batch_size_of_a_graph_is_measured(
    engine: str, repository: Path, tmp_path: Path
) -> None:
    pytest.importorskip(engine)
    planned = {m.name: m for m in plan(read_exported_checkpoint(REFERENCE), Layout.SHARED)}
    models = [planned[CHEAP], planned["head_embedding"], planned["tabular_income"]]
    table = measure_costs(models, repository, engine)
    assert table.engine == engine
    assert table.cores >= 1
    assert set(table.seconds) == {CHEAP, "head_embedding"}  # ensembles compute nothing themselves
    assert list(table.seconds[CHEAP]) == [1, 2, 4, 8, 16, 32]
    write_cost_table(table, tmp_path / "costs.json")
    assert read_cost_table(tmp_path / "costs.json") == table


def test_an_engine_that_is_not_installed_is_named(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    planned = {m.name: m for m in plan(read_exported_checkpoint(REFERENCE), Layout.SHARED)}
    with pytest.raises(ExportError, match="OpenVINO is not installed"):
        measure_costs([planned[CHEAP]], repository, "openvino")
