"""Progress without a terminal: whole lines, at the first and last step and now and then."""

from __future__ import annotations

import io
import time

from rich.console import Console

from omnivec2.training.runs.progress_display import ProgressLines, Speeds


def _run(monkeypatch, seconds_per_step: float, steps: int, modalities: int = 1) -> list[str]:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    shown = io.StringIO()
    console = Console(file=shown, width=200)
    lines, speeds = ProgressLines(console, "1-supervised", (0, steps)), Speeds()
    lines.start()
    for step in range(steps):
        clock[0] += seconds_per_step
        losses = {f"m{number}/task": 0.5 for number in range(modalities)}
        for route, loss in losses.items():
            speeds.add(route.partition("/")[0], loss, 8, seconds_per_step)
        lines.step(step, losses, speeds)
    lines.stop()
    return shown.getvalue().splitlines()


def test_a_line_has_step_loss_speed_and_the_time_that_is_left(monkeypatch):
    first, *_ = _run(monkeypatch, 2.0, 100)
    assert first == "1-supervised: step 1 of 100, loss m0 0.500, 4 samples/s, 0:03:18 left"


def test_lines_come_every_ten_seconds_and_at_the_end(monkeypatch):
    lines = _run(monkeypatch, 2.0, 13)
    assert [line.split(",")[0] for line in lines] == [
        f"1-supervised: step {step} of 13" for step in (1, 6, 11, 13)
    ]
    assert lines[-1].endswith("0:00:00 left")


def test_many_modalities_are_one_mean(monkeypatch):
    assert "loss 0.500 (mean of 5 modalities)" in _run(monkeypatch, 1.0, 1, modalities=5)[0]
