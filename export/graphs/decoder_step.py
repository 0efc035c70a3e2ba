"""One step of the decoder of a head that writes text, as a graph of its own.

The decoder is the same in both layouts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from export.graphs.network_parts import NetworkPart
from export.graphs.traceable import Traceable
from export.parity.decoder_searches import decoder_axes
from omnivec2.arrays import Batch
from omnivec2.generation import PAST, PREVIOUS
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.summarization import Summarization
from omnivec2.parts import PartSpec
from omnivec2.spec import Generation, HeadSpec


class DecoderStep(nn.Module):
    """The step of a decoder: inputs in the order of its spec -> outputs in its order."""

    def __init__(self, network: OmniVec2, head: HeadSpec) -> None:
        super().__init__()
        self.network = network
        self.name = module_name(head.route)
        self.output_names = [tensor.name for tensor in _generation(head).outputs]
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run one step of every beam."""
        layer = self.network.heads[self.name].get_submodule("output")
        assert isinstance(layer, Summarization)
        outputs = layer.decoder.step(*tensors)
        return tuple(outputs[name] for name in self.output_names)


def decoder_part(network: OmniVec2, head: HeadSpec) -> NetworkPart:
    """Return the decoder of a head, to be traced.

    Args:
        network: The network in eval mode.
        head: A head with ``generation``.
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
    module = DecoderStep(network, head)
    traceable = Traceable(spec.name, module, spec.inputs, spec.outputs, axes, bounds, example)
    return NetworkPart(spec, traceable)


def _example(generation: Generation) -> Batch:
    """Return inputs whose sizes all differ, so that tracing takes none for another's."""
    sizes: Sequence[int] = (2, 5)  # beams, places
    rng = np.random.default_rng(0)
    inputs: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
    for tensor in generation.inputs:
        if tensor.name == PAST:
            shape: tuple[int, ...] = (3, *sizes, tensor.shape[-1])
        elif tensor.name == PREVIOUS:
            shape = (3, sizes[0])
        else:
            shape = (3, *(17 if size < 0 else size for size in tensor.shape))
        array = rng.normal(size=shape) if tensor.dtype == "float32" else np.ones(shape)
        inputs[tensor.name] = array.astype(tensor.dtype)
    return inputs


def _generation(head: HeadSpec) -> Generation:
    assert head.generation is not None, f"{head.route} writes no text"
    return head.generation
