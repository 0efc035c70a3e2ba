"""Which samples a step sees: a pure function of the seed, so that a run can resume.

A task walks through its training part in a fresh random order every epoch. Batches are
made in a thread ahead of the step that uses them; each carries the positions its tasks
had reached, which is what a checkpoint stores.
"""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import collate
from omnivec2.spec import Modality
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.losses import LossScale

_AHEAD = 4


@dataclass(frozen=True)
class Batch:
    """One stream of a step.

    Attributes:
        inputs: name -> tensor (B, ...).
        targets: one per sample.
        scale: what errors in real units are divided by.
    """

    route: str
    inputs: dict[str, Tensor]
    targets: list[Any]
    scale: LossScale

    def to(self, device: torch.device) -> Batch:
        """The same batch with its arrays on a device."""
        inputs = {name: array.to(device, non_blocking=True) for name, array in self.inputs.items()}
        return replace(self, inputs=inputs)

    def take(self, start: int, stop: int) -> Batch:
        """Some of its samples."""
        scale = self.scale.scale
        if scale is not None and scale.ndim == 2:  # one per sample
            scale = scale[start:stop]
        return Batch(
            self.route,
            {name: array[start:stop] for name, array in self.inputs.items()},
            self.targets[start:stop],
            LossScale(scale),
        )


