"""Rank engines by what they take for real inputs on this machine.

The measurement is made once per machine, model, precision and version of an engine: a few models of
different modalities compute the inputs of their accuracy gates, as often as they fill a batch.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.preprocess import Array
from service.runtimes.embedded.engine_choice.engine_options import EngineOption
from service.runtimes.embedded.engine_choice.measurement_cache import MeasurementCache, digest_of
from service.runtimes.embedded.repository_reader import StoredModel

_LOG = logging.getLogger(__name__)

ROWS = 8
"""The rows of a measured batch: what 16 callers give two workers, and where costs level off."""

MODELS = 2
"""The number of models that are measured. More make the first start longer, and rank alike."""

_RUNS = 3

RunModel = Callable[[Mapping[str, Array]], object]
"""Runs one batch through a loaded model."""

LoadModel = Callable[[StoredModel, EngineOption], RunModel]
"""Loads a model in an option for a measurement; raises ``ArtifactError`` if it cannot."""


@dataclass(frozen=True)
class RankedOption:
    """An option and its cost.

    Attributes:
        option: The option.
        seconds: The time per sample, as the geometric mean over the measured models; None if
            there was nothing to choose between, or nothing to measure with.
        failure: The reason why it cannot run the models; empty if it can.
    """

    option: EngineOption
    seconds: float | None = None
    failure: str = ""


def rank_options(
    options: Sequence[EngineOption],
    samples: Mapping[str, tuple[StoredModel, Mapping[str, Array]]],
    load: LoadModel,
    cache: MeasurementCache,
    threads: int,
) -> list[RankedOption]:
    """Return the options that can run the models, the fastest first, then those that cannot.

    Args:
        options: The options to compare.
        samples: The models by name, each with a batch of real inputs; a few are measured.
        load: A function that loads a model.
        cache: The measurements of earlier starts.
        threads: The number of cores that one batch uses.
    """
    measured = _different_modalities(samples)
    if len(options) == 1 or not measured:
        return [RankedOption(option) for option in options]
    ranked = [_measure(option, measured, load, cache, threads) for option in options]
    cache.save()
    return sorted(ranked, key=lambda one: math.inf if one.seconds is None else one.seconds)


def _different_modalities(
    samples: Mapping[str, tuple[StoredModel, Mapping[str, Array]]],
) -> list[tuple[StoredModel, Mapping[str, Array]]]:
    """Return models of different modalities: that of the smallest inputs, and one in the middle."""
    by_modality: dict[str, tuple[StoredModel, Mapping[str, Array]]] = {}
    for _, (stored, inputs) in sorted(samples.items()):
        by_modality.setdefault(stored.spec.modality.value, (stored, inputs))
    sizes = sorted(by_modality.values(), key=lambda pair: _bytes_per_row(pair[1]))
    return [sizes[i * len(sizes) // MODELS] for i in range(min(MODELS, len(sizes)))]


def _bytes_per_row(inputs: Mapping[str, Array]) -> float:
    return sum(array.nbytes / max(1, len(array)) for array in inputs.values())


def _measure(
    option: EngineOption,
    samples: Sequence[tuple[StoredModel, Mapping[str, Array]]],
    load: LoadModel,
    cache: MeasurementCache,
    threads: int,
) -> RankedOption:
    """Return an option with its cost, measured now or at an earlier start."""
    costs = []
    for stored, inputs in samples:
        key = f"seconds {option.name} {measurement_digest(option, stored)} {threads}"
        seconds = cache.get(key)
        if seconds is None:
            try:
                seconds = _seconds_per_row(load(stored, option), inputs)
            except (ArtifactError, ModelNotReadyError, RefusedTensorsError) as error:
                _LOG.warning("%s cannot run %s: %s", option.name, stored.spec.name, error)
                return RankedOption(option, failure=str(error))
            cache.put(key, seconds)
        costs.append(seconds)
    return RankedOption(option, math.exp(sum(map(math.log, costs)) / len(costs)))


def measurement_digest(option: EngineOption, stored: StoredModel) -> str:
    """Return what a measurement of a model depends on, but the machine: its files, the engine's."""
    return digest_of([option.engine.version, *sorted(graph.digest for graph in stored.graphs)])


def _seconds_per_row(run: RunModel, inputs: Mapping[str, Array]) -> float:
    batch = {
        name: np.concatenate([array] * -(-ROWS // len(array)))[:ROWS]
        for name, array in inputs.items()
    }
    run(batch)  # allocates, compiles for these shapes
    best = math.inf
    for _ in range(_RUNS):
        started = time.perf_counter()
        run(batch)
        best = min(best, time.perf_counter() - started)
    return max(best, 1e-9) / ROWS
