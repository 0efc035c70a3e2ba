"""Samplers: the samples of a step are a pure function of the seed, so that a run can resume.

A task passes through its training split in a new random order every epoch. Batches are
prefetched in a thread; each carries the positions its tasks had reached, which is what a
checkpoint stores.
"""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from omnivec2.preprocess import collate
from omnivec2.spec import Modality
from omnivec2.training.batches import Batch, StepBatch, as_tensors
from omnivec2.training.data.base import Split, TargetForm, TaskData
from omnivec2.training.losses import LossScale

_PREFETCHED = 4
"""The number of steps whose batches are kept ready."""


_RUN = 4
"""The samples of an identity that follow each other: vectors are learned from pairs of a batch."""


class Sampler(ABC):
    """A maker of the batches of a run; a subclass draws the tasks of each step.

    Args:
        tasks: The data of every task, by route.
        batch_sizes: The number of samples of one stream, by route.
        seed: The seed that decides everything.
        scales: The deviation of the targets of regression tasks, by route.
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
        """Draw the tasks of a step, one per stream."""

    def counts(self, routes: Sequence[str]) -> tuple[int, ...]:
        """Return the number of samples of each stream of a step."""
        return tuple(self.batch_sizes[route] for route in routes)

    def indices(self, route: str, start: int, count: int) -> list[int]:
        """Return the samples ``start`` to ``start + count`` of a task, counted over all epochs."""
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
            task = self.tasks[route]
            if task.form is TargetForm.IDENTITY:
                identities = np.asarray(task.splits["train"].targets[:])
                self._orders[key] = order_in_runs(identities, generator)
            else:
                self._orders[key] = generator.permutation(size)
        return self._orders[key]

    def batch(self, route: str, start: int, count: int) -> Batch:
        """Make a batch of augmented training samples."""
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
        return Batch(
            route, as_tensors(collate(samples)), targets, self._scale(route, split, chosen)
        )

    def _scale(self, route: str, split: Split, chosen: list[int]) -> LossScale:
        if split.scales is not None:
            return LossScale(torch.as_tensor(np.asarray(split.scales)[chosen])[:, None])
        return LossScale(self.scales.get(route))

    def stream(self, first_step: int, steps: int, drawn: Mapping[str, int]) -> Iterator[StepBatch]:
        """Yield the batches of steps ``first_step`` to ``steps``, prefetched in a thread."""
        ready: queue.Queue[StepBatch | BaseException | None] = queue.Queue(_PREFETCHED)
        stop = threading.Event()

        def enqueue(item: StepBatch | BaseException | None) -> None:
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.2)
                except queue.Full:
                    continue
                return

        def produce() -> None:
            position = dict(drawn)
            try:
                for step in range(first_step, steps):
                    if stop.is_set():
                        return
                    streams = []
                    routes = self.draw(step)
                    for route, count in zip(routes, self.counts(routes), strict=True):
                        start = position.get(route, 0)
                        streams.append(self.batch(route, start, count))
                        position[route] = start + count
                    enqueue(StepBatch(step, tuple(streams), dict(position)))
                enqueue(None)
            except BaseException as error:  # passed to the consumer, which raises it
                enqueue(error)

        thread = threading.Thread(target=produce, name="batches", daemon=True)
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join(timeout=10)


def order_in_runs(identities: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return all samples in a random order in which some of an identity follow each other.

    Args:
        identities: The number of what each sample shows.
        generator: The source of randomness.
    """
    shuffled = generator.permutation(len(identities))
    shuffled = shuffled[np.argsort(identities[shuffled], kind="stable")]
    starts = np.flatnonzero(np.diff(identities[shuffled], prepend=identities[shuffled[0]] - 1))
    runs: list[np.ndarray] = []
    for members in np.split(shuffled, starts[1:]):
        # A last sample alone would have no partner: it joins the run before it.
        cuts = [cut for cut in range(_RUN, len(members), _RUN) if len(members) - cut > 1]
        runs += np.split(members, cuts)
    return np.concatenate([runs[index] for index in generator.permutation(len(runs))])


