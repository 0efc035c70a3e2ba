"""Sharding in a process group of one: the same code paths as with several processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.layers import TransformerLayer
from omnivec2.training.distributed.processes import Processes, ShardedProcesses
from omnivec2.training.distributed.sharding import (
    average_replicated_gradients,
    clip_gradients_,
    gather_full_tensors,
    is_sharded,
    load_full_state,
    shard,
    shard_like,
    without_gradient_sync,
)
from omnivec2.training.fine_tuning.low_rank import LowRankLinear, merged_state

LAYER = TransformerConfig(depth=1, width=8, heads=2, ffn=16)


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        yield init_device_mesh("cpu", (1,))
    finally:
        # Accelerate keeps the devices of a process in class attributes.
        for state in (PartialState, AcceleratorState, GradientState):
            state._shared_state.clear()
        dist.destroy_process_group()


def network() -> nn.Sequential:
    """Build a transformer layer, which is sharded, and a linear map, which is replicated."""
    torch.manual_seed(0)
    return nn.Sequential(TransformerLayer(LAYER, "post"), nn.Linear(8, 2))


def backward(module: nn.Module) -> None:
    module(torch.ones(3, 4, 8)).square().sum().backward()


def test_only_transformer_layers_are_sharded_and_only_once(mesh: DeviceMesh) -> None:
    module = network()
    shard(module, mesh)
    shard(module, mesh)
    assert all(is_sharded(p) for p in module[0].parameters())
    assert not any(is_sharded(p) for p in module[1].parameters())


def test_gathered_tensors_are_those_before_sharding(mesh: DeviceMesh) -> None:
    expected, module = network().state_dict(), network()
    shard(module, mesh)
    gathered = gather_full_tensors(module.state_dict())
    assert not any(is_sharded(tensor) for tensor in gathered.values())
    assert all(torch.equal(gathered[name], value) for name, value in expected.items())


def test_full_tensors_are_loaded_into_sharded_weights(mesh: DeviceMesh) -> None:
    module = network()
    shard(module, mesh)
    zeros = {name: torch.zeros_like(value) for name, value in network().state_dict().items()}
    load_full_state(module, zeros)
    assert all(is_sharded(p) for p in module[0].parameters())
    assert not any(bool(t.any()) for t in gather_full_tensors(module.state_dict()).values())


def test_low_rank_updates_of_sharded_layers_are_trained_and_merged(mesh: DeviceMesh) -> None:
    module = network()
    attention = module[0].attention
    attention.query = LowRankLinear(attention.query, rank=2, scale=0.5)
    attention.query.weight.requires_grad_(False)
    plain = gather_full_tensors(network().state_dict())
    shard(module, mesh)
    with torch.no_grad():
        attention.query.low_rank_b.fill_(0.1)
    backward(module)
    assert attention.query.low_rank_a.grad is not None
    assert attention.query.weight.grad is None
    merged = merged_state(module, gather_full_tensors(module.state_dict()))
    assert merged.keys() == plain.keys()
    changed = {name for name in plain if not torch.equal(merged[name], plain[name])}
    assert changed == {"0.attention.query.weight"}


def test_a_full_tensor_takes_the_form_of_its_target(mesh: DeviceMesh) -> None:
    module, value = network(), torch.full((8, 8), 2.0, dtype=torch.float64)
    plain = module[0].get_submodule("attention").get_submodule("query").get_parameter("weight")
    assert shard_like(value, plain).dtype == torch.float32
    shard(module, mesh)
    sharded = module[0].get_submodule("attention").get_submodule("query").get_parameter("weight")
    placed = shard_like(value, sharded)
    assert is_sharded(placed)
    assert torch.equal(gather_full_tensors({"w": placed})["w"], value.float())


@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_sharded_and_replicated_gradients_are_clipped_by_their_common_norm(
    mesh: DeviceMesh, max_norm: float
) -> None:
    plain, module = network(), network()
    backward(plain)
    expected = nn.utils.clip_grad_norm_(plain.parameters(), max_norm)
    shard(module, mesh)
    backward(module)
    assert clip_gradients_(list(module.parameters()), max_norm) == pytest.approx(float(expected))
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    for name, gradient in gather_full_tensors(gradients).items():
        assert torch.allclose(gradient, plain.get_parameter(name).grad, atol=1e-6), name


def test_weights_without_gradients_have_a_norm_of_zero() -> None:
    assert float(clip_gradients_(list(network().parameters()), 1.0)) == 0.0


def test_gradients_accumulate_while_they_are_not_synchronised(mesh: DeviceMesh) -> None:
    plain, module = network(), network()
    for _ in range(2):
        backward(plain)
    shard(module, mesh)
    with without_gradient_sync(module):
        backward(module)
    backward(module)
    average_replicated_gradients(module, 1)
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    for name, gradient in gather_full_tensors(gradients).items():
        assert torch.allclose(gradient, plain.get_parameter(name).grad, atol=1e-5), name


def test_one_process_of_a_group_sums_and_waits_alone(mesh: DeviceMesh) -> None:
    machine = Processes("cpu")
    assert (machine.processes, machine.index, machine.is_main) == (1, 0, True)
    assert machine.sum_over_processes({"a": 1.5, "b": 2.0}) == {"a": 1.5, "b": 2.0}
    machine.wait_for_all()


def test_a_group_of_one_computes_the_gradients_of_a_single_process(mesh: DeviceMesh) -> None:
    plain = network()
    backward(plain)
    for machine in (Processes("cpu"), ShardedProcesses("cpu")):
        module = network()
        machine.shard(module)
        optimiser = torch.optim.AdamW(module.parameters())
        prepared, stepped = machine.prepare(module, optimiser)
        assert stepped is optimiser
        with machine.without_gradient_sync(prepared):
            pass
        machine.backward(prepared(torch.ones(3, 4, 8)).square().sum())
        machine.finish_gradient_sync(prepared)
        gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        for name, gradient in gather_full_tensors(gradients).items():
            assert torch.allclose(gradient, plain.get_parameter(name).grad, atol=1e-5), name
