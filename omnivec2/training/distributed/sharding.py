"""Weights that are sharded over processes (FSDP), and those that every process replicates.

The layers of the transformers, which are nearly all weights of a large network, are sharded: a
process keeps its shard of their weights, gradients and moments, and gathers a full layer only
while it computes it. Tokenizers, fully connected layers and outputs are small and replicated.

A sharded weight is a DTensor of torch, so no list of names is needed.
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
    """Shard every transformer layer that is not sharded yet."""
    for layer in module.modules():
        if isinstance(layer, TransformerLayer) and not isinstance(layer, FSDPModule):
            fully_shard(layer, mesh=mesh)


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process holds only a shard of a tensor."""
    return isinstance(tensor, DTensor)


def gather_full_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gather all shards of tensors; every process must call this, in the same order."""
    return {
        name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        for name, tensor in tensors.items()
    }


def shard_like(value: Tensor, target: Tensor) -> Tensor:
    """Shard a full tensor like another: return this process's shard, or the tensor itself."""
    value = value.to(target.device, target.dtype)
    if isinstance(target, DTensor):
        return distribute_tensor(value, target.device_mesh, target.placements)
    return value


@torch.no_grad()
def load_full_state(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load all weights and constants from full tensors of the same names."""
    state = module.state_dict()
    module.load_state_dict({name: shard_like(tensors[name], own) for name, own in state.items()})


@contextmanager
def without_gradient_sync(module: nn.Module) -> Iterator[None]:
    """Keep the gradients of sharded layers local within the context."""
    layers = [layer for layer in module.modules() if isinstance(layer, FSDPModule)]
    for layer in layers:
        layer.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.set_requires_gradient_sync(True)


def average_replicated_gradients(module: nn.Module, processes: int) -> None:
    """Average the gradients of replicated weights; FSDP has averaged the others."""
    for parameter in module.parameters():
        if parameter.grad is not None and not is_sharded(parameter):
            dist.all_reduce(parameter.grad)
            parameter.grad /= processes


@torch.no_grad()
def clip_gradients_(parameters: list[nn.Parameter], max_norm: float) -> Tensor:
    """Clip gradients, sharded and replicated ones together; return their norm before clipping."""
    groups = (
        [p.grad for p in parameters if p.grad is not None and is_sharded(p) is sharded]
        for sharded in (False, True)
    )
    norms = [nn.utils.get_total_norm(gradients) for gradients in groups if gradients]
    if not norms:
        return torch.zeros(())
    full = [norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in norms]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(full))
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(factor)
    return norm
