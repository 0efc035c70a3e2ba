"""Running models that are put together from parts, each distinct part once.

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
from omnivec2.task_groups import unwrap_first_failure
from service.runtimes.base import Inference, Model

RunPart = Callable[[str, str, Mapping[str, Array]], Awaitable[Inference]]
"""(part's name, its version, its tensor -> array) -> what it answers."""


@dataclass(frozen=True)
class _Node:
    """A part and where its inputs come from. Equal ones give equal answers, so they run once."""

    part: str
    version: str
    inputs: tuple[tuple[str, _Origin], ...]


@dataclass(frozen=True)
class _Origin:
    """A tensor: an output of a node, or an input of the request if there is no node."""

    node: _Node | None
    tensor: str


@dataclass(frozen=True)
class _Plan:
    """Nodes of one model in order, and where its outputs come from."""

    nodes: tuple[_Node, ...]
    outputs: Mapping[str, _Origin]


async def walk(
    models: Sequence[Model], inputs: Mapping[str, Array], run: RunPart
) -> list[Inference]:
    """Run one batch through the steps of several models.

    A step that has the same part, version and inputs in several models runs once; its time
    counts for the first of them, so that the sum over the models is the time that was spent.
    Steps that do not wait for each other run at the same time.

    Args:
        models: each with steps.
        inputs: tensor name -> array (batch, ...), the same for all models.
        run: runs one part.

    Returns:
        one inference per model, in their order.

    Raises:
        ArtifactError: a step wants a tensor that nothing before it gives.
        OmniVecError: as ``run`` does; the first failure cancels the other steps.
    """
    plans = [_plan(model, inputs) for model in models]
    running: dict[_Node, asyncio.Task[Inference]] = {}

    async def value(origin: _Origin) -> Array:
        if origin.node is None:
            return inputs[origin.tensor]
        return (await running[origin.node]).outputs[origin.tensor]

    async def compute(node: _Node) -> Inference:
        given = {tensor: await value(origin) for tensor, origin in node.inputs}
        return await run(node.part, node.version, given)

    owned: list[list[_Node]] = []
    with unwrap_first_failure():
        async with asyncio.TaskGroup() as group:
            for plan in plans:
                owned.append([node for node in plan.nodes if node not in running])
                for node in owned[-1]:
                    running[node] = group.create_task(compute(node))
    return [
        Inference(
            {name: await value(origin) for name, origin in plan.outputs.items()},
            sum(running[node].result().queue_seconds for node in nodes),
            sum(running[node].result().compute_seconds for node in nodes),
            sum(running[node].result().own_seconds for node in nodes),
        )
        for plan, nodes in zip(plans, owned, strict=True)
    ]


def check_steps(model: Model) -> None:
    """Check that every step of a model is given what it wants.

    Raises:
        ArtifactError: a step, or the head spec, names a tensor that nothing before it gives.
    """
    _plan(model, [tensor.name for tensor in model.spec.inputs])


def _plan(model: Model, inputs: Collection[str]) -> _Plan:
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
    return _Plan(tuple(nodes), outputs)
