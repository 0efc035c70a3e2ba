from __future__ import annotations

from dataclasses import replace

import numpy as np

from service.monitoring.drift.drift_monitor import DriftMonitor, DriftReading
from service.runtimes.base import Model
from tests.support.requests.asgi import SENTIMENT
from tests.support.service_parts.familiar_runtime import FamiliarRuntime, summary_rows

WINDOW = 20
MODEL = FamiliarRuntime(SENTIMENT).models()[SENTIMENT.name]
OTHER = replace(MODEL, version="8")


def reading(monitor: DriftMonitor) -> DriftReading:
    (only,) = monitor.readings()
    return only


def add(monitor: DriftMonitor, model: Model, rows: int, shift: float = 0.0) -> float | None:
    return monitor.add(model, summary_rows(rows, rows, shift), [0.7] * rows)


def test_a_window_has_a_distance_once_it_is_full() -> None:
    monitor = DriftMonitor(WINDOW)
    assert list(monitor.readings()) == []
    assert add(monitor, MODEL, WINDOW - 1) is not None
    early = reading(monitor)
    assert (early.rows, early.distance, early.stability) == (WINDOW - 1, None, None)
    assert early.level is not None
    add(monitor, MODEL, 1)
    full = reading(monitor)
    assert full.distance is not None
    assert full.distance < early.level
    assert (full.modality, full.task) == ("text", "sentiment")


def test_two_versions_that_take_turns_both_have_windows() -> None:
    monitor = DriftMonitor(WINDOW)
    for _ in range(WINDOW):
        add(monitor, MODEL, 1)
        add(monitor, OTHER, 1, shift=5.0)
    assert reading(monitor).distance is not None


def test_a_version_that_is_gone_does_not_hide_the_next() -> None:
    monitor = DriftMonitor(WINDOW)
    add(monitor, MODEL, WINDOW)
    usual = reading(monitor).distance
    add(monitor, OTHER, WINDOW, shift=5.0)
    add(monitor, OTHER, 1, shift=5.0)
    shifted, level = reading(monitor).distance, reading(monitor).level
    assert usual is not None
    assert shifted is not None
    assert level is not None
    assert usual < level < shifted
    assert reading(monitor).rows == 2 * WINDOW + 1


def test_a_head_without_a_reference_is_counted_and_has_no_distance() -> None:
    monitor = DriftMonitor(WINDOW)
    assert monitor.add(Model(SENTIMENT), None, [0.5] * WINDOW) is None
    assert reading(monitor) == DriftReading("text", "sentiment", WINDOW)
    assert np.isfinite(reading(monitor).rows)
