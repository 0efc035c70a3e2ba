"""Changes of a recording that keep its meaning keep the arrays; others are told."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.motion.recording_options import ImuOptions
from omnivec2.preprocess.imu import UCI_CHANNELS, ImuParameters, ImuPreprocessor
from omnivec2.preprocess.notes import Note, NoteCode, collect_notes
from omnivec2.preprocess.source_options import SourceOptions, state

READER = ImuPreprocessor(ImuParameters())
SEEDS = range(30)
SAMPLES = 150
G = 9.80665

Columns = dict[str, np.ndarray]


def motion(seed: int, rate_hz: float = 50.0) -> Columns:
    """Three seconds of somebody who walks, sampled from the same smooth motion at any rate."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(SAMPLES * rate_hz / 50)) / rate_hz
    columns = {"time": t}
    for channel in UCI_CHANNELS:
        waves = [
            rng.normal(0, 0.15) * np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in (1, 2, 3)
        ]
        columns[channel] = np.round(np.sum(waves, axis=0) + (channel == "acc_x"), 5)
    return columns


def csv_of(columns: Any, delimiter: str = ",", decimal: str = ".") -> bytes:
    rows = [delimiter.join(columns)]
    for row in zip(*columns.values(), strict=True):
        cells = [c if isinstance(c, str) else repr(c.item()) for c in row]
        rows.append(delimiter.join(cells).replace(".", decimal))
    return "\n".join(rows).encode()


