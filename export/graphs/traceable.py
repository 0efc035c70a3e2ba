"""Modules that the exporter traces: they take and give named tensors by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from export.parity.random_samples import batch_axes, dynamic_axes, example_inputs
from omnivec2.arrays import Array, Batch
from omnivec2.errors import ExportError
from omnivec2.spec import HeadSpec, TensorSpec


@dataclass(frozen=True)
class Traceable:
    """A module with all that is needed to trace it and to compare with it.

    Attributes:
        name: The name in messages: the head, as ``<modality>/<task>``, or the part.
        module: The module, from tensors in the order of ``inputs`` to tensors in the order of
            ``outputs``; it holds the network as ``network``, so that weights keep their names.
        inputs: The specs of its inputs.
        outputs: The specs of its outputs.
        axes: A map from inputs to their dynamic axes: axis (batch is 0) -> name of the axis.
        bounds: A map from dynamic axes to their smallest and largest sizes.
        example: The inputs to trace with.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    axes: Mapping[str, Mapping[int, str]]
    bounds: Mapping[str, tuple[int, int]]
    example: Batch

    def answer(self, batch: Batch) -> dict[str, Array]:
        """Run a batch in PyTorch and return its outputs by name."""
        with torch.inference_mode():
            tensors = [torch.from_numpy(batch[tensor.name]) for tensor in self.inputs]
            outputs: Sequence[Tensor] = self.module(*tensors)
        return {t.name: o.numpy() for t, o in zip(self.outputs, outputs, strict=True)}


class WholeHead(nn.Module):
    """One head in one piece: the tokenizer, then h . g . f."""

    def __init__(self, network: nn.Module, head: HeadSpec) -> None:
        super().__init__()
        self.network = network
        self.route = head.route
        self.input_names = [tensor.name for tensor in head.inputs]
        self.output_names = [tensor.name for tensor in head.outputs]
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Compute outputs in the head spec's order from inputs in its order."""
        inputs = dict(zip(self.input_names, tensors, strict=True))
        outputs = self.network(self.route, inputs)
        return in_order(self.route, outputs, self.output_names)


def in_order(name: str, outputs: Mapping[str, Tensor], names: Sequence[str]) -> tuple[Tensor, ...]:
    """Return named outputs by position.

    Raises:
        ExportError: The outputs are not those that the head spec names.
    """
    if set(outputs) != set(names):
        raise ExportError(
            f"{name}: the head spec names outputs {list(names)}, "
            f"the network gives {sorted(outputs)}"
        )
    return tuple(outputs[name] for name in names)


def traceable_head(network: nn.Module, head: HeadSpec) -> Traceable:
    """Return a head in one piece, as the fused layout serves it.

    Args:
        network: The network in eval mode; it is called as ``network(route, inputs)``.
        head: The spec with names, shapes and dynamic axes of the inputs and outputs.
    """
    return Traceable(
        name=head.route,
        module=WholeHead(network, head),
        inputs=head.inputs,
        outputs=head.outputs,
        axes=dynamic_axes(head),
        bounds=batch_axes(head),
        example={name: np.asarray(array) for name, array in example_inputs(head).items()},
    )
