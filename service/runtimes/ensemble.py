"""Resolve models into dataflows of parts, each distinct part once; run them through callbacks.

::

    tokenizer_image ─► trunk ─┬─► head_image_classification
                              └─► head_image_detection
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

from omnivec2.errors import ArtifactError
from omnivec2.parts import TRUNK
from omnivec2.preprocess import Array
from service.pipeline.concurrency import task_group
from service.runtimes.base import Inference, Model

RunPart = Callable[[str, str, Mapping[str, Array]], Awaitable[Inference]]
"""(part's name, its version, its tensor -> array) -> its answer."""


class StageRecorder(Protocol):
    """A recorder of stages, such as the spans of a request."""

    def record_stage(self, name: str, started: float, seconds: float, model: str = "") -> None:
        """Record a stage that is over; see ``Spans.record_stage``."""


@dataclass(frozen=True)
class Origin:
    """The source of a tensor.

    Attributes:
        node: The index of the node that gives it; None if it is an input of the request.
        tensor: The name of the node's output, or of the request's input.
    """

    node: int | None
    tensor: str


@dataclass(frozen=True)
class Node:
    """A part and the origins of its inputs. Equal nodes give equal answers, so they run once.

    Attributes:
        part: The name of the part, or of a model in one piece.
        version: The version of its files.
        inputs: The part's tensors with their origins.
    """

    part: str
    version: str
    inputs: tuple[tuple[str, Origin], ...]

    @cached_property
    def sources(self) -> frozenset[int]:
        """The indices of the nodes whose outputs it needs."""
        return frozenset(origin.node for _, origin in self.inputs if origin.node is not None)


@dataclass(frozen=True, eq=False)
class Dataflow:
    """The distinct parts that answer a request to one or several models.

    Attributes:
        nodes: The parts, each after those whose outputs it needs.
        outputs: The output tensors of each model: name -> origin.
        owned: The indices of the nodes whose time counts for each model: a node that several
            models need counts for the first of them.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[Mapping[str, Origin], ...]
    owned: tuple[tuple[int, ...], ...]

    @cached_property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """The indices of the nodes, grouped so that each needs outputs of earlier levels only."""
        levels: list[list[int]] = []
        level_of: dict[int, int] = {}
        for index, node in enumerate(self.nodes):
            level = level_of[index] = 1 + max((level_of[i] for i in node.sources), default=-1)
            if level == len(levels):
                levels.append([])
            levels[level].append(index)
        return tuple(map(tuple, levels))

    @cached_property
    def meeting_node(self) -> int:
        """The index of the node in which requests to different models meet: the trunk, or 0."""
        return next((i for i, node in enumerate(self.nodes) if node.part == TRUNK), 0)

    @cached_property
    def meeting_level(self) -> int:
        """The level of the meeting node."""
        return next(n for n, level in enumerate(self.levels) if self.meeting_node in level)


def resolve_dataflow(models: Sequence[Model]) -> Dataflow:
    """Resolve models into one dataflow; the result is remembered.

    Args:
        models: The models, which take the same inputs. One without steps is a single node.

    Raises:
        ArtifactError: A step, or a head spec, names a tensor that no step before it gives.
    """
    # Weak references, because a remembered model would keep its graphs in memory.
    return _resolve(tuple(map(weakref.ref, models)))


@lru_cache(maxsize=1024)
def single_part(
    name: str, version: str, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> Dataflow:
    """Return the dataflow of one part that is run by itself.

    Args:
        name: The name of the part.
        version: The version of its files.
        inputs: The names of its inputs, which are those of the request.
        outputs: The names of the outputs that are wanted.
    """
    node = Node(name, version, tuple((tensor, Origin(None, tensor)) for tensor in inputs))
    return Dataflow((node,), ({tensor: Origin(0, tensor) for tensor in outputs},), ((0,),))


def check_steps(model: Model) -> None:
    """Check that every step of a model gets its inputs.

    Raises:
        ArtifactError: A step, or the head spec, names a tensor that no step before it gives.
    """
    resolve_dataflow([model])


def collect_answers(
    dataflow: Dataflow, inputs: Mapping[str, Array], runs: Sequence[Inference]
) -> list[Inference]:
    """Return the answer of each model of a dataflow.

    Args:
        dataflow: The dataflow.
        inputs: The input tensors of the request: name -> array (batch, ...).
        runs: The answer of each node.
    """
    return [
        Inference(
            {
                name: inputs[origin.tensor]
                if origin.node is None
                else runs[origin.node].outputs[origin.tensor]
                for name, origin in outputs.items()
            },
            sum([runs[node].queue_seconds for node in owned]),
            sum([runs[node].compute_seconds for node in owned]),
            sum([runs[node].own_seconds for node in owned]),
        )
        for outputs, owned in zip(dataflow.outputs, dataflow.owned, strict=True)
    ]


def record_spans(
    spans: StageRecorder, dataflow: Dataflow, runs: Sequence[Inference], started: float
) -> None:
    """Record the wait and the computation of each node as stages of a request.

    Args:
        spans: The recorder of the request's trace.
        dataflow: The dataflow.
        runs: The answer of each node; it has waited since its last source was computed.
        started: The value of ``time.perf_counter()`` when the request was submitted.
    """
    ended: list[float] = []
    for node, run in zip(dataflow.nodes, runs, strict=True):
        ready = max([ended[source] for source in node.sources], default=started)
        spans.record_stage("queue", ready, run.queue_seconds, node.part)
        spans.record_stage("compute", ready + run.queue_seconds, run.compute_seconds, node.part)
        ended.append(ready + run.queue_seconds + run.compute_seconds)


async def run_steps(
    models: Sequence[Model], inputs: Mapping[str, Array], run_part: RunPart
) -> list[Inference]:
    """Run one batch through the steps of several models.

    A step that has the same part, version and inputs in several models runs once; its time
    counts for the first of them, so that the sum over the models is the time that was spent.
    Steps that do not depend on each other run at the same time.

    Args:
        models: The models; each has steps.
        inputs: The input tensors of all models: name -> array (batch, ...).
        run_part: A callback that runs one part.

    Returns:
        One inference per model, in their order.

    Raises:
        ArtifactError: A step needs a tensor that no step before it gives.
        OmniVecError: The first failure of ``run_part``, which cancels the other steps.
    """
    dataflow = resolve_dataflow(models)
    running: list[asyncio.Task[Inference]] = []

    async def compute(node: Node) -> Inference:
        given = {
            tensor: inputs[origin.tensor]
            if origin.node is None
            else (await running[origin.node]).outputs[origin.tensor]
            for tensor, origin in node.inputs
        }
        return await run_part(node.part, node.version, given)

    async with task_group() as group:
        for node in dataflow.nodes:
            running.append(group.create_task(compute(node)))
    return collect_answers(dataflow, inputs, [task.result() for task in running])


@lru_cache(maxsize=1024)
def _resolve(references: tuple[weakref.ref[Model], ...]) -> Dataflow:
    nodes: dict[Node, int] = {}
    outputs, owned = [], []
    for model in (reference() for reference in references):
        assert model is not None  # its caller holds it
        first = len(nodes)
        outputs.append(_add_nodes(model, nodes))
        owned.append(tuple(range(first, len(nodes))))
    return Dataflow(tuple(nodes), tuple(outputs), tuple(owned))


def _add_nodes(model: Model, nodes: dict[Node, int]) -> dict[str, Origin]:
    """Add the nodes that a model needs and that are not there yet; return its outputs' origins."""
    known = {tensor.name: Origin(None, tensor.name) for tensor in model.spec.inputs}

    def origin(name: str, wanted_by: str) -> Origin:
        if name not in known:
            raise ArtifactError(
                f"{model.name}: {wanted_by} wants {name!r}, which no step before it gives"
            )
        return known[name]

    def add(part: str, version: str, inputs: Mapping[str, str]) -> int:
        given = tuple((tensor, origin(name, part)) for tensor, name in sorted(inputs.items()))
        return nodes.setdefault(Node(part, version, given), len(nodes))

    for step in model.steps:
        index = add(step.model, step.version, step.inputs)
        known |= {name: Origin(index, tensor) for tensor, name in step.outputs.items()}
    if not model.steps:
        index = add(model.name, model.version, {name: name for name in known})
        known |= {tensor.name: Origin(index, tensor.name) for tensor in model.spec.outputs}
    return {name: origin(name, "the head spec") for name in model.output_names}
