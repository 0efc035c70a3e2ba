"""What a run tells while it runs: progress bars, ``log.jsonl`` and TensorBoard."""

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
_MEMORY = 0.9
_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"))  # fmt: skip


class Journal:
    """One stage's record; a context manager.

    Args:
        run: the run's directory.
        stage: name of the stage.
        console: where bars are shown.
        before: steps of the stages before, so that TensorBoard's axis is the whole run's.
        steps: ``(first, last)`` of the stage, as they are run now.
    """

    def __init__(
        self, run: Path, stage: str, console: Console, before: int, steps: tuple[int, int]
    ) -> None:
        self.stage = stage
        self._before = before
        self._path = run / LOG_FILE
        forget_rows(self._path, stage, steps[0])
        self._log = self._path.open("a", buffering=1)
        self._board = SummaryWriter(run / TENSORBOARD, purge_step=before + steps[0])
        self._bars = Progress(*_COLUMNS, console=console)
        self._whole = self._bars.add_task(stage, total=steps[1], completed=steps[0], note="")
        self._rows: dict[str, TaskID] = {}
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
        """Prints above the bars."""
        return self._bars.console

    def step(
        self,
        step: int,
        losses: Mapping[str, float],
        samples: Mapping[str, int],
        scalars: Mapping[str, float],
    ) -> None:
        """Record a step that is done.

        Args:
            step: of the stage.
            losses: route -> loss.
            samples: route -> samples that were seen.
            scalars: further values for TensorBoard, by name.
        """
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        row: dict[str, Any] = {"stage": self.stage, "step": step}
        row |= {"seconds": round(now - self._started, 2), **losses}
        self._log.write(json.dumps(row) + "\n")
        at = self._before + step
        for route, loss in losses.items():
            self._board.add_scalar(f"{self.stage}/loss/{route}", loss, at)
            self._show_modality(route, loss, samples[route], seconds / len(losses))
            modality = route.partition("/")[0]
            self._board.add_scalar(f"{self.stage}/speed/{modality}", self._speed(modality), at)
        for name, value in scalars.items():
            self._board.add_scalar(f"{self.stage}/{name}", value, at)
        note = " ".join(f"{route} {loss:.3f}" for route, loss in losses.items())
        self._bars.update(self._whole, completed=step + 1, note=note)

    def scores(self, step: int, scores: Mapping[str, Mapping[str, float]]) -> None:
        """Record figures on the validation parts."""
        for route, values in scores.items():
            for name, value in values.items():
                self._board.add_scalar(
                    f"{self.stage}/val {name}/{route}", value, self._before + step
                )

    def flush(self) -> None:
        """Bring everything to disk."""
        self._log.flush()
        self._board.flush()

    def _show_modality(self, route: str, loss: float, samples: int, seconds: float) -> None:
        """A line per modality: its smoothed loss, what it has seen and how fast."""
        modality = route.partition("/")[0]
        self._loss[modality] = _MEMORY * self._loss.get(modality, loss) + (1 - _MEMORY) * loss
        self._samples[modality] += samples
        self._seconds[modality] += seconds
        if modality not in self._rows:
            self._rows[modality] = self._bars.add_task(f"  {modality}", total=None, note="")
        self._bars.update(
            self._rows[modality],
            completed=self._samples[modality],
            note=f"loss {self._loss[modality]:.3f}, {self._speed(modality):,.0f} samples/s",
        )

    def _speed(self, modality: str) -> float:
        """Samples per second of the time that its streams took."""
        return self._samples[modality] / max(self._seconds[modality], 1e-9)


def forget_rows(path: Path, stage: str, first_step: int) -> None:
    """Drop rows of steps that a resumed run repeats, and a half-written last line."""
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