class PairSampler(Sampler):
    """The sampler of stage 3: two tasks of different modalities per step, drawn by weight.

    Args:
        tasks: The data of every task, by route.
        weights: The weight with which each task is drawn, by route.
        batch_sizes: The number of samples of one stream, by route.
        seed: The seed that decides everything.
        scales: The deviation of the targets of regression tasks, by route.
        half_batches: Whether a step has one batch, as large as the smaller of its two tasks', half
            of it from each: the paper's wording.
    """

    def __init__(
        self,
        tasks: Mapping[str, TaskData],
        weights: Mapping[str, float],
        batch_sizes: Mapping[str, int],
        seed: int,
        scales: Mapping[str, Tensor],
        *,
        half_batches: bool = False,
    ) -> None:
        super().__init__(tasks, batch_sizes, seed, scales)
        self.half_batches = half_batches
        self.weights = np.array([weights[route] for route in self.routes])

    def counts(self, routes: Sequence[str]) -> tuple[int, ...]:
        """Return the number of samples of each stream of a step."""
        whole = super().counts(routes)
        if not self.half_batches:
            return whole
        return (max(1, min(whole) // 2),) * len(whole)

    def draw(self, step: int) -> tuple[str, ...]:
        """Draw the two tasks of a step."""
        generator = np.random.default_rng((self.seed, 1, step))
        first = generator.choice(len(self.routes), p=self.weights / self.weights.sum())
        return self.routes[first], self.draw_partner(self.routes[first], generator)

    def draw_partner(self, route: str, generator: np.random.Generator) -> str:
        """Draw a task of another modality than that of ``route``."""
        modality = self.tasks[route].modality
        is_other = np.array([self.tasks[route].modality is not modality for route in self.routes])
        weights = self.weights * is_other
        if not weights.any():  # a single modality: it is paired with itself
            weights = self.weights
        return self.routes[generator.choice(len(self.routes), p=weights / weights.sum())]


class ModalitySampler(Sampler):
    """The base of the samplers of stages 1 and 2: modalities first, then a data set of each.

    The probability of a modality's data set is proportional to the square root of its size.
    """

    def __init__(
        self, tasks: Mapping[str, TaskData], batch_sizes: Mapping[str, int], seed: int
    ) -> None:
        super().__init__(tasks, batch_sizes, seed)
        self.sizes = {route: len(task.splits["train"]) for route, task in tasks.items()}
        self.modalities = list(dict.fromkeys(task.modality for task in tasks.values()))

    def routes_of(self, modality: Modality) -> list[str]:
        """Return the routes of a modality."""
        return [route for route in self.routes if self.tasks[route].modality is modality]

    def modality_probabilities(self) -> np.ndarray:
        """Return probabilities proportional to the root of the samples of a modality's data."""
        sizes = [sum(self.sizes[r] for r in self.routes_of(m)) for m in self.modalities]
        roots: np.ndarray = np.sqrt(sizes)
        return np.asarray(roots / roots.sum())

    def draw_route(self, modality: Modality, generator: np.random.Generator) -> str:
        """Draw one of a modality's routes."""
        routes = self.routes_of(modality)
        roots = np.sqrt([self.sizes[route] for route in routes])
        return routes[int(generator.choice(len(routes), p=roots / roots.sum()))]


class AlternatingSampler(ModalitySampler):
    """The sampler of stage 1: one modality per step, all in turn, in a new order each round."""

    def draw(self, step: int) -> tuple[str, ...]:
        """Draw the data set of a step."""
        turn, position = divmod(step, len(self.modalities))
        order = np.random.default_rng((self.seed, 4, turn)).permutation(len(self.modalities))
        modality = self.modalities[int(order[position])]
        return (self.draw_route(modality, np.random.default_rng((self.seed, 5, step))),)


class RootPairSampler(ModalitySampler):
    """The sampler of stage 2: two modalities per step, by the root of their size; data unpaired."""

    def draw(self, step: int) -> tuple[str, ...]:
        """Draw the two data sets of a step."""
        generator = np.random.default_rng((self.seed, 6, step))
        chances = self.modality_probabilities()
        first = int(generator.choice(len(chances), p=chances))
        if len(chances) > 1:
            chances[first] = 0.0
        second = int(generator.choice(len(chances), p=chances / chances.sum()))
        pair = (self.modalities[first], self.modalities[second])
        return self.draw_route(pair[0], generator), self.draw_route(pair[1], generator)
