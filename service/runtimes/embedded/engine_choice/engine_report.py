"""What each engine takes and errs on this machine, for people who ask why one was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.runtimes.base import Model
from service.runtimes.embedded.model_loader import ModelLoader
from service.runtimes.embedded.repository_reader import read_repository, signatures
from service.settings import Settings


@dataclass(frozen=True)
class OptionReport:
    """One engine in one precision.

    Attributes:
        name: The name of the option, ``openvino int8``.
        seconds: The measured time per sample; None if it was not measured.
        passed: The models that pass their accuracy gates.
        rejected: The reasons why others do not, by name.
        worst: The model with the largest distance, and that distance in metric points.
        chosen: The number of models that are served with it.
    """

    name: str
    seconds: float | None
    passed: int
    rejected: Mapping[str, str]
    worst: tuple[str, float] | None
    chosen: int


@dataclass(frozen=True)
class EngineReport:
    """The engines of this machine.

    Attributes:
        options: The options, the fastest first.
        unavailable: The reasons why engines cannot be used here, by name.
    """

    options: list[OptionReport]
    unavailable: Mapping[str, str]


def report_engines(settings: Settings) -> EngineReport:
    """Measure every option on every model of the repository.

    Args:
        settings: The settings that ``serve`` would use.

    Raises:
        ArtifactError: There is no repository, or the engine cannot be used here.
    """
    loader = ModelLoader(settings)
    current = signatures(settings.model_repo)
    models = list(read_repository(settings.model_repo, settings.only).models.values())
    served = loader.load(models, current)
    gates = loader.prepare(models, current)
    reports = []
    for ranked in loader.ranked:
        rejected: dict[str, dict[str, str]] = {stored.spec.name: {} for stored in models}
        passed = loader.load_in(ranked.option, models, gates, current, rejected)
        executions = [model.execution for model, _ in served.models.values()]
        name = ranked.option.name
        reports.append(
            OptionReport(
                name,
                ranked.seconds,
                len(passed),
                {model: reasons[name] for model, reasons in rejected.items() if name in reasons},
                _worst([model for model, _ in passed.values()]),
                sum(1 for e in executions if e and f"{e.engine} {e.precision}" == name),
            )
        )
    loader.close()
    return EngineReport(reports, loader.unavailable)


def _worst(models: list[Model]) -> tuple[str, float] | None:
    distances = [
        (model.name, model.execution.gate_points)
        for model in models
        if model.execution is not None and model.execution.gate_points is not None
    ]
    return max(distances, key=lambda pair: pair[1], default=None)
