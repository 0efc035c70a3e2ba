"""Run models that consist of parts, each distinct part once.

::

    tokenizer_image ─► trunk ─┬─► head_image_classification
                              └─► head_image_detection        both heads at the same time
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from service.pipeline.concurrency import task_group
from service.runtimes.base import Inference, Model

RunPart = Callable[[str, str, Mapping[str, Array]], Awaitable[Inference]]
"""(part's name, its version, its tensor -> array) -> its answer."""


@dataclass(frozen=True)
class _Node:
    """A part and the origins of its inputs. Equal nodes give equal answers, so they run once."""

    part: str
    version: str
    inputs: tuple[tuple[str, _Origin], ...]


@dataclass(frozen=True)
class _Origin:
    """The source of a tensor: an output of a node, or without a node an input of the request."""

    node: _Node | None
    tensor: str


@dataclass(frozen=True)
class _Dataflow:
    """The nodes of one model in order, and the origins of its outputs."""

    nodes: tuple[_Node, ...]
    outputs: Mapping[str, _Origin]


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
    dataflows = [_resolve_steps(model, inputs) for model in models]
    running: dict[_Node, asyncio.Task[Inference]] = {}

    async def value(origin: _Origin) -> Array:
        if origin.node is None:
            return inputs[origin.tensor]
        return (await running[origin.node]).outputs[origin.tensor]

    async def compute(node: _Node) -> Inference:
        given = {tensor: await value(origin) for tensor, origin in node.inputs}
        return await run_part(node.part, node.version, given)

    owned: list[list[_Node]] = []
    async with task_group() as group:
        for dataflow in dataflows:
            owned.append([node for node in dataflow.nodes if node not in running])
            for node in owned[-1]:
                running[node] = group.create_task(compute(node))
    return [
        Inference(
            {name: await value(origin) for name, origin in dataflow.outputs.items()},
            sum(running[node].result().queue_seconds for node in nodes),
            sum(running[node].result().compute_seconds for node in nodes),
            sum(running[node].result().own_seconds for node in nodes),
        )
        for dataflow, nodes in zip(dataflows, owned, strict=True)
    ]


def check_steps(model: Model) -> None:
    """Check that every step of a model gets its inputs.

    Raises:
        ArtifactError: A step, or the head spec, names a tensor that no step before it gives.
    """
    _resolve_steps(model, [tensor.name for tensor in model.spec.inputs])


def _resolve_steps(model: Model, inputs: Collection[str]) -> _Dataflow:
    known = {name: _Origin(None, name) for name in inputs}

    def origin(name: str, wanted_by: str) -> _Origin:
        if name not in known:
            raise ArtifactError(
                f"{model.name}: {wanted_by} wants {name!r}, which no step before it gives"
            )
        return known[name]

    nodes = []
    for step in model.steps:
        given = tuple(
            (tensor, origin(name, step.model)) for tensor, name in sorted(step.inputs.items())
        )
        node = _Node(step.model, step.version, given)
        nodes.append(node)
        known |= {name: _Origin(node, tensor) for tensor, name in step.outputs.items()}
    outputs = {tensor.name: origin(tensor.name, "the head spec") for tensor in model.spec.outputs}
    return _Dataflow(tuple(nodes), outputs)
