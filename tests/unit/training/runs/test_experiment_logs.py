"""Logs of experiments on the local disk, and the error of one whose library is missing."""

from __future__ import annotations

import importlib
import importlib.util
import sqlite3
import sys
from pathlib import Path

import pytest

from omnivec2.errors import OmniVecError
from omnivec2.training.runs.experiment_logs import MLFLOW_DATABASE, LoggedRun, open_logs
from tests.support.coverage_pauses import uncounted

SETTINGS = {"preset": "tiny", "tasks.imu/activity.weight": 1.0}
needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None or importlib.util.find_spec("alembic") is None,
    reason="the extra mlflow is not installed",
)


def _rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / MLFLOW_DATABASE) as database:
        return database.execute(query).fetchall()


@needs_mlflow
def test_a_run_and_its_resumption_are_one_run_of_mlflow(tmp_path, monkeypatch):
    client = importlib.import_module("mlflow.tracking").MlflowClient
    monkeypatch.setattr(client, "__init__", uncounted(client.__init__))  # writes a database
    run = tmp_path / "first"
    run.mkdir()
    for first_step in (0, 2):
        (log,) = open_logs(["mlflow"], LoggedRun(run, first_step, SETTINGS))
        log.add(first_step, {"1-supervised/loss/imu/activity": 0.5 + first_step})
        log.close()
    assert _rows(tmp_path, "SELECT name, status FROM runs") == [("first", "FINISHED")]
    assert _rows(tmp_path, "SELECT key, step, value FROM metrics ORDER BY step") == [
        ("1-supervised/loss/imu/activity", 0, 0.5),
        ("1-supervised/loss/imu/activity", 2, 2.5),
    ]
    assert ("preset", "tiny") in _rows(tmp_path, "SELECT key, value FROM params")
    (log,) = open_logs(["mlflow"], LoggedRun(run, 0, SETTINGS))  # trained anew
    log.close()
    assert _rows(tmp_path, "SELECT count(*) FROM runs") == [(2,)]


@pytest.mark.parametrize("kind", ["mlflow", "wandb"])
def test_a_library_that_is_missing_is_named_with_its_extra(kind, tmp_path, monkeypatch):
    for name in ("mlflow", "mlflow.entities", "wandb"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(OmniVecError, match=rf"omnivec2-serve\[all,{kind}\]"):
        open_logs([kind], LoggedRun(tmp_path, 0))


def test_wandb_writes_an_offline_run_that_a_resumed_one_goes_on_with(tmp_path):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    identities = []
    for first_step in (0, 2):
        (log,) = open_logs(["wandb"], LoggedRun(tmp_path, first_step, SETTINGS))
        log.add(first_step, {"loss": 1.0})
        log.close()
        identities.append((tmp_path / "wandb-run-id").read_text())
    assert identities[0] == identities[1]
    assert len(list((tmp_path / "wandb").glob(f"offline-run-*-{identities[0]}"))) == 2
