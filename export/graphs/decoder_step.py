"""The decoder of a head that writes text: one step of it as a graph of its own.

It is the same in both layouts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from export.graphs.network_parts import Part
from export.graphs.traceable import Batch, Traceable
from export.parity.decoder_searches import decoder_axes
from omnivec2.generation import PAST, PREVIOUS
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.summarization import Summarization
from omnivec2.parts import PartSpec
from omnivec2.spec import Generation, HeadSpec


class StepPart(nn.Module):
    """The decoder's inputs in the order of its spec -> its outputs likewise."""

    def __init__(self, network: OmniVec2, head: HeadSpec) -> None:
        super().__init__()
        self.network = network
        self.name = module_name(head.route)
        self.output_names = [tensor.name for tensor in _generation(head).outputs]
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """One step of every beam."""
        layer = self.network.heads[self.name].get_submodule("output")
        assert isinstance(layer, Summarization)
        outputs = layer.decoder.step(*tensors)
        return tuple(outputs[name] for name in self.output_names)


def decoder_part(network: OmniVec2, head: HeadSpec) -> Part:
    """The decoder of a head, and how to trace it.

    Args:
        network: in eval mode.
        head: one with ``generation``.
    """
    generation = _generation(head)
    spec = PartSpec(
        name=generation.decoder,
        kind="decoder",
        inputs=generation.inputs,
        outputs=generation.outputs,
        max_batch_size=head.max_batch_size,
    )
    axes, bounds = decoder_axes(generation)
    example = _example(generation)
    module = StepPart(network, head)
    traceable = Traceable(spec.name, module, spec.inputs, spec.outputs, axes, bounds, example)
    return Part(spec, traceable)


def _example(generation: Generation) -> Batch:
    """Sizes that differ from each other, so that tracing takes none for another's."""
    sizes: Sequence[int] = (2, 5)  # beams, places
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
    for tensor in generation.inputs:
        if tensor.name == PAST:
            shape: tuple[int, ...] = (3, *sizes, tensor.shape[-1])
        elif tensor.name == PREVIOUS:
            shape = (3, sizes[0])
        else:
            shape = (3, *(17 if size < 0 else size for size in tensor.shape))
        array = rng.normal(size=shape) if tensor.dtype == "float32" else np.ones(shape)
        found[tensor.name] = array.astype(tensor.dtype)
    return found


def _generation(head: HeadSpec) -> Generation:
    assert head.generation is not None, f"{head.route} writes no text"
    return head.generation
