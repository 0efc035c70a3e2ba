"""Load models in the fastest engine that answers like the network, head by head.

::

    options, ranked ─► load graphs ─► warm-up run ─► accuracy gate ─┬─► served
                            ▲                                       │ fails
                            └──────────── next option ◄─────────────┘
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from omnivec2.accuracy_gate import Gate, GateResult, check_gate, read_gate
from omnivec2.digests import file_digest
from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.preprocess import Array
from service.runtimes.base import Execution, Model
from service.runtimes.embedded.engine_choice.engine_options import (
    AvailableOptions,
    EngineOption,
    available_options,
    distinct_options,
)
from service.runtimes.embedded.engine_choice.engine_ranking import (
    RankedOption,
    measurement_digest,
    rank_options,
)
from service.runtimes.embedded.engine_choice.measurement_cache import MeasurementCache
from service.runtimes.embedded.graph_runs import EngineHead, Graphs, run_model
from service.runtimes.embedded.graph_store import GraphStore, Signatures
from service.runtimes.embedded.repository_reader import StoredModel
from service.runtimes.embedded.warm_up import warm_up
from service.settings import Settings

_LOG = logging.getLogger(__name__)

_LOAD_ERRORS = (ArtifactError, ModelNotReadyError, RefusedTensorsError)

Gates = Mapping[str, Gate | None]
"""Name of a model -> its accuracy gate, if it has one."""


@dataclass
class LoadedModels:
    """The outcome of loading models.

    Attributes:
        models: The models that are served, with their graphs, by name.
        failed: The reasons why others are not, by name.
    """

    models: dict[str, tuple[Model, Graphs]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class ModelLoader:
    """Loads models, and keeps each graph once for all models that share it.

    Args:
        settings: The engine, the precision, the numbers of threads and the cache directory.

    Attributes:
        ranked: The options of this machine with their measured costs, the fastest first.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cache = MeasurementCache(settings.cache_directory)
        self._graphs = GraphStore(settings)
        self._available: AvailableOptions | None = None
        self.ranked: list[RankedOption] = []

    def load(self, wanted: Sequence[StoredModel], signatures: Signatures) -> LoadedModels:
        """Load models, each in the fastest option that passes its accuracy gate.

        Args:
            wanted: The models.
            signatures: The signatures of the repository's files.

        Raises:
            ArtifactError: The engine of the settings cannot be used here.
        """
        gates = self.prepare(wanted, signatures)
        outcome = LoadedModels()
        rejected: dict[str, dict[str, str]] = {stored.spec.name: {} for stored in wanted}
        waiting = list(wanted)
        for option in self.order():
            tried = [m for m in waiting if gates[m.spec.name] or option == self.fallback]
            loaded = self.load_in(option, tried, gates, signatures, rejected)
            outcome.models |= loaded
            waiting = [stored for stored in waiting if stored.spec.name not in loaded]
        for stored in waiting:
            name = stored.spec.name
            outcome.failed[name] = list(rejected[name].values())[-1]
            _LOG.error("%s is not served as it is now: %s", name, outcome.failed[name])
        self._cache.save()
        self._log_memory(model for model, _ in outcome.models.values())
        return outcome

    def prepare(self, wanted: Sequence[StoredModel], signatures: Signatures) -> Gates:
        """Read the accuracy gates of models, and rank the options with the first of them.

        Raises:
            ArtifactError: The engine of the settings cannot be used here.
        """
        settings = self._settings
        if self._available is None:
            self._available = available_options(settings.engine, settings.engine_precision)
        gates = {stored.spec.name: _gate_of(stored) for stored in wanted}
        if not self.ranked:
            graphs = [graph for stored in wanted for graph in stored.graphs]
            options = distinct_options(self._available.options, graphs)
            self.ranked = self._rank(options, wanted, gates, signatures)
            _log_ranking(self.ranked)
        return gates

    @property
    def fallback(self) -> EngineOption:
        """The option of heads that no accuracy gate vouches for."""
        assert self._available is not None, "prepare comes first"
        return self._available.fallback

    @property
    def unavailable(self) -> Mapping[str, str]:
        """The reasons why engines cannot be used here, by name."""
        return self._available.unavailable if self._available else {}

    def order(self) -> list[EngineOption]:
        """Return the options that can run, the fastest first and the fallback at the end.

        What is slower than the fallback is of no use.
        """
        able = [ranked.option for ranked in self.ranked if not ranked.failure]
        place = able.index(self.fallback) if self.fallback in able else len(able)
        return [*able[:place], self.fallback]

    def load_in(
        self,
        option: EngineOption,
        wanted: Sequence[StoredModel],
        gates: Gates,
        signatures: Signatures,
        rejected: Mapping[str, dict[str, str]],
    ) -> dict[str, tuple[Model, Graphs]]:
        """Return those of the models that an option answers as their gates want.

        Args:
            option: The engine and precision.
            wanted: The models.
            gates: The accuracy gates of the models.
            signatures: The signatures of the repository's files.
            rejected: The reasons why options do not run a model, by its name; added to.
        """
        loaded: dict[str, tuple[Model, Graphs]] = {}
        graphs = self._graphs.load(wanted, option, signatures)
        for stored in wanted:
            name = stored.spec.name
            try:
                own = graphs.of(stored)
                model = self._assemble(stored, option, own, gates[name], rejected[name])
            except _LOAD_ERRORS as error:
                rejected[name][option.name] = str(error)
                continue
            loaded[name] = (model, own)
        return loaded

    def close(self) -> None:
        """Free every graph that is still held."""
        self._graphs.close()

    def _rank(
        self,
        options: Sequence[EngineOption],
        wanted: Sequence[StoredModel],
        gates: Gates,
        signatures: Signatures,
    ) -> list[RankedOption]:
        samples = {
            stored.spec.name: (stored, gate.inputs)
            for stored in wanted
            if (gate := gates[stored.spec.name]) is not None
        }

        def load(
            stored: StoredModel, option: EngineOption
        ) -> Callable[[Mapping[str, Array]], object]:
            graphs = self._graphs.load([stored], option, signatures)
            own = graphs.of(stored)
            model = Model(stored.spec, stored.version, stored.steps)
            return lambda batch: run_model(model, own, batch)

        threads = self._settings.intra_op_threads
        return rank_options(options, samples, load, self._cache, threads)

    def _assemble(
        self,
        stored: StoredModel,
        option: EngineOption,
        graphs: Graphs,
        gate: Gate | None,
        rejected: Mapping[str, str],
    ) -> Model:
        """Make a model of its graphs, do its warm-up run and pass its accuracy gate.

        Raises:
            ArtifactError: Its tensors are not those of the head spec, or its answers are not
                those of the network.
        """
        model = Model(stored.spec, stored.version, stored.steps, familiarity=stored.familiarity)
        warm_up(model, graphs)
        result = None if gate is None else self._pass_gate(gate, stored, option, model, graphs)
        execution = Execution(
            option.engine.name,
            option.precision,
            None if result is None else result.points,
            None if result is None else result.tolerance,
            dict(rejected),
        )
        # The graphs are kept by the model's identity, so there is only one object of it.
        return replace(model, execution=execution)

    def _pass_gate(
        self,
        gate: Gate,
        stored: StoredModel,
        option: EngineOption,
        model: Model,
        graphs: Graphs,
    ) -> GateResult:
        """Return the result of a gate that was passed, now or at an earlier start.

        Raises:
            ArtifactError: It is not passed.
        """
        assert stored.gate is not None
        measured = measurement_digest(option, stored)
        key = f"gate {option.name} {measured} {file_digest(stored.gate)[:24]}"
        points = self._cache.get(key)
        if points is None:
            head = EngineHead(model, graphs)
            points = check_gate(stored.spec, gate, head.run, head.decode).points
            self._cache.put(key, points)
        result = GateResult(points, gate.tolerance)
        if not result.passed:
            message = (
                f"its answers differ by {points:.2f} points from those of the network, "
                f"{gate.tolerance:g} are allowed"
            )
            _LOG.warning("%s: %s: %s", stored.spec.name, option.name, message)
            raise ArtifactError(message)
        return result

    def _log_memory(self, models: Iterable[Model]) -> None:
        served = {(m.execution.engine, m.execution.precision) for m in models if m.execution}
        mebibytes = self._graphs.memory_bytes / 2**20
        names = ", ".join(sorted(" ".join(pair) for pair in served)) or "no engine"
        _LOG.info("%s: %d graphs, %.0f MiB", names, len(self._graphs), mebibytes)


def _gate_of(stored: StoredModel) -> Gate | None:
    """Return a model's accuracy gate; one that cannot be read vouches for nothing."""
    if stored.gate is None:
        return None
    try:
        return read_gate(stored.gate, stored.spec)
    except ArtifactError as error:
        _LOG.warning("%s has no accuracy gate: %s", stored.spec.name, error)
        return None


def _log_ranking(ranked: Sequence[RankedOption]) -> None:
    measured = [r for r in ranked if r.seconds is not None]
    if measured:
        costs = ", ".join(f"{r.option.name} {1000 * (r.seconds or 0):.2f}" for r in measured)
        _LOG.info("engines, in milliseconds per sample: %s", costs)
