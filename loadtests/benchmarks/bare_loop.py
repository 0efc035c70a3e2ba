"""A bare loop: decode, run the engine, next batch. What a service could reach at most.

The loop has the service's own decoders and engines, and nothing else of it: no HTTP, no queue, no
post-processing. There is one loop per core, each with a batch of its own.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.support.measured_gateway import CORES, Load
from omnivec2.errors import ArtifactError
from omnivec2.model_config import Step
from omnivec2.passport import EnginePrecision
from omnivec2.preprocess import Array, collate, preprocessor_for
from omnivec2.preprocess.base import Sample
from omnivec2.spec import model_name
from service.runtimes.embedded.engines.base import Engine, LoadOptions
from service.runtimes.embedded.engines.find_engine import engine_names, find_engine
from service.runtimes.embedded.repository_reader import StoredModel, read_repository
from service.runtimes.embedded.served_graph import ServedGraph
from service.settings import Settings

BATCHES = (1, 4, 8, 16)
_TRIAL_SECONDS = 0.4

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class LoopInput:
    """What is decoded again and again.

    Attributes:
        route: The head's name.
        body: The body of the request that the service gets.
        content_type: Its content type; of JSON, the value of ``inputs`` is decoded.
    """

    route: str
    body: bytes
    content_type: str


@dataclass(frozen=True)
class BareLoop:
    """A head's decoder and its graphs in one engine.

    Attributes:
        engine: The engine's name.
        precision: The engine's precision.
        layout: The layout of its graphs.
        prepare: A function that decodes the input once more.
        run: A function that runs a batch through all graphs.
        max_rows: The most rows of a batch.
    """

    engine: str
    precision: EnginePrecision
    layout: str
    prepare: Callable[[], Sample]
    run: Run
    max_rows: int

    def describe(self) -> str:
        """Return engine, precision and layout in words."""
        return f"{self.engine} {self.precision}, {self.layout} layout"

    def answer_once(self) -> None:
        """Decode and run one sample."""
        self.run(collate([self.prepare()]))

    def one_at_a_time(self, seconds: float) -> Load:
        """Measure one thread that decodes and runs single samples.

        Args:
            seconds: The length of the measurement.
        """
        latencies: list[float] = []
        began = time.perf_counter()
        while (started := time.perf_counter()) < began + seconds:
            self.answer_once()
            latencies.append(time.perf_counter() - started)
        return Load(len(latencies) / (time.perf_counter() - began), latencies)

    def samples_per_second(self, batch: int, seconds: float) -> float:
        """Measure one thread per core, each of which decodes and runs batches.

        Args:
            batch: The samples of a batch.
            seconds: The length of the measurement.
        """
        counts = [0] * CORES
        stop = time.perf_counter() + seconds

        def work(index: int) -> None:
            while time.perf_counter() < stop:
                self.run(collate([self.prepare() for _ in range(batch)]))
                counts[index] += batch

        started = time.perf_counter()
        threads = [threading.Thread(target=work, args=(i,)) for i in range(CORES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started)

    def best_batch(self, seconds: float = _TRIAL_SECONDS) -> tuple[int, float]:
        """Return the batch of most samples per second, and its rate.

        Args:
            seconds: The length of a trial.
        """
        self.samples_per_second(1, seconds / 2)  # warms up
        trials = [
            (self.samples_per_second(batch, seconds), batch)
            for batch in BATCHES
            if batch <= self.max_rows
        ]
        rate, batch = max(trials)
        return batch, rate


def load_bare_loop(
    repository: Path, given: LoopInput, engine: Engine, precision: EnginePrecision
) -> BareLoop:
    """Load a head's graphs, whole or in parts.

    Args:
        repository: The model repository.
        given: The input, which names the head.
        engine: The engine.
        precision: One of the engine's precisions.

    Raises:
        ArtifactError: The engine cannot load a graph.
    """
    stored = read_repository(repository, [given.route]).models[model_name(given.route)]
    shapes = Settings().static_shapes
    options = LoadOptions(precision, threads=1, workers=CORES, static_shapes=shapes)
    graphs = {
        graph.name: ServedGraph(graph, engine.load(graph, options), graph.max_batch_size)
        for graph in stored.graphs
    }
    loop = BareLoop(
        engine.name,
        precision,
        "shared" if stored.steps else "fused",
        _decoder(stored, given),
        run_in_steps(stored.steps, {name: graph.run for name, graph in graphs.items()}),
        min(graph.max_rows for graph in graphs.values()),
    )
    loop.answer_once()
    return loop


def run_in_steps(steps: Sequence[Step], graphs: Mapping[str, Run]) -> Run:
    """Return a function that runs a batch through the steps one after the other.

    Args:
        steps: The steps; none if the model is one graph.
        graphs: A function per part.
    """
    if not steps:
        (only,) = graphs.values()
        return only

    def run(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        known = dict(inputs)
        for step in steps:
            outputs = graphs[step.model]({t: known[name] for t, name in step.inputs.items()})
            known |= {name: outputs[tensor] for tensor, name in step.outputs.items()}
        return known

    return run


def _decoder(stored: StoredModel, given: LoopInput) -> Callable[[], Sample]:
    preprocessor = preprocessor_for(stored.spec)
    is_json = given.content_type == "application/json"

    def prepare() -> Sample:
        if is_json:
            native = preprocessor.decode_json(json.loads(given.body)["inputs"])
        else:
            native = preprocessor.decode(given.body, given.content_type)
        return preprocessor.prepare(native).samples[0]

    return prepare


def fastest_loop(
    repositories: Sequence[Path], given: LoopInput, chosen: tuple[str, str] | None
) -> tuple[BareLoop, int]:
    """Load a head in every layout and return the fastest loop, with its best batch.

    Args:
        repositories: The repositories of the layouts.
        given: The input.
        chosen: The engine and precision that the service runs the head with; None if it does
            not say, and all that are installed are tried.

    Raises:
        ArtifactError: There is no such engine here, or it cannot load the head.
    """
    found = []
    for engine, precision in engines_to_try(chosen):
        for repository in repositories:
            loop = load_bare_loop(repository, given, engine, precision)
            batch, rate = loop.best_batch()
            found.append((rate, batch, loop))
    _, batch, loop = max(found, key=lambda item: item[0])
    return loop, batch


def engines_to_try(chosen: tuple[str, str] | None) -> list[tuple[Engine, EnginePrecision]]:
    """Return the chosen engine with its precision, or every installed one with each of its own.

    Args:
        chosen: The engine and precision, or None.

    Raises:
        ArtifactError: The chosen engine is not here, or not with that precision.
    """
    if chosen is None:
        engines = []
        for name in engine_names():
            try:
                engines.append(find_engine(name))
            except ArtifactError:
                continue  # its library is not installed
        return [(engine, precision) for engine in engines for precision in engine.precisions]
    name, wanted = chosen
    engine = find_engine(name)
    found = [(engine, precision) for precision in engine.precisions if precision == wanted]
    if not found:
        raise ArtifactError(f"{name} does not compute in {wanted} here")
    return found
