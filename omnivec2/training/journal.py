"""The log of a run: progress bars, ``log.jsonl`` and TensorBoard."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from torch.utils.tensorboard import SummaryWriter

from omnivec2.atomic_files import write_file

LOG_FILE = "log.jsonl"
TENSORBOARD = "tensorboard"
_LOSS_DECAY = 0.9
"""The decay per step of the smoothed losses that bars show."""
_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"))  # fmt: skip


class Journal:
    """The log of one stage; a context manager.

    Args:
        run: The run's directory.
        stage: The name of the stage.
        console: The console for the bars.
        steps_before: The steps of earlier stages, so that TensorBoard's axis spans the whole run.
        steps: The ``(first, last)`` step of the stage that is run now.
    """

    def __init__(
        self, run: Path, stage: str, console: Console, steps_before: int, steps: tuple[int, int]
    ) -> None:
        self.stage = stage
        self._steps_before = steps_before
        self._path = run / LOG_FILE
        drop_repeated_rows(self._path, stage, steps[0])
        self._log = self._path.open("a", buffering=1)
        self._board = SummaryWriter(run / TENSORBOARD, purge_step=steps_before + steps[0])
        self._bars = Progress(*_COLUMNS, console=console)
        self._stage_bar = self._bars.add_task(stage, total=steps[1], completed=steps[0], note="")
        self._modality_bars: dict[str, TaskID] = {}
        self._loss: dict[str, float] = {}
        self._seconds: dict[str, float] = defaultdict(float)
        self._samples: dict[str, int] = defaultdict(int)
        self._started = self._last = time.monotonic()

    def __enter__(self) -> Journal:
        self._bars.start()
        self._started = self._last = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()
        self._board.close()
        self._log.close()

    @property
    def console(self) -> Console:
        """The console that prints above the bars."""
        return self._bars.console

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
            scalars: Some further values for TensorBoard, by name.
        """
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        row: dict[str, Any] = {"stage": self.stage, "step": step}
        row |= {"seconds": round(now - self._started, 2), **losses}
        self._log.write(json.dumps(row) + "\n")
        run_step = self._steps_before + step
        for route, loss in losses.items():
            self._board.add_scalar(f"{self.stage}/loss/{route}", loss, run_step)
            self._show_modality(route, loss, samples[route], seconds / len(losses))
            modality = route.partition("/")[0]
            speed = self._speed(modality)
            self._board.add_scalar(f"{self.stage}/speed/{modality}", speed, run_step)
        for name, value in scalars.items():
            self._board.add_scalar(f"{self.stage}/{name}", value, run_step)
        note = " ".join(f"{route} {loss:.3f}" for route, loss in losses.items())
        self._bars.update(self._stage_bar, completed=step + 1, note=note)

    def scores(self, step: int, scores: Mapping[str, Mapping[str, float]]) -> None:
        """Record scores on the validation splits."""
        run_step = self._steps_before + step
        for route, values in scores.items():
            for name, value in values.items():
                self._board.add_scalar(f"{self.stage}/val {name}/{route}", value, run_step)

    def flush(self) -> None:
        """Flush everything to disk."""
        self._log.flush()
        self._board.flush()

    def _show_modality(self, route: str, loss: float, samples: int, seconds: float) -> None:
        """Update a modality's line: its smoothed loss, its samples and its speed."""
        modality = route.partition("/")[0]
        previous = self._loss.get(modality, loss)
        self._loss[modality] = _LOSS_DECAY * previous + (1 - _LOSS_DECAY) * loss
        self._samples[modality] += samples
        self._seconds[modality] += seconds
        if modality not in self._modality_bars:
            bar = self._bars.add_task(f"  {modality}", total=None, note="")
            self._modality_bars[modality] = bar
        self._bars.update(
            self._modality_bars[modality],
            completed=self._samples[modality],
            note=f"loss {self._loss[modality]:.3f}, {self._speed(modality):,.0f} samples/s",
        )

    def _speed(self, modality: str) -> float:
        """Return samples per second of the time that its streams took."""
        return self._samples[modality] / max(self._seconds[modality], 1e-9)


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
