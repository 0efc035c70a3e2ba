"""Plain runs of a model's graphs, one after the other, outside of the batcher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from omnivec2.preprocess import Array
from service.runtimes.base import Model, generation_of
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


@dataclass(frozen=True)
class EngineHead:
    """A head whose graphs are loaded.

    Attributes:
        model: The head and its steps.
        graphs: The graph of each step, or its own; its decoder's too, if it has one.
    """

    model: Model
    graphs: Graphs

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a batch of at most ``max_batch_size`` rows through all steps of the head.

        Raises:
            ModelNotReadyError: The engine failed, or cannot take these values.
        """
        tensors = run_model(self.model, self.graphs, inputs)
        return {tensor.name: tensors[tensor.name] for tensor in self.model.spec.outputs}

    def decode(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run one step of the decoder of a head that writes text.

        Raises:
            ModelNotReadyError: The engine failed, or the head writes no text.
        """
        generation = generation_of(self.model)
        return self.graphs[generation.decoder, generation.version].run(inputs)
