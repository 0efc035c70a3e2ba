"""The progress of preparing samples and of a stage: bars on a terminal, lines without one."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

_LOSS_DECAY = 0.9
"""The decay per step of the smoothed losses that are shown."""
_FIRST_LINE_SECONDS = 3.0
_LINE_SECONDS = 10.0
"""The time between two lines without a terminal."""
_MOST_NAMED = 4
"""The number of modalities up to which a line has the loss of each, instead of their mean."""
_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"))  # fmt: skip


class Speeds:
    """The smoothed loss, the samples and the seconds of every modality so far."""

    def __init__(self) -> None:
        self.loss: dict[str, float] = {}
        self.samples: dict[str, int] = defaultdict(int)
        self._seconds: dict[str, float] = defaultdict(float)

    def add(self, modality: str, loss: float, samples: int, seconds: float) -> None:
        """Add one stream of a step."""
        previous = self.loss.get(modality, loss)
        self.loss[modality] = _LOSS_DECAY * previous + (1 - _LOSS_DECAY) * loss
        self.samples[modality] += samples
        self._seconds[modality] += seconds

    def speed(self, modality: str) -> float:
        """Return samples per second of the time that the modality's streams took."""
        return self.samples[modality] / max(self._seconds[modality], 1e-9)


class ProgressBars:
    """A bar for the stage and a line for every modality, on a terminal.

    Args:
        console: The console.
        stage: The name of the stage.
        steps: The ``(first, last)`` step of the stage that is run now.
    """

    def __init__(self, console: Console, stage: str, steps: tuple[int, int]) -> None:
        self._bars = Progress(*_COLUMNS, console=console)
        self._stage_bar = self._bars.add_task(stage, total=steps[1], completed=steps[0], note="")
        self._modality_bars: dict[str, TaskID] = {}

    def start(self) -> None:
        """Show the bars."""
        self._bars.start()

    def stop(self) -> None:
        """Leave the bars as they are."""
        self._bars.stop()

    def step(self, step: int, losses: Mapping[str, float], speeds: Speeds) -> None:
        """Update the bars after a step; ``losses`` are those of its tasks, by route."""
        for modality in dict.fromkeys(route.partition("/")[0] for route in losses):
            if modality not in self._modality_bars:
                bar = self._bars.add_task(f"  {modality}", total=None, note="")
                self._modality_bars[modality] = bar
            self._bars.update(
                self._modality_bars[modality],
                completed=speeds.samples[modality],
                note=f"loss {speeds.loss[modality]:.3f}, {speeds.speed(modality):,.0f} samples/s",
            )
        note = " ".join(f"{route} {loss:.3f}" for route, loss in losses.items())
        self._bars.update(self._stage_bar, completed=step + 1, note=note)


class PreparingDisplay:
    """The count of a task's inputs that are being prepared: a bar on a terminal, else lines.

    Nothing is shown where they were prepared earlier. Used in a ``with`` block.

    Args:
        console: The console.
        route: The head's name.
    """

    def __init__(self, console: Console, route: str) -> None:
        self._console, self._route = console, route
        self._bars = Progress(*_COLUMNS[:-1], console=console, transient=True)
        self._bar: TaskID | None = None
        self._done = 0
        self._started = time.monotonic()
        self._next = self._started + _FIRST_LINE_SECONDS

    def __enter__(self) -> PreparingDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bars.stop()
        if self._done:
            seconds = time.monotonic() - self._started
            self._print(f"prepared {self._done:,} inputs in {seconds:.0f} s")

    def show(self, done: int, total: int | None) -> None:
        """Show how many inputs have been prepared, and of how many if that is known."""
        self._done = done
        if self._console.is_terminal:
            if self._bar is None:
                self._bars.start()
                self._bar = self._bars.add_task(f"preparing {self._route}", total=total)
            self._bars.update(self._bar, completed=done, total=total)
            return
        if (now := time.monotonic()) >= self._next:
            self._next = now + _LINE_SECONDS
            of = f" of {total:,}" if total is not None else ""
            self._print(f"{done:,}{of} inputs prepared")

    def _print(self, text: str) -> None:
        self._console.print(f"reading {self._route}: {text}", highlight=False)


class ProgressLines:
    """A line after the first and the last step and every ten seconds, for logs.

    Args:
        console: The console.
        stage: The name of the stage.
        steps: The ``(first, last)`` step of the stage that is run now.
    """

    def __init__(self, console: Console, stage: str, steps: tuple[int, int]) -> None:
        self._console, self._stage, self._steps = console, stage, steps
        self._started = self._next = time.monotonic()

    def start(self) -> None:
        """Start the clock."""
        self._started = self._next = time.monotonic()

    def stop(self) -> None:
        """Do nothing: a line is complete."""

    def step(self, step: int, losses: Mapping[str, float], speeds: Speeds) -> None:
        """Print a line after a step, if it is time."""
        del losses
        now = time.monotonic()
        first, last = self._steps
        if now < self._next and step + 1 < last:
            return
        self._next = now + _LINE_SECONDS
        seconds = max(now - self._started, 1e-9)
        speed = sum(speeds.samples.values()) / seconds
        left = timedelta(seconds=round(seconds / (step + 1 - first) * (last - step - 1)))
        self._console.print(
            f"{self._stage}: step {step + 1:,} of {last:,}, loss {_losses(speeds.loss)}, "
            f"{speed:,.0f} samples/s, {left} left",
            highlight=False,
        )


def _losses(losses: Mapping[str, float]) -> str:
    if len(losses) > _MOST_NAMED:
        return f"{sum(losses.values()) / len(losses):.3f} (mean of {len(losses)} modalities)"
    return ", ".join(f"{modality} {loss:.3f}" for modality, loss in losses.items())
