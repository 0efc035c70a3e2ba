"""What the exporter traces: a module that takes and gives named tensors by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from export.parity.random_samples import batch_axes, dynamic_axes, example_inputs
from omnivec2.errors import ExportError
from omnivec2.spec import HeadSpec, TensorSpec

Array = npt.NDArray[Any]
Batch = Mapping[str, Array]


@dataclass(frozen=True)
class Traceable:
    """A module with everything tracing and comparing need to know of it.

    Attributes:
        name: for messages: a route, or a part's name.
        module: tensors in the order of ``inputs`` -> tensors in the order of ``outputs``;
            holds the network as ``network``, so that weights keep their names.
        inputs: their specs.
        outputs: their specs.
        axes: input -> axis (batch is 0) -> name of that dynamic axis.
        bounds: name of a dynamic axis -> smallest and largest size.
        example: inputs to trace with.
    """

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    axes: Mapping[str, Mapping[int, str]]
    bounds: Mapping[str, tuple[int, int]]
    example: Batch

    def answer(self, batch: Batch) -> dict[str, Array]:
        """What PyTorch answers to a batch."""
        with torch.inference_mode():
            tensors = [torch.from_numpy(batch[tensor.name]) for tensor in self.inputs]
            outputs: Sequence[Tensor] = self.module(*tensors)
        return {t.name: o.numpy() for t, o in zip(self.outputs, outputs, strict=True)}


class Route(nn.Module):
    """The whole of one route of the network: h . g . f behind its tokenizer."""

    def __init__(self, network: nn.Module, head: HeadSpec) -> None:
        super().__init__()
        self.network = network
        self.route = head.route
        self.input_names = [tensor.name for tensor in head.inputs]
        self.output_names = [tensor.name for tensor in head.outputs]
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Inputs in the head spec's order -> outputs in its order."""
        inputs = dict(zip(self.input_names, tensors, strict=True))
        outputs = self.network(self.route, inputs)
        return in_order(self.route, outputs, self.output_names)


def in_order(name: str, outputs: Mapping[str, Tensor], names: Sequence[str]) -> tuple[Tensor, ...]:
    """Named outputs by position.

    Raises:
        ExportError: they are not those the head spec names.
    """
    if set(outputs) != set(names):
        raise ExportError(
            f"{name}: the head spec names outputs {list(names)}, "
            f"the network gives {sorted(outputs)}"
        )
    return tuple(outputs[name] for name in names)


def traceable_route(network: nn.Module, head: HeadSpec) -> Traceable:
    """A whole route, as the fused layout serves it.

    Args:
        network: called as ``network(route, inputs)``; in eval mode.
        head: names, shapes and dynamic axes of the inputs and outputs.
    """
    return Traceable(
        name=head.route,
        module=Route(network, head),
        inputs=head.inputs,
        outputs=head.outputs,
        axes=dynamic_axes(head),
        bounds=batch_axes(head),
        example={name: np.asarray(array) for name, array in example_inputs(head).items()},
    )
