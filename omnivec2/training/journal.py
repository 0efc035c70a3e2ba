"""The log of a run: progress, ``log.jsonl`` and the logs of experiments."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from omnivec2.atomic_files import write_file
from omnivec2.training.runs.experiment_logs import TENSORBOARD, LoggedRun, open_logs
from omnivec2.training.runs.progress_display import ProgressBars, ProgressLines, Speeds

__all__ = ["DEFAULT_LOGS", "LOG_FILE", "TENSORBOARD", "Journal", "drop_repeated_rows"]

LOG_FILE = "log.jsonl"
DEFAULT_LOGS = ("tensorboard",)


class Journal:
    """The log of one stage; a context manager.

    Args:
        run: The run's directory.
        stage: The name of the stage.
        console: The console for progress: bars on a terminal, else a line now and then.
        steps_before: The steps of earlier stages, so that logs' axes span the whole run.
        steps: The ``(first, last)`` step of the stage that is run now.
        logs: The kinds of experiment logs, from
            :data:`omnivec2.training.runs.experiment_logs.LOGS`.
        settings: The recipe for those logs, as dotted names and values.
    """

    def __init__(
        self,
        run: Path,
        stage: str,
        console: Console,
        steps_before: int,
        steps: tuple[int, int],
        *,
        logs: Sequence[str] = DEFAULT_LOGS,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.stage, self.console, self.steps_before = stage, console, steps_before
        self._path = run / LOG_FILE
        drop_repeated_rows(self._path, stage, steps[0])
        self._log = self._path.open("a", buffering=1)
        self._boards = open_logs(logs, LoggedRun(run, steps_before + steps[0], settings or {}))
        display = ProgressBars if console.is_terminal else ProgressLines
        self._display = display(console, stage, steps)
        self._speeds = Speeds()
        self._started = self._last = time.monotonic()

    def __enter__(self) -> Journal:
        self._display.start()
        self._started = self._last = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._display.stop()
        for board in self._boards:
            board.close()
        self._log.close()

    def step(
        self,
        step: int,
        losses: Mapping[str, float],
        samples: Mapping[str, int],
        scalars: Mapping[str, float],
    ) -> None:
        """Record a finished step.

        Args:
            step: The step of the stage.
            losses: The losses by route.
            samples: The numbers of samples by route.
            scalars: Some further values for the experiment logs, by name.
        """
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        row: dict[str, Any] = {"stage": self.stage, "step": step}
        row |= {"seconds": round(now - self._started, 2), **losses}
        self._log.write(json.dumps(row) + "\n")
        values = {}
        for route, loss in losses.items():
            modality = route.partition("/")[0]
            self._speeds.add(modality, loss, samples[route], seconds / len(losses))
            values[f"loss/{route}"] = loss
            values[f"speed/{modality}"] = self._speeds.speed(modality)
        self._add(step, values | dict(scalars))
        self._display.step(step, losses, self._speeds)

    def scores(self, step: int, scores: Mapping[str, Mapping[str, float]]) -> None:
        """Record scores on the validation splits."""
        self._add(step, {
            f"val {name}/{route}": value
            for route, values in scores.items()
            for name, value in values.items()
        })  # fmt: skip

    def flush(self) -> None:
        """Flush everything to disk."""
        self._log.flush()
        for board in self._boards:
            board.flush()

    def _add(self, step: int, values: Mapping[str, float]) -> None:
        """Add values under the stage's name to all experiment logs."""
        named = {f"{self.stage}/{name}": value for name, value in values.items()}
        for board in self._boards:
            board.add(self.steps_before + step, named)


def drop_repeated_rows(path: Path, stage: str, first_step: int) -> None:
    """Drop the rows of steps that a resumed run repeats, and a half-written last line."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines(keepends=True):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.get("stage") != stage or row["step"] < first_step:
            kept.append(line)
    write_file(path, "".join(kept).encode())
