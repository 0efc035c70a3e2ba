"""The network partitioned into the parts of the shared layout, each of them traceable.

Heads with the same tokenizer and the same input shapes share one tokenizer part. It pads
its tokens to a length bucket with a mask; a head whose modality has a fixed number of
tokens cuts the padding off again, so that it computes exactly what it does in one piece.
Embeddings have no weights of their own, and are one part for all modalities, which applies the
mask instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.graphs.exported_graphs import part_axes, part_bounds
from export.graphs.traceable import Traceable, in_order
from export.parity.random_samples import batch_axes, dynamic_axes, example_inputs, longest_input
from omnivec2.arrays import Batch
from omnivec2.network.layers import F_INPUT_MEAN, F_MEAN, Tokens
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.tokenizers.visual import DEEP
from omnivec2.parts import EMBEDDING, FEATURES, MASK, TOKENS, TRUNK, PartSpec, bucket_of
from omnivec2.spec import HeadSpec, TensorSpec

_EXAMPLE_ROWS = 3


class TokenizerPart(nn.Module):
    """A tokenizer: arrays -> tokens (B, bucket, width), mask (B, bucket), extras."""

    def __init__(self, network: OmniVec2, head: HeadSpec) -> None:
        super().__init__()
        self.network = network
        self.route = head.route
        self.input_names = [tensor.name for tensor in head.inputs]
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tokenize and pad; extras follow in the order of their names."""
        tokens = self.network.tokenize(
            self.route, dict(zip(self.input_names, tensors, strict=True))
        )
        x_BND = tokens.x_BND
        missing = bucket_of(x_BND.shape[1]) - x_BND.shape[1]
        real = torch.ones_like(x_BND[:, :, 0]) if tokens.mask_BN is None else tokens.mask_BN
        mask = F.pad(real.to(torch.float32), (0, missing)) > 0
        extras = [tokens.extras[name] for name in sorted(tokens.extras)]
        return F.pad(x_BND, (0, 0, 0, missing)), mask, *extras


class TrunkPart(nn.Module):
    """The trunk g . f, the same for every modality: tokens, mask -> features."""

    def __init__(self, network: OmniVec2) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Compute features (B, N, g width), and two means (B, f width) if the network has them.

        The inputs are tokens (B, N, f width) and a mask (B, N).
        """
        x_BND, mask_BN = tensors
        features: Tokens = self.network.trunk(Tokens(x_BND, mask_BN))
        if not self.network.config.trunk.f_mean:
            return (features.x_BND,)
        return features.x_BND, features.extras[F_MEAN], features.extras[F_INPUT_MEAN]


class HeadPart(nn.Module):
    """A head: features, and mask or extras where it uses them -> its outputs.

    Args:
        network: The network in eval mode.
        head: The spec of the head.
        names: The names of the tensors it is given, in order.
        tokens: The number of real tokens, if that is fixed.
    """

    def __init__(
        self, network: OmniVec2, head: HeadSpec, names: Sequence[str], tokens: int | None
    ) -> None:
        super().__init__()
        self.network = network
        self.route = head.route
        self.names = list(names)
        self.tokens = tokens
        self.output_names = [tensor.name for tensor in head.outputs]
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Remove the padding, or mask it, and compute the outputs."""
        extras = dict(zip(self.names, tensors, strict=True))
        x_BND = extras.pop(FEATURES)[:, : self.tokens]
        features = Tokens(x_BND, extras.pop(MASK, None), extras)
        return in_order(self.route, self.network.answer(self.route, features), self.output_names)


@dataclass(frozen=True)
class NetworkPart:
    """A part of the network that is to be traced.

    Attributes:
        spec: The spec of the part.
        traceable: The module of the part.
    """

    spec: PartSpec
    traceable: Traceable


@dataclass(frozen=True)
class PartitionedHead:
    """A head and the parts that it is put together from.

    Attributes:
        spec: The spec of the head.
        tokenizer: The tokenizer of its inputs.
        trunk: The trunk.
        own: The part after the trunk.
    """

    spec: HeadSpec
    tokenizer: NetworkPart
    trunk: NetworkPart
    own: NetworkPart

    @property
    def parts(self) -> tuple[NetworkPart, NetworkPart, NetworkPart]:
        """The parts in the order they run."""
        return self.tokenizer, self.trunk, self.own


