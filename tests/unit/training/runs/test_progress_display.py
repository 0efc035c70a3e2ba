"""Progress without a terminal: whole lines, at the first and last step and now and then."""

from __future__ import annotations

import io
import time

from rich.console import Console

from omnivec2.training.runs.progress_display import PreparingDisplay, ProgressLines, Speeds


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


def test_inputs_are_counted_while_they_are_prepared_after_three_seconds_and_at_the_end(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    shown = io.StringIO()
    with PreparingDisplay(Console(file=shown, width=200), "image/fruit") as display:
        for done in range(1, 2001):
            clock[0] += 1 / 64
            display.show(done, 2000)
    assert shown.getvalue().splitlines() == [
        "reading image/fruit: 192 of 2,000 inputs prepared",
        "reading image/fruit: 832 of 2,000 inputs prepared",
        "reading image/fruit: 1,472 of 2,000 inputs prepared",
        "reading image/fruit: prepared 2,000 inputs in 31 s",
    ]


def test_nothing_is_said_of_inputs_that_were_prepared_earlier():
    shown = io.StringIO()
    with PreparingDisplay(Console(file=shown, width=200), "image/fruit"):
        pass
    assert shown.getvalue() == ""


def test_a_terminal_shows_a_bar_of_the_inputs_that_are_prepared():
    shown = io.StringIO()
    console = Console(file=shown, width=100, force_terminal=True)
    with PreparingDisplay(console, "image/fruit") as display:
        display.show(1, None)
        display.show(2, 2)
    assert "preparing image/fruit" in shown.getvalue()
    assert "2/2" in shown.getvalue()
    assert "prepared 2 inputs" in shown.getvalue()
