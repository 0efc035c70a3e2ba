"""The warm-up run of a model on zeros, whose outputs must match its head spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.generation import constant_inputs, first_inputs
from omnivec2.preprocess import Array
from omnivec2.spec import TensorSpec
from service.runtimes.base import Model
from service.runtimes.embedded.graph_runs import Graphs, run_model
from service.runtimes.ensemble import check_steps

# Any size does for the dynamic axes.
_LENGTH = 8


def warm_up(model: Model, graphs: Graphs) -> None:
    """Run zeros through a model and compare the outputs with the head spec.

    Args:
        model: The model.
        graphs: The graph of each of its parts, or its own; its decoder's too, if it has one.

    Raises:
        ArtifactError: The tensors are not those that the head spec names.
    """
    spec = model.spec
    zeros: dict[str, Array] = {
        tensor.name: np.zeros(
            (1, *(_LENGTH if size < 0 else size for size in tensor.shape)), tensor.dtype
        )
        for tensor in spec.inputs
    }
    if model.steps:
        check_steps(model)
    tensors = run_model(model, graphs, zeros)
    _check_shapes(spec.name, spec.outputs, tensors)
    if spec.generation is not None:
        outputs = {tensor.name: tensors[tensor.name] for tensor in spec.outputs}
        begin = first_inputs(spec.generation, 1) | constant_inputs(spec, tensors, outputs)
        decoder = graphs[spec.generation.decoder, spec.generation.version]
        _check_shapes(decoder.name, spec.generation.outputs, decoder.run(begin))


def _check_shapes(name: str, wanted: Sequence[TensorSpec], tensors: Mapping[str, Array]) -> None:
    for tensor in wanted:
        if tensor.name not in tensors:
            raise ArtifactError(f"{name}: nothing gives {tensor.name} of its head spec")
        shape = tensors[tensor.name].shape
        fits = len(shape) == len(tensor.shape) + 1 and all(
            want in (-1, have) for want, have in zip(tensor.shape, shape[1:], strict=True)
        )
        if not fits:
            raise ArtifactError(
                f"{name}: {tensor.name} has shape {shape[1:]}, the head spec says {tensor.shape}"
            )
