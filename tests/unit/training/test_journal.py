"""The log of a run, without repeated steps, and its scalars for TensorBoard."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from omnivec2.training.journal import LOG_FILE, TENSORBOARD, Journal

PAIR = {"imu/activity": 0.5, "tabular/income": 2.0}
SAMPLES = {"imu/activity": 8, "tabular/income": 4}


def _journal(run: Path, first: int = 0, last: int = 4, before: int = 10) -> Journal:
    return Journal(run, "2-supervised", Console(file=io.StringIO()), before, (first, last))


def _rows(run: Path) -> list[tuple[str, int]]:
    lines = (run / LOG_FILE).read_text().splitlines()
    return [(row["stage"], row["step"]) for row in map(json.loads, lines)]


def test_every_step_is_a_row_of_the_log(tmp_path):
    with _journal(tmp_path) as journal:
        for step in range(3):
            journal.step(step, PAIR, SAMPLES, {})
    row = json.loads((tmp_path / LOG_FILE).read_text().splitlines()[1])
    assert {k: row[k] for k in ("stage", "step", *PAIR)} == {
        "stage": "2-supervised",
        "step": 1,
        **PAIR,
    }


def test_a_resumed_run_repeats_no_row(tmp_path):
    (tmp_path / LOG_FILE).write_text('{"stage": "1-masked", "step": 9}\n')
    with _journal(tmp_path) as journal:
        for step in range(4):
            journal.step(step, PAIR, SAMPLES, {})
    with (tmp_path / LOG_FILE).open("a") as log:
        log.write('{"stage": "2-superv')  # killed while it wrote
    with _journal(tmp_path, first=2) as journal:
        journal.step(2, PAIR, SAMPLES, {})
    assert _rows(tmp_path) == [("1-masked", 9), *(("2-supervised", step) for step in range(3))]


def test_tensorboard_has_loss_speed_and_weights_over_the_steps_of_all_stages(tmp_path):
    with _journal(tmp_path) as journal:
        journal.step(0, PAIR, SAMPLES, {"weight/imu/activity": 1.5})
        journal.scores(1, {"imu/activity": {"accuracy": 0.25}})
    board = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    tags = set(board.Tags()["scalars"])
    assert {
        "2-supervised/loss/imu/activity",
        "2-supervised/loss/tabular/income",
        "2-supervised/speed/imu",
        "2-supervised/speed/tabular",
        "2-supervised/weight/imu/activity",
        "2-supervised/val accuracy/imu/activity",
    } <= tags
    (event,) = board.Scalars("2-supervised/loss/imu/activity")
    assert (event.step, event.value) == (10, 0.5)


def test_bars_show_loss_and_speed_of_every_modality(tmp_path):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=150)
    with Journal(tmp_path, "1-masked", console, 0, (0, 2)) as journal:
        journal.step(0, PAIR, SAMPLES, {})
    text = shown.getvalue()
    assert "imu" in text
    assert "loss 0.500" in text
    assert "samples/s" in text
