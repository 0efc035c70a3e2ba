"""The file of a measurement of all heads: figures with intervals, and what they depend on."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from omnivec2.atomic_files import write_file
from omnivec2.engines.hardware_name import name_for_files
from omnivec2.errors import ArtifactError
from omnivec2.training.evaluation.evaluation_report import environment
from omnivec2.training.evaluation.metrics.head_result import HeadResult


class FigureKind(StrEnum):
    """What a figure was measured on."""

    TEST = "test"
    """The head as it ships, on a test part."""
    FIVE_FOLD = "five-fold"
    """Heads refitted on frozen features, on all five folds of a small data set."""
    UNSEEN = "unseen"
    """An embedding, on data that nothing was trained on."""


class Figure(BaseModel):
    """One figure of one head.

    Attributes:
        route: The ``<modality>/<task>`` of the head.
        kind: The kind of data that it was measured on.
        dataset: The name of the data set and its part.
        samples: The number of samples.
        metric: The name of the metric.
        value: The value.
        low: The lower end of the 95 % interval; None if there is none.
        high: The upper end.
        higher_is_better: Whether a higher value is better.
        simple: The values of simple models, by name.
        ece: The expected calibration error of a classification head's scores.
        note: The sentence that tells how to take the figure, if any is needed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    route: str
    kind: FigureKind
    dataset: str
    samples: int
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    higher_is_better: bool
    simple: dict[str, float] = {}
    ece: float | None = None
    note: str = ""

    @property
    def gain(self) -> float | None:
        """The advantage over the best simple model, negative if worse; None without any."""
        sign = 1.0 if self.higher_is_better else -1.0
        return min((sign * (self.value - other) for other in self.simple.values()), default=None)

    @property
    def is_within_noise(self) -> bool:
        """Whether the best simple model lies inside the interval."""
        if self.gain is None or self.low is None or self.high is None:
            return False
        best = self.value - self.gain if self.higher_is_better else self.value + self.gain
        return self.low <= best <= self.high


def figure_from(
    result: HeadResult,
    kind: FigureKind,
    interval: tuple[float, float] | None,
    *,
    ece: float | None = None,
    note: str = "",
) -> Figure:
    """Return the figure of a result with its interval."""
    low, high = interval or (None, None)
    return Figure(
        route=result.route,
        kind=kind,
        dataset=result.dataset,
        samples=result.samples,
        metric=result.metric,
        value=result.value,
        low=low,
        high=high,
        higher_is_better=result.higher_is_better,
        simple=result.baselines,
        ece=ece,
        note=note,
    )


class ResultsFile(BaseModel):
    """The figures of all heads of a checkpoint.

    Attributes:
        model: The name of the checkpoint.
        checkpoint: The digest of its weights.
        engine: The engine that the graphs were run in.
        created: The time of the measurement, in UTC.
        hardware: The processor and its cores.
        versions: The versions of the packages that figures depend on.
        most_samples: The maximum number of samples of a test part, None if whole parts were
            measured.
        figures: The figures, by route.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    checkpoint: str
    engine: str
    created: str
    hardware: str
    versions: dict[str, str]
    most_samples: int | None = None
    figures: tuple[Figure, ...]

    @property
    def name(self) -> str:
        """The name of its files: model, hardware and date."""
        cores = self.hardware.rpartition(", ")
        hardware = name_for_files(f"{cores[2]} {cores[0]}")
        return f"{self.model}_{hardware}_{self.created[:10]}"

    @property
    def conditions(self) -> tuple[object, ...]:
        """All that figures depend on beside the heads and their data."""
        return (self.model, self.checkpoint, self.engine, self.hardware, self.versions,
                self.most_samples)  # fmt: skip

    def of_route(self, route: str, kind: FigureKind | None = None) -> list[Figure]:
        """Return the figures of a head, or those of one kind."""
        return [f for f in self.figures if f.route == route and kind in (None, f.kind)]


def results_now(
    figures: Sequence[Figure],
    *,
    model: str,
    checkpoint: str,
    engine: str,
    packages: Sequence[str] = (),
    most_samples: int | None = None,
) -> ResultsFile:
    """Return figures with the date, the hardware and the versions of this moment.

    Args:
        figures: The figures.
        model: The name of the checkpoint.
        checkpoint: The digest of its weights.
        engine: The engine that the graphs were run in.
        packages: The packages whose versions are listed besides the usual ones.
        most_samples: The maximum number of samples of a test part.
    """
    return ResultsFile.model_validate({
        "model": model,
        "checkpoint": checkpoint,
        "engine": engine,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **environment(*packages),
        "most_samples": most_samples,
        "figures": sorted(figures, key=lambda f: f.route),
    })  # fmt: skip


def joined_with_earlier(results: ResultsFile, folder: Path) -> ResultsFile:
    """Return results with the figures of other heads that the file of the same name has.

    So a measurement may be done in parts.

    Raises:
        ArtifactError: That file is of another checkpoint, engine or version, and would be lost.
    """
    file = folder / f"{results.name}.json"
    if not file.is_file():
        return results
    earlier = ResultsFile.model_validate_json(file.read_bytes())
    kept = [figure for figure in earlier.figures if not results.of_route(figure.route)]
    if kept and earlier.conditions != results.conditions:
        raise ArtifactError(
            f"{file} has figures of other heads with another checkpoint, engine or version: "
            "measure all heads, or name another folder for the results"
        )
    figures = sorted([*results.figures, *kept], key=lambda figure: figure.route)
    return results.model_copy(update={"figures": tuple(figures)})


def write_results(results: ResultsFile, folder: Path) -> Path:
    """Write results as JSON into a folder, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results.name}.json"
    write_file(path, f"{results.model_dump_json(indent=1)}\n".encode())
    return path


def newest_results(folder: Path, model: str) -> tuple[ResultsFile, ...]:
    """Return the newest figures of every head of a model, in the files that they are from.

    Each file comes with the figures of those heads alone that no newer file has; the newest file
    is first, and files without any such head are left out.
    """
    files = folder.glob(f"{model}_*.json")
    found = [ResultsFile.model_validate_json(file.read_bytes()) for file in files]
    known: set[str] = set()
    newest = []
    for results in sorted(found, key=lambda results: results.created, reverse=True):
        figures = tuple(figure for figure in results.figures if figure.route not in known)
        known |= {figure.route for figure in figures}
        if figures:
            newest.append(results.model_copy(update={"figures": figures}))
    return tuple(newest)
