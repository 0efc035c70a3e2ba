"""Plain runs of a model's graphs, one after the other, outside of the batcher."""

from __future__ import annotations

from collections.abc import Mapping

from omnivec2.preprocess import Array
from service.runtimes.base import Model
from service.runtimes.embedded.served_graph import ServedGraph

Graphs = Mapping[tuple[str, str], ServedGraph]
"""(name, version) of a part, or of the model itself -> its graph."""


def run_model(model: Model, graphs: Graphs, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Run one batch through every step of a model.

    Args:
        model: The model; its steps get their inputs from steps before them.
        graphs: The graph of each of its parts, or its own.
        inputs: The input tensors: name -> array (batch, ...).

    Returns:
        The inputs and everything that the steps gave, by name.

    Raises:
        RefusedTensorsError: A graph cannot take these values.
        ModelNotReadyError: An engine failed.
    """
    tensors = dict(inputs)
    if not model.steps:
        return tensors | dict(graphs[model.name, model.version].run(tensors))
    for step in model.steps:
        given = {name: tensors[known] for name, known in step.inputs.items()}
        answers = graphs[step.model, step.version].run(given)
        tensors |= {known: answers[name] for name, known in step.outputs.items()}
    return tensors