class PartitionedNetwork:
    """The parts of a network for a set of heads.

    Args:
        network: The network in eval mode.
        heads: The heads to be served.
    """

    def __init__(self, network: OmniVec2, heads: Sequence[HeadSpec]) -> None:
        self._network = network
        self._specs = heads

    @cached_property
    def heads(self) -> dict[str, PartitionedHead]:
        """A map from ``<modality>/<task>`` to the head's parts; equal parts are one object."""
        tokenizers: dict[tuple[object, ...], NetworkPart] = {}
        taken: set[str] = set()
        # A modality's embedding comes first: its tokenizer gets the plain name.
        first = sorted(self._specs, key=lambda h: (not h.is_embedding, h.name))
        for head in first:
            key = self._key(head)
            if key not in tokenizers:
                unique = next(name for name in self._names(head) if name not in taken)
                taken.add(unique)
                sharing = [h for h in first if self._key(h) == key]
                tokenizers[key] = self._tokenizer(unique, max(sharing, key=longest_input))
        trunk = self._trunk(next(iter(tokenizers.values())))
        partitioned = {}
        embedding: NetworkPart | None = None
        for head in self._specs:
            tokenizer = tokenizers[self._key(head)]
            if self._network.config.heads[head.route].has_weights:
                own = self._head(head, tokenizer, trunk)
            else:
                own = embedding = embedding or self._embedding(head, tokenizer, trunk)
            partitioned[head.route] = PartitionedHead(head, tokenizer, trunk, own)
        return partitioned

    def _key(self, head: HeadSpec) -> tuple[object, ...]:
        """Return the key of a head's tokenizer; heads of one key share it."""
        config = self._network.config.heads[head.route]
        inputs = tuple((t.name, t.dtype, t.shape) for t in head.inputs)
        # A tokenizer that gives more outputs than others of its weights is a part of its own;
        # heads share it if all of it is the tokenizer's own.
        summaries = config.token_summaries
        owner = module_name(head.route) if set(summaries) - {DEEP} else "".join(summaries)
        return config.tokenizer, inputs, owner

    def _names(self, head: HeadSpec) -> Iterator[str]:
        """Yield names for the tokenizer of a head, which takes the first that is free."""
        config = self._network.config.heads[head.route]
        if set(config.token_summaries) - {DEEP}:
            yield f"tokenizer_{module_name(head.route)}"
        plain = f"tokenizer_{config.tokenizer}"
        yield plain
        yield f"{plain}_{_sizes(head)}"
        yield "_".join((plain, _sizes(head), *config.token_summaries))
        yield f"{plain}_{module_name(head.route)}"

    def _tokenizer(self, name: str, head: HeadSpec) -> NetworkPart:
        module = TokenizerPart(self._network, head)
        inputs = {k: np.asarray(v) for k, v in example_inputs(head).items()}
        with torch.inference_mode():
            tokens, _, *extras = module(*(torch.from_numpy(inputs[t.name]) for t in head.inputs))
        dynamic = any(-1 in tensor.shape for tensor in head.inputs)
        length = -1 if dynamic else tokens.shape[1]
        outputs = (
            TensorSpec(name=TOKENS, dtype="float32", shape=(length, tokens.shape[2])),
            TensorSpec(name=MASK, dtype="bool", shape=(length,)),
            *(
                TensorSpec(name=extra, dtype="float32", shape=tuple(tensor.shape[1:]))
                for extra, tensor in zip(
                    sorted(_extras_of(self._network, head)), extras, strict=True
                )
            ),
        )
        spec = _spec(name, "tokenizer", head.inputs, outputs, head.max_batch_size)
        traceable = Traceable(
            name, module, spec.inputs, outputs, dynamic_axes(head), batch_axes(head), inputs
        )
        return NetworkPart(spec, traceable)

    def _trunk(self, tokenizer: NetworkPart) -> NetworkPart:
        width = tokenizer.spec.outputs[0].shape[-1]
        inputs = (
            TensorSpec(name=TOKENS, dtype="float32", shape=(-1, width)),
            TensorSpec(name=MASK, dtype="bool", shape=(-1,)),
        )
        config = self._network.config.trunk
        features = TensorSpec(name=FEATURES, dtype="float32", shape=(-1, config.g.width))
        means = (
            TensorSpec(name=F_MEAN, dtype="float32", shape=(width,)),
            TensorSpec(name=F_INPUT_MEAN, dtype="float32", shape=(width,)),
        )
        outputs = (features, *means) if config.f_mean else (features,)
        rng = np.random.default_rng(0)
        example = {
            TOKENS: rng.normal(size=(_EXAMPLE_ROWS, 17, width)).astype(np.float32),
            MASK: np.arange(17)[None] < np.array([[17], [5], [11]]),
        }
        return self._part(TRUNK, "trunk", TrunkPart(self._network), inputs, outputs, example)

    def _head(self, head: HeadSpec, tokenizer: NetworkPart, trunk: NetworkPart) -> NetworkPart:
        sample = tokenizer.traceable.example
        with torch.inference_mode():
            inputs = {name: torch.from_numpy(array) for name, array in sample.items()}
            tokens = self._network.tokenize(head.route, inputs)
            features = self._network.trunk(tokens)
            features.extras = used = _Recorder(features.extras)
            self._network.answer(head.route, features)
        fixed = tokens.x_BND.shape[1] if tokens.mask_BN is None else None
        length = tokenizer.spec.outputs[0].shape[0]
        width = trunk.spec.outputs[0].shape[-1]
        tensors = (
            TensorSpec(name=FEATURES, dtype="float32", shape=(length, width)),
            *(t for t in tokenizer.spec.outputs if t.name == MASK and fixed is None),
            *(t for t in tokenizer.spec.outputs if t.name in used.read),
            *(t for t in trunk.spec.outputs if t.name in used.read),
        )
        module = HeadPart(self._network, head, [tensor.name for tensor in tensors], fixed)
        answers = tokenizer.traceable.answer(sample)
        answers |= trunk.traceable.answer(answers)
        example = {tensor.name: answers[tensor.name] for tensor in tensors}
        return self._part(f"head_{head.name}", "head", module, tensors, head.outputs, example)

    def _embedding(self, head: HeadSpec, tokenizer: NetworkPart, trunk: NetworkPart) -> NetworkPart:
        """Return the head part of every embedding, made from that of some modality."""
        inputs = (trunk.spec.outputs[0], *(t for t in trunk.spec.inputs if t.name == MASK))
        module = HeadPart(self._network, head, [tensor.name for tensor in inputs], None)
        answers = tokenizer.traceable.answer(tokenizer.traceable.example)
        answers |= trunk.traceable.answer(answers)
        example = {tensor.name: answers[tensor.name] for tensor in inputs}
        return self._part(EMBEDDING, "head", module, inputs, head.outputs, example)

    def _part(
        self,
        name: str,
        kind: str,
        module: nn.Module,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        example: Batch,
    ) -> NetworkPart:
        largest = max(head.max_batch_size for head in self._specs)
        spec = _spec(name, kind, inputs, outputs, largest)
        axes, bounds = part_axes(inputs), part_bounds(inputs)
        return NetworkPart(spec, Traceable(name, module, inputs, outputs, axes, bounds, example))


def _spec(
    name: str,
    kind: str,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    rows: int,
) -> PartSpec:
    return PartSpec.model_validate(
        {
            "name": name,
            "kind": kind,
            "inputs": inputs,
            "outputs": outputs,
            "max_batch_size": rows,
        }
    )


class _Recorder(dict[str, Tensor]):
    """Extras that record which of them were read."""

    def __init__(self, extras: Mapping[str, Tensor]) -> None:
        super().__init__(extras)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        """Return an extra and record its name."""
        self.read.add(name)
        return super().__getitem__(name)


def _extras_of(network: OmniVec2, head: HeadSpec) -> tuple[str, ...]:
    """Return the names of the tensors that a head's tokenizer passes around the trunk."""
    inputs = {k: torch.from_numpy(np.asarray(v)) for k, v in example_inputs(head).items()}
    with torch.inference_mode():
        return tuple(network.tokenize(head.route, inputs).extras)


def _sizes(head: HeadSpec) -> str:
    """Return ``192x256x3``: the name of a second tokenizer of the same weights ends so."""
    return "_".join("x".join(map(str, tensor.shape)) for tensor in head.inputs)
