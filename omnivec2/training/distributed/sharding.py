"""Weights that are spread over processes (FSDP), and those that every process has whole.

The layers of the transformers, which are nearly all weights of a large network, are sharded: a
process keeps its share of their weights, gradients and moments, and has a layer whole only while
it computes it. Tokenizers, fully connected layers and outputs are small and are kept by all.

torch's DTensor says which is which, so nothing here has to remember names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from omnivec2.network.layers import TransformerLayer


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Shard every transformer layer, if that has not been done."""
    for layer in module.modules():
        if isinstance(layer, TransformerLayer) and not isinstance(layer, FSDPModule):
            fully_shard(layer, mesh=mesh)


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process has but a share of it."""
    return isinstance(tensor, DTensor)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors with all of their shares; every process must ask, in the same order."""
    return {
        name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        for name, tensor in tensors.items()
    }


def as_stored(value: Tensor, target: Tensor) -> Tensor:
    """A whole tensor in the form of another: this process's share, or itself."""
    value = value.to(target.device, target.dtype)
    if isinstance(target, DTensor):
        return distribute_tensor(value, target.device_mesh, target.placements)
    return value


@torch.no_grad()
def load_whole(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set all weights and constants from whole tensors of the same names."""
    state = module.state_dict()
    module.load_state_dict({name: as_stored(tensors[name], own) for name, own in state.items()})


@contextmanager
def own_gradients(module: nn.Module) -> Iterator[None]:
    """Inside, gradients stay this process's own."""
    layers = [layer for layer in module.modules() if isinstance(layer, FSDPModule)]
    for layer in layers:
        layer.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.set_requires_gradient_sync(True)


def average_kept(module: nn.Module, processes: int) -> None:
    """Average the gradients of what all processes keep; FSDP has averaged the others."""
    for parameter in module.parameters():
        if parameter.grad is not None and not is_sharded(parameter):
            dist.all_reduce(parameter.grad)
            parameter.grad /= processes


@torch.no_grad()
def clip_(parameters: list[nn.Parameter], most: float) -> Tensor:
    """Shorten gradients, shares and whole ones together, to ``most``; their norm before."""
    kinds = (
        [p.grad for p in parameters if p.grad is not None and is_sharded(p) is sharded]
        for sharded in (False, True)
    )
    norms = [nn.utils.get_total_norm(gradients) for gradients in kinds if gradients]
    if not norms:
        return torch.zeros(())
    plain = [norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(plain))
    factor = torch.clamp(most / (norm + 1e-6), max=1.0)
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(factor)
    return norm
