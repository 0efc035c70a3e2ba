"""Logs of scalars for tools that compare runs: TensorBoard, MLflow, Weights & Biases.

All write to the local disk and send nothing: MLflow into a database beside the run's directory,
Weights & Biases in its offline mode. Their libraries are imported when a log is opened.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnivec2.errors import OmniVecError

TENSORBOARD = "tensorboard"
MLFLOW_DATABASE = "mlflow.db"
_PROJECT = "omnivec2"
_MLFLOW_BATCH = 500
"""The number of metrics or parameters of one call; MLflow's limits are 1,000 and 100."""
_MLFLOW_PARAMETERS, _MLFLOW_LENGTH = 100, 6000


@dataclass(frozen=True)
class LoggedRun:
    """The run that is logged.

    Attributes:
        folder: The run's directory; its name is the name of the run.
        first_step: The first step that is logged now, counted over all stages; from 0 on it is a
            new run, otherwise the one that was logged last in the directory.
        settings: The recipe, as dotted names and values.
    """

    folder: Path
    first_step: int
    settings: Mapping[str, Any] = field(default_factory=dict)


class ExperimentLog(ABC):
    """A log that is open; values are written at the latest by :meth:`close`."""

    def __init__(self, run: LoggedRun) -> None:
        self.run = run

    @abstractmethod
    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step, counted over all stages, by name."""

    @abstractmethod
    def flush(self) -> None:
        """Write all values to disk."""

    @abstractmethod
    def close(self) -> None:
        """Write all values to disk and close the log."""


class TensorBoardLog(ExperimentLog):
    """TensorBoard's files in the run's directory; a resumed run hides the steps it repeats."""

    def __init__(self, run: LoggedRun) -> None:
        super().__init__(run)
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(run.folder / TENSORBOARD, purge_step=run.first_step)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def flush(self) -> None:
        """Write all values to disk."""
        self._board.flush()

    def close(self) -> None:
        """Close the files."""
        self._board.close()


class MLflowLog(ExperimentLog):
    """A run in an MLflow database, which the runs of the same parent directory share."""

    _TAG = "omnivec2.run"

    def __init__(self, run: LoggedRun) -> None:
        super().__init__(run)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        parent = run.folder.resolve().parent
        self._metric = Metric
        self._client = MlflowClient(tracking_uri=f"sqlite:///{parent / MLFLOW_DATABASE}")
        found = self._client.get_experiment_by_name(_PROJECT)
        experiment = found.experiment_id if found else self._client.create_experiment(
            _PROJECT, artifact_location=(parent / "mlflow-artifacts").as_uri()
        )  # fmt: skip
        self._id = self._resumed(experiment) or self._start(experiment)
        parameters = [Param(k, str(v)[:_MLFLOW_LENGTH]) for k, v in run.settings.items()]
        if run.first_step == 0:  # MLflow refuses to change a parameter
            for start in range(0, len(parameters), _MLFLOW_PARAMETERS):
                part = parameters[start : start + _MLFLOW_PARAMETERS]
                self._client.log_batch(self._id, params=part)
        self._waiting: list[Any] = []

    def _resumed(self, experiment: str) -> str | None:
        """Return the run that this directory logged last, if it is resumed."""
        if self.run.first_step == 0:
            return None
        name = str(self.run.folder.resolve()).replace("'", "")
        runs = self._client.search_runs(
            [experiment], f"tags.`{self._TAG}` = '{name}'", max_results=1
        )
        if not runs:
            return None
        found: str = runs[0].info.run_id
        self._client.update_run(found, status="RUNNING")
        return found

    def _start(self, experiment: str) -> str:
        folder = self.run.folder.resolve()
        tags = {self._TAG: str(folder).replace("'", "")}
        made: str = self._client.create_run(experiment, tags=tags, run_name=folder.name).info.run_id
        return made

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step; they are written together, some hundred at a time."""
        now = int(time.time() * 1000)
        self._waiting += [self._metric(k, float(v), now, step) for k, v in values.items()]
        if len(self._waiting) >= _MLFLOW_BATCH:
            self.flush()

    def flush(self) -> None:
        """Write all values to the database."""
        for start in range(0, len(self._waiting), _MLFLOW_BATCH):
            part = self._waiting[start : start + _MLFLOW_BATCH]
            self._client.log_batch(self._id, metrics=part)
        self._waiting = []

    def close(self) -> None:
        """Write all values and mark the run as finished."""
        self.flush()
        self._client.set_terminated(self._id)


class WandbLog(ExperimentLog):
    """An offline run of Weights & Biases in the run's directory; ``wandb sync`` uploads it."""

    def __init__(self, run: LoggedRun) -> None:
        super().__init__(run)
        import wandb

        identity = run.folder / "wandb-run-id"
        if run.first_step == 0 or not identity.exists():
            identity.write_text(uuid.uuid4().hex[:12])
        self._run = wandb.init(
            project=_PROJECT,
            name=run.folder.resolve().name,
            dir=run.folder,
            id=identity.read_text(),
            resume="allow",
            mode="offline",
            config=dict(run.settings),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        self._run.log(dict(values), step=step)

    def flush(self) -> None:
        """Do nothing: its own process writes at once."""

    def close(self) -> None:
        """Finish the offline run."""
        self._run.finish()


LOGS: dict[str, type[ExperimentLog]] = {
    "tensorboard": TensorBoardLog,
    "mlflow": MLflowLog,
    "wandb": WandbLog,
}
"""The kinds of logs by the name that ``--log`` takes; also the extra that installs the library."""
_EXTRAS = {"tensorboard": "train", "mlflow": "mlflow", "wandb": "wandb"}


def open_logs(kinds: Sequence[str], run: LoggedRun) -> list[ExperimentLog]:
    """Open a log of every kind.

    Args:
        kinds: Some names of :data:`LOGS`.
        run: The run to log.

    Raises:
        OmniVecError: The library of a kind is not installed; the extra is named.
    """
    logs = []
    for kind in dict.fromkeys(kinds):
        try:
            logs.append(LOGS[kind](run))
        except ModuleNotFoundError as error:
            raise OmniVecError(
                f"--log {kind} needs {error.name}: "
                f"pip install 'omnivec2-serve[all,{_EXTRAS[kind]}]'"
            ) from error
    return logs