@dataclass(frozen=True)
class StepBatch:
    """The streams of a step, and how many samples each task has given after it.

    Attributes:
        drawn: samples of each task up to and with this step.
        part: number of the part, where a step is computed in parts.
        rows: samples of every stream of the whole step that are in this part.
        sizes: samples of every stream of the whole step.
    """

    step: int
    streams: tuple[Batch, ...]
    drawn: Mapping[str, int]
    part: int = 0
    rows: tuple[tuple[int, int], ...] = ()
    sizes: tuple[int, ...] = ()

    def parts(self, count: int) -> list[StepBatch]:
        """The step cut into parts, an even share of every stream in each.

        Raises:
            ArtifactError: a stream has fewer samples than there are parts.
        """
        sizes = tuple(len(stream.targets) for stream in self.streams)
        if min(sizes) < count:
            raise ArtifactError(
                f"a batch of {min(sizes)} samples cannot be computed in {count} parts; "
                "use larger batch sizes, less accumulation or fewer processes"
            )
        found = []
        for part in range(count):
            rows = tuple((size * part // count, size * (part + 1) // count) for size in sizes)
            streams = tuple(s.take(*own) for s, own in zip(self.streams, rows, strict=True))
            found.append(replace(self, streams=streams, part=part, rows=rows, sizes=sizes))
        return found

    def shares(self) -> list[float]:
        """How much of every stream of the whole step is in this part."""
        return [
            (stop - start) / size for (start, stop), size in zip(self.rows, self.sizes, strict=True)
        ]

    def to(self, device: torch.device) -> StepBatch:
        """The same batches with their arrays on a device."""
        return replace(self, streams=tuple(stream.to(device) for stream in self.streams))


class Sampler(ABC):
    """Makes the batches of a run; a subclass draws the tasks of each step.

    Args:
        tasks: route -> data.
        batch_sizes: route -> samples of one stream.
        seed: decides everything.
        scales: route -> deviation of the targets (regression).
    """

    def __init__(
        self,
        tasks: Mapping[str, TaskData],
        batch_sizes: Mapping[str, int],
        seed: int,
        scales: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.tasks = dict(tasks)
        self.routes = list(tasks)
        self.batch_sizes = batch_sizes
        self.seed = seed
        self.scales = scales or {}
        self._orders: dict[tuple[str, int], np.ndarray] = {}

    @abstractmethod
    def draw(self, step: int) -> tuple[str, ...]:
        """The tasks of a step, one per stream."""

    def indices(self, route: str, start: int, count: int) -> list[int]:
        """Samples ``start`` to ``start + count`` of a task's endless walk."""
        size = len(self.tasks[route].splits["train"])
        return [
            int(self._order(route, position // size)[position % size])
            for position in range(start, start + count)
        ]

    def _order(self, route: str, epoch: int) -> np.ndarray:
        key = (route, epoch)
        if key not in self._orders:
            self._orders = {k: v for k, v in self._orders.items() if k[0] != route}
            number = self.routes.index(route)
            size = len(self.tasks[route].splits["train"])
            generator = np.random.default_rng((self.seed, 2, number, epoch))
            self._orders[key] = generator.permutation(size)
        return self._orders[key]

    def batch(self, route: str, start: int, count: int) -> Batch:
        """A batch of augmented training samples."""
        task = self.tasks[route]
        split = task.splits["train"]
        number = self.routes.index(route)
        samples, targets = [], []
        chosen = self.indices(route, start, count)
        for offset, index in enumerate(chosen):
            sample, target = split.samples[index], split.targets[index]
            if task.augment is not None:
                generator = np.random.default_rng((self.seed, 3, number, start + offset))
                sample, target = task.augment(sample, target, generator)
            samples.append(sample)
            targets.append(target)
        return Batch(route, tensors(collate(samples)), targets, self._scale(route, split, chosen))

    def _scale(self, route: str, split: Split, chosen: list[int]) -> LossScale:
        if split.scales is not None:
            return LossScale(torch.as_tensor(np.asarray(split.scales)[chosen])[:, None])
        return LossScale(self.scales.get(route))

    def stream(self, first_step: int, steps: int, drawn: Mapping[str, int]) -> Iterator[StepBatch]:
        """The batches of steps ``first_step`` to ``steps``, made ahead in a thread."""
        ready: queue.Queue[StepBatch | BaseException | None] = queue.Queue(_AHEAD)
        stop = threading.Event()

        def put(item: StepBatch | BaseException | None) -> None:
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.2)
                except queue.Full:
                    continue
                return

        def work() -> None:
            position = dict(drawn)
            try:
                for step in range(first_step, steps):
                    if stop.is_set():
                        return
                    streams = []
                    for route in self.draw(step):
                        start, count = position.get(route, 0), self.batch_sizes[route]
                        streams.append(self.batch(route, start, count))
                        position[route] = start + count
                    put(StepBatch(step, tuple(streams), dict(position)))
                put(None)
            except BaseException as error:  # handed to the consumer, which raises it
                put(error)

        thread = threading.Thread(target=work, name="batches", daemon=True)
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join(timeout=10)


class PairSampler(Sampler):
    """Stage 3: two tasks of different modalities per step, by weight.

    Args:
        tasks: route -> data.
        weights: route -> how often, relative to the others.
        batch_sizes: route -> samples of one stream.
        seed: decides everything.
        scales: route -> deviation of the targets (regression).
    """

    def __init__(
        self,
        tasks: Mapping[str, TaskData],
        weights: Mapping[str, float],
        batch_sizes: Mapping[str, int],
        seed: int,
        scales: Mapping[str, Tensor],
    ) -> None:
        super().__init__(tasks, batch_sizes, seed, scales)
        self.weights = np.array([weights[route] for route in self.routes])

    def draw(self, step: int) -> tuple[str, ...]:
        """The two tasks of a step."""
        generator = np.random.default_rng((self.seed, 1, step))
        first = generator.choice(len(self.routes), p=self.weights / self.weights.sum())
        return self.routes[first], self.partner(self.routes[first], generator)

    def partner(self, route: str, generator: np.random.Generator) -> str:
        """A task of another modality than that of ``route``."""
        modality = self.tasks[route].modality
        other = np.array([self.tasks[route].modality is not modality for route in self.routes])
        rest = self.weights * other
        if not rest.any():  # a single modality: it is paired with itself
            rest = self.weights
        return self.routes[generator.choice(len(self.routes), p=rest / rest.sum())]


class ModalitySampler(Sampler):
    """Stages 1 and 2: modalities first, then one of the data sets of each.

    Data sets of a modality are drawn with a chance in proportion to the root of their size.
    """

    def __init__(
        self, tasks: Mapping[str, TaskData], batch_sizes: Mapping[str, int], seed: int
    ) -> None:
        super().__init__(tasks, batch_sizes, seed)
        self.sizes = {route: len(task.splits["train"]) for route, task in tasks.items()}
        self.modalities = list(dict.fromkeys(task.modality for task in tasks.values()))

    def members(self, modality: Modality) -> list[str]:
        """The routes of a modality."""
        return [route for route in self.routes if self.tasks[route].modality is modality]

    def modality_chances(self) -> np.ndarray:
        """In proportion to the root of the samples of all of a modality's data sets."""
        sizes = [sum(self.sizes[r] for r in self.members(m)) for m in self.modalities]
        roots: np.ndarray = np.sqrt(sizes)
        return np.asarray(roots / roots.sum())

    def data_set(self, modality: Modality, generator: np.random.Generator) -> str:
        """One of a modality's routes."""
        routes = self.members(modality)
        roots = np.sqrt([self.sizes[route] for route in routes])
        return routes[int(generator.choice(len(routes), p=roots / roots.sum()))]


class AlternatingSampler(ModalitySampler):
    """Stage 1: one modality per step, all of them in turn, in a fresh order each round."""

    def draw(self, step: int) -> tuple[str, ...]:
        """The data set of a step."""
        turn, place = divmod(step, len(self.modalities))
        order = np.random.default_rng((self.seed, 4, turn)).permutation(len(self.modalities))
        modality = self.modalities[int(order[place])]
        return (self.data_set(modality, np.random.default_rng((self.seed, 5, step))),)


class RootPairSampler(ModalitySampler):
    """Stage 2: two modalities per step, each drawn by the root of its size; data unpaired."""

    def draw(self, step: int) -> tuple[str, ...]:
        """The two data sets of a step."""
        generator = np.random.default_rng((self.seed, 6, step))
        chances = self.modality_chances()
        first = int(generator.choice(len(chances), p=chances))
        if len(chances) > 1:
            chances[first] = 0.0
        second = int(generator.choice(len(chances), p=chances / chances.sum()))
        pair = (self.modalities[first], self.modalities[second])
        return self.data_set(pair[0], generator), self.data_set(pair[1], generator)


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Named arrays as tensors, copied where numpy's are read-only."""
    return {
        name: torch.from_numpy(array if array.flags.writeable else array.copy())
        for name, array in arrays.items()
    }