def with_times(columns: Columns, name: str, form: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    return {name: form(columns["time"]), **{c: columns[c] for c in UCI_CHANNELS}}


def integers(first: float, per_second: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda t: int(first) + np.round(t * per_second).astype(np.int64)


def clock(form: str) -> Callable[[np.ndarray], list[str]]:
    return lambda t: [form.format(seconds) for seconds in t]


def in_order(columns: Columns, order: Any) -> Columns:
    return {name: values[order] for name, values in columns.items()}


def scaled(columns: Columns, acceleration: float, rotation: float) -> Columns:
    factors = {"acc": acceleration, "gyro": rotation}
    return {
        name: values * next((f for kind, f in factors.items() if kind in name), 1.0)
        for name, values in columns.items()
    }


def renamed(columns: Columns, acceleration: str, rotation: str) -> Columns:
    suffix = {"acc": acceleration, "gyro": rotation}
    return {
        name + next((s for kind, s in suffix.items() if kind in name), ""): values
        for name, values in columns.items()
    }


def parquet_of(columns: Columns, rng: np.random.Generator) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(in_order(columns, rng.permutation(SAMPLES))), file)
    return file.getvalue()


def columns_in_another_order(columns: Columns, rng: np.random.Generator) -> bytes:
    extra = {**columns, "row": np.arange(SAMPLES), "label": np.zeros(SAMPLES)}
    return csv_of({str(name): extra[str(name)] for name in rng.permutation([*extra])})


def repeated(columns: Columns, rng: np.random.Generator) -> bytes:
    order = np.sort(np.concatenate((np.arange(SAMPLES), rng.choice(SAMPLES, 9))))
    return csv_of(in_order(columns, order))


def without_times(columns: Columns) -> Columns:
    return {name: columns[name] for name in UCI_CHANNELS}


def sensors(columns: Columns, rng: np.random.Generator) -> Any:
    del rng
    return {
        "time": columns["time"].tolist(),
        **{
            kind: np.stack([columns[f"{kind}_{axis}"] for axis in "xyz"], axis=1).tolist()
            for kind in ("acc", "body_acc", "body_gyro")
        },
    }


def turned(columns: Columns, rng: np.random.Generator) -> bytes:
    """Wear the phone with its y axis up: its x then points to the right."""
    del rng
    result = {"time": columns["time"]}
    for kind in ("acc", "body_acc", "body_gyro"):
        x, y, z = (columns[f"{kind}_{axis}"] for axis in "xyz")
        result |= {f"{kind}_x": -y, f"{kind}_y": x, f"{kind}_z": z}
    return csv_of(result)


KEEPING: dict[str, tuple[Callable[..., Any], SourceOptions | None]] = {
    "shuffled": (lambda c, rng: csv_of(in_order(c, rng.permutation(SAMPLES))), None),
    "Parquet": (parquet_of, None),
    "decimal commas": (lambda c, rng: csv_of(c, ";", ","), None),
    "base64": (lambda c, rng: base64.b64encode(csv_of(c)).decode(), None),
    "columns in another order": (columns_in_another_order, None),
    "repeated rows": (repeated, None),
    "ms": (lambda c, rng: csv_of(with_times(c, "timestamp", integers(0, 1e3))), None),
    "epoch ms": (lambda c, rng: csv_of(with_times(c, "unix_ms", integers(1.7e12, 1e3))), None),
    "epoch ns": (lambda c, rng: csv_of(with_times(c, "ts", integers(1.7e18, 1e9))), None),
    "ns since boot": (lambda c, rng: csv_of(with_times(c, "t [ns]", integers(9e14, 1e9))), None),
    "time of day": (lambda c, rng: csv_of(with_times(c, "time", clock("23:59:{:06.3f}"))), None),
    "dates": (
        lambda c, rng: csv_of(with_times(c, "when", clock("01/05/2024 00:00:{:06.3f}"))),
        None,
    ),
    "whole seconds": (
        lambda c, rng: csv_of(with_times(c, "time", lambda t: np.floor(t) + 1.7e9)),
        None,
    ),
    "no times": (lambda c, rng: csv_of(without_times(c)), None),
    "rows": (lambda c, rng: np.stack([*without_times(c).values()], axis=1).tolist(), None),
    "one list per channel": (lambda c, rng: np.stack([*c.values()]).tolist(), None),
    "triples": (sensors, None),
    "m/s^2 by its values": (lambda c, rng: csv_of(scaled(c, G, 1)), None),
    "mg by its values": (lambda c, rng: csv_of(scaled(c, 1e3, 1)), None),
    "units in names": (
        lambda c, rng: csv_of(renamed(scaled(c, G, 180 / math.pi), " [m/s^2]", "_dps")),
        None,
    ),
    "stated units": (
        lambda c, rng: csv_of(scaled(c, G, 180 / math.pi)),
        ImuOptions(unit="m/s^2", gyro_unit="deg/s"),
    ),
    "y up": (turned, ImuOptions(up_axis="y")),
}
"""Changes that keep the meaning of a recording, and what the caller states of it."""


def windows(value: Any, options: SourceOptions | None = None) -> tuple[np.ndarray, list[Note]]:
    with state(options), collect_notes() as notes:
        is_file = isinstance(value, bytes)
        native = READER.decode(value) if is_file else READER.decode_json(value)
        samples = READER.prepare(native).samples
    return np.stack([sample["signal"] for sample in samples]), list(notes)


@pytest.mark.parametrize("seed", SEEDS)
def test_changes_that_keep_the_meaning_keep_the_arrays(seed: int) -> None:
    columns = motion(seed)
    expected, notes = windows(csv_of(columns))
    assert notes == []
    for kind, (change, options) in KEEPING.items():
        found, _ = windows(change(columns, np.random.default_rng(seed)), options)
        np.testing.assert_allclose(found, expected, atol=1e-3, err_msg=kind)


@pytest.mark.parametrize("name", ["epoch ms", "epoch ns", "ns since boot", "time of day"])
def test_times_of_another_origin_leave_no_noise_in_resampled_samples(name: str) -> None:
    columns = motion(0, 100.0)
    columns = in_order(columns, np.arange(SAMPLES))
    expected, _ = windows(csv_of(columns))
    found, _ = windows(KEEPING[name][0](columns, np.random.default_rng(0)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_rate_is_brought_to_that_of_the_head_and_noted(seed: int) -> None:
    rate_hz = (25.0, 100.0, 200.0)[seed % 3]
    expected, _ = windows(csv_of(motion(seed)))
    columns = motion(seed, rate_hz)
    found, notes = windows(csv_of(columns))
    stated, _ = windows(csv_of(without_times(columns)), ImuOptions(sample_rate=rate_hz))
    np.testing.assert_allclose(stated, found, atol=1e-6)
    # At the ends of a recording no filter knows how it goes on.
    np.testing.assert_allclose(found[0, 12:], expected[0, 12:], atol=0.03)
    assert [note.code for note in notes] == [NoteCode.RESAMPLED]


CHANGING: dict[str, tuple[Callable[[Columns], Any], str]] = {
    "raw counts": (lambda c: csv_of(scaled(c, 16_384, 131)), "raw counts"),
    "a pause": (
        lambda c: csv_of({**c, "time": c["time"] + 5 * (np.arange(SAMPLES) > 70)}),
        "nothing was recorded",
    ),
    "two recordings": (
        lambda c: csv_of(
            {n: np.concatenate((v, v[::-1] if "acc" in n else v)) for n, v in c.items()}
        ),
        "several recordings",
    ),
    "three rows a second": (lambda c: csv_of({**c, "time": c["time"] * 16}), "too low"),
    "a channel is missing": (
        lambda c: csv_of({n: v for n, v in c.items() if n != "acc_y"}),
        "missing column 'acc_y'",
    ),
}


@pytest.mark.parametrize("kind", CHANGING)
def test_what_is_no_recording_of_this_head_is_refused_by_name(kind: str) -> None:
    change, message = CHANGING[kind]
    for seed in SEEDS[:5]:
        with pytest.raises(InvalidInputError, match=message):
            windows(change(motion(seed)))


NOTED: dict[str, tuple[Callable[[Columns], Any], NoteCode]] = {
    "a counter": (lambda c: csv_of(with_times(c, "time", integers(0, 50))), NoteCode.GUESSED),
    "no gravity": (lambda c: csv_of({**c, "acc_x": c["acc_x"] - 1.0}), NoteCode.UNUSUAL),
    "nothing moves": (
        lambda c: csv_of(in_order(c, [0] * SAMPLES) | {"time": c["time"]}),
        NoteCode.EMPTY,
    ),
    "another column": (lambda c: csv_of({**c, "pressure": c["acc_z"]}), NoteCode.IGNORED),
}


@pytest.mark.parametrize("kind", NOTED)
def test_what_may_be_misread_is_noted(kind: str) -> None:
    change, code = NOTED[kind]
    for seed in SEEDS[:5]:
        _, notes = windows(change(motion(seed)))
        assert code in {note.code for note in notes}


@pytest.mark.parametrize("seed", SEEDS)
def test_turning_or_mirroring_the_motion_changes_the_arrays(seed: int) -> None:
    columns = motion(seed)
    expected, _ = windows(csv_of(columns))
    swapped = {**columns, "acc_x": columns["acc_y"], "acc_y": columns["acc_x"]}
    backwards = {**columns, "time": columns["time"][::-1]}
    for changed in (swapped, backwards):
        assert not np.allclose(windows(csv_of(changed))[0], expected, atol=1e-2)
