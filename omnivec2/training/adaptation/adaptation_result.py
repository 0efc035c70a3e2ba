"""The result of an adaptation: a table for people, JSON for programs."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import JsonValue
from rich.table import Table

from omnivec2.atomic_files import write_file
from omnivec2.errors import InvalidInputError
from omnivec2.spec import Metric
from omnivec2.training.evaluation.quality_metrics import METRICS


@dataclass(frozen=True)
class AdaptationResult:
    """One adaptation.

    Attributes:
        route: The name of the new head.
        dataset: The name of the test part.
        labelled: The number of inputs that were learned from.
        pool: The number of inputs that they were chosen from.
        samples: The number of inputs of the test part.
        metric: The name of the metric.
        value: The metric of the head as it was written, on the test part.
        validation: The metric on labelled inputs that were not fitted to.
        baselines: The values of simple models with the same labels, by name.
        chosen: The choice by validation, in words, with the head's own tokenizer if it has one.
        notes: The sentences that tell what to know about the choice.
        skipped: The number of inputs that could not be decoded.
        seconds: The seconds of every step, with ``total``, and ``cpu`` on all cores.
        seed: The seed of everything random.
        base: The digest of the checkpoint that was adapted.
        temperature: The number that logits were divided by, so that scores are calibrated.
        ece: The expected calibration error on the test part; None for quantities.
        ece_uncalibrated: The same without the temperature.
    """

    route: str
    dataset: str
    labelled: int
    pool: int
    samples: int
    metric: str
    value: float
    validation: float
    baselines: dict[str, float]
    chosen: str
    notes: tuple[str, ...]
    skipped: int
    seconds: dict[str, float]
    seed: int
    base: str
    temperature: float = 1.0
    ece: float | None = None
    ece_uncalibrated: float | None = None

    @property
    def higher_is_better(self) -> bool:
        """Whether larger values of the metric are better."""
        return METRICS[self.metric].higher_is_better

    @property
    def gain(self) -> float:
        """The lead of the head over the better of the simple models; negative if it is worse."""
        gain = self.as_metric().gain
        assert gain is not None, "simple models are always measured"
        return gain

    def as_metric(self) -> Metric:
        """Return the metric as a head spec carries it."""
        return Metric(
            name=self.metric,
            dataset=self.dataset,
            split="test",
            samples=self.samples,
            value=self.value,
            higher_is_better=self.higher_is_better,
            baselines=self.baselines,
        )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metric, and the calibration error of scores, as a head spec carries them."""
        if self.ece is None or self.ece_uncalibrated is None:
            return (self.as_metric(),)
        calibration = Metric(
            name="ece",
            dataset=self.dataset,
            split="test",
            samples=self.samples,
            value=self.ece,
            higher_is_better=False,
            baselines={"uncalibrated": self.ece_uncalibrated},
        )
        return self.as_metric(), calibration


def adapted_table(results: Sequence[AdaptationResult]) -> Table:
    """Return a table with a row per adaptation; gains in green, losses in red."""
    table = Table(
        caption="gain: over the best simple model with the same labels; "
        "ECE: calibration error of scores, before -> after the temperature"
    )
    columns = ("head", "labels", "of", "test", "metric", "simple models", "ours", "gain",
               "ECE", "seconds", "CPU s")  # fmt: skip
    for column in columns:
        text = column in ("head", "metric", "simple models")
        table.add_column(column, justify="left" if text else "right")
    for result in results:
        colour = "green" if result.gain > 0 else "red"
        table.add_row(
            result.route,
            f"{result.labelled:,}",
            f"{result.pool:,}",
            f"{result.samples:,}",
            result.metric,
            ", ".join(f"{name} {value:.3f}" for name, value in result.baselines.items()),
            f"{result.value:.3f}",
            f"[{colour}]{result.gain:+.3f}[/]",
            "" if result.ece is None else f"{result.ece_uncalibrated:.3f} -> {result.ece:.3f}",
            f"{result.seconds['total']:.0f}",
            f"{result.seconds['cpu']:.0f}",
        )
    return table


def write_json(result: AdaptationResult, path: Path, *, threads: int) -> None:
    """Write a result, with the machine it was measured on, into a file with one per route.

    Raises:
        InvalidInputError: The file holds something else.
    """
    # Imported late: it brings everything that measures heads.
    from omnivec2.training.evaluation.evaluation_report import environment

    entry: dict[str, JsonValue] = asdict(result) | {
        "gain": result.gain,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "threads": threads,
        **environment("torch"),
    }
    kept = [other for other in read_json(path) if other["route"] != result.route]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps([*kept, entry], indent=1) + "\n").encode())


def read_json(path: Path) -> list[dict[str, JsonValue]]:
    """Read the results in a file; none if there is no such file.

    Raises:
        InvalidInputError: The file holds something else.
    """
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise InvalidInputError(f"{path}: not JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(e, dict) and "route" in e for e in found):
        raise InvalidInputError(f"{path}: expected a list of results of adaptations")
    return found
