"""Random inputs that look like real ones, made from a head spec alone.

Tracing needs an example, and parity needs inputs that reach the numbers a real request
reaches: raw sensor ranges, ids within their vocabularies, masks with padding behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from omnivec2.preprocess.graph import ATOM_FIELD_SIZES, BOND_FIELD_SIZES
from omnivec2.spec import HeadSpec, Modality

Array = npt.NDArray[Any]
Lengths = Mapping[str, int]
Make = Callable[[HeadSpec, np.random.Generator, int, Lengths], dict[str, Array]]

MAX_BATCH = 1024
_PRIMES = (11, 17, 23, 29)

# BERT uncased: [CLS] and [SEP]; ordinary word pieces lie from 1996 to 30521.
_CLS, _SEP, _FIRST_WORD, _END_WORD = 101, 102, 1996, 30522
_DEFAULT_MAX_TOKENS = 256


@dataclass(frozen=True)
class Axis:
    """A dynamic axis: what it may be, and what to try."""

    low: int
    high: int
    tried: tuple[int, ...]


@dataclass(frozen=True)
class Sampler:
    """How to make inputs of one modality.

    Attributes:
        make: random inputs for (spec, random generator, batch size, lengths).
        axes: input name -> name of its first axis where that is dynamic.
    """

    make: Make
    axes: Mapping[str, str]


def dynamic_axes(head: HeadSpec) -> dict[str, dict[int, str]]:
    """Input name -> axis (batch is 0) -> the axis' name."""
    names = SAMPLERS[head.modality].axes
    return {
        tensor.name: {0: "batch"}
        | {
            axis + 1: names.get(tensor.name, f"{tensor.name}_{axis}")
            for axis, size in enumerate(tensor.shape)
            if size == -1
        }
        for tensor in head.inputs
    }


def batch_axes(head: HeadSpec) -> dict[str, tuple[int, int]]:
    """Every dynamic axis' name -> the smallest and largest size it may have."""
    lengths = {name: (axis.low, axis.high) for name, axis in length_axes(head).items()}
    return {"batch": (1, MAX_BATCH)} | lengths


def length_axes(head: HeadSpec) -> dict[str, Axis]:
    """Every dynamic axis but the batch."""
    names = {name for axes in dynamic_axes(head).values() for name in axes.values()} - {"batch"}
    known = _known_axes(head)
    return {name: known.get(name, Axis(1, 4096, (1, 9, 40))) for name in sorted(names)}


def longest_input(head: HeadSpec) -> int:
    """How long the longest input is that a head takes; 0 if none varies."""
    return max((axis.high for axis in length_axes(head).values()), default=0)


def length_cases(head: HeadSpec) -> list[dict[str, int]]:
    """Sizes of the dynamic axes to compare at; one empty case if none is dynamic."""
    axes = length_axes(head)
    count = max((len(axis.tried) for axis in axes.values()), default=1)
    return [
        {name: axis.tried[case % len(axis.tried)] for name, axis in axes.items()}
        for case in range(count)
    ]


def random_inputs(
    head: HeadSpec, batch: int, lengths: Lengths, rng: np.random.Generator
) -> dict[str, Array]:
    """One batch of inputs, in the types of the head spec.

    Args:
        head: says which tensors.
        batch: samples in the batch.
        lengths: size of each dynamic axis.
        rng: where randomness comes from.
    """
    made = SAMPLERS[head.modality].make(head, rng, batch, lengths)
    return {
        tensor.name: np.ascontiguousarray(made[tensor.name], dtype=np.dtype(tensor.dtype))
        for tensor in head.inputs
    }


def example_inputs(head: HeadSpec) -> dict[str, Array]:
    """Inputs to trace with.

    Sizes differ from each other and from 0 and 1 on purpose: tracing takes equal sizes
    for one axis, and 0 or 1 for a constant.
    """
    axes = length_axes(head).items()
    lengths = {
        name: min(axis.high, prime) for (name, axis), prime in zip(axes, _PRIMES, strict=False)
    }
    return random_inputs(head, 3, lengths, np.random.default_rng(0))


def _known_axes(head: HeadSpec) -> dict[str, Axis]:
    parameter = head.preprocess.parameters.get("max_tokens")
    tokens = parameter if isinstance(parameter, int) else _DEFAULT_MAX_TOKENS
    nodes, edges = head.limits.nodes or 4096, head.limits.edges or 8192
    return {
        "tokens": Axis(2, tokens, tuple(sorted({2, min(19, tokens), tokens}))),
        "nodes": Axis(1, nodes, (1, min(12, nodes), min(38, nodes))),
        "edges": Axis(1, edges, (1, min(13, edges), min(41, edges))),
    }


def _shape(head: HeadSpec, name: str) -> tuple[int, ...]:
    return next(tensor.shape for tensor in head.inputs if tensor.name == name)


def _pictures(name: str) -> Make:
    """Soft blobs of light with noise on them, as uint8."""

    def make(head: HeadSpec, rng: np.random.Generator, batch: int, _: Lengths) -> dict[str, Array]:
        shape = (batch, *_shape(head, name))
        *front, height, width, channels = shape
        coarse = rng.uniform(0, 255, (*front, -(-height // 16), -(-width // 16), channels))
        soft = coarse.repeat(16, axis=-3).repeat(16, axis=-2)[..., :height, :width, :]
        return {name: np.clip(soft + rng.normal(0, 12, shape), 0, 255)}

    return make


def _fbank(head: HeadSpec, rng: np.random.Generator, batch: int, _: Lengths) -> dict[str, Array]:
    # Mean and deviation of AudioSet's log-mel filter banks (AST, Gong et al., 2021).
    return {"fbank": rng.normal(-4.2677393, 4.5689974, (batch, *_shape(head, "fbank")))}


def _text(_: HeadSpec, rng: np.random.Generator, batch: int, lengths: Lengths) -> dict[str, Array]:
    size = lengths["tokens"]
    real = rng.integers(2, size + 1, batch)
    real[0] = size
    place = np.arange(size)[None, :]
    mask = place < real[:, None]
    ids = rng.integers(_FIRST_WORD, _END_WORD, (batch, size))
    ids[:, 0] = _CLS
    ids[np.arange(batch), real - 1] = _SEP
    second = mask & (place > real[:, None] // 2)
    return {"input_ids": ids * mask, "token_type_ids": second, "attention_mask": mask}


def _depth(head: HeadSpec, rng: np.random.Generator, batch: int, _: Lengths) -> dict[str, Array]:
    shape = (batch, *_shape(head, "depth"))
    millimetres = rng.uniform(500, 4000, (*shape[:2], 1, 1)) + rng.normal(0, 150, shape)
    return {"depth": np.clip(millimetres, 1, 4080) * (rng.random(shape) > 0.1)}


def _points(head: HeadSpec, rng: np.random.Generator, batch: int, _: Lengths) -> dict[str, Array]:
    centres = rng.normal(size=(batch, *_shape(head, "centres")))
    centres /= np.linalg.norm(centres, axis=-1, keepdims=True)
    groups = rng.normal(0, 0.08, (batch, *_shape(head, "groups")))
    return {"groups": groups, "centres": centres}


def _series(head: HeadSpec, rng: np.random.Generator, batch: int, _: Lengths) -> dict[str, Array]:
    """Random walks with very different levels and spreads."""
    steps = rng.normal(size=(batch, *_shape(head, "values"))).cumsum(axis=1)
    level = rng.normal(0, 100, (batch, 1))
    return {"values": steps * rng.uniform(0.01, 20, (batch, 1)) + level}


def _table(head: HeadSpec, rng: np.random.Generator, batch: int, _: Lengths) -> dict[str, Array]:
    declared = head.preprocess.parameters.get("columns")
    columns = [c for c in declared if isinstance(c, dict)] if isinstance(declared, list) else []
    numbers = [c for c in columns if c.get("kind") == "number"]
    categories = [c for c in columns if c.get("kind") == "category"]
    made: dict[str, Array] = {}
    for tensor in head.inputs:
        shape = (batch, *tensor.shape)
        if tensor.name == "numbers":
            mean, std = (
                np.array([_number(c.get(key), default) for c in numbers] or [default])
                for key, default in (("mean", 0.0), ("std", 1.0))
            )
            made["numbers"] = rng.normal(size=shape) * std + mean
        elif tensor.name == "missing":
            made["missing"] = rng.random(shape) < 0.1
        else:
            known = [c.get("categories") for c in categories]
            counts = [2 + len(k) if isinstance(k, list) else 2 for k in known] or [2]
            made[tensor.name] = rng.integers(0, counts, shape)
    if "numbers" in made and "missing" in made and made["numbers"].shape == made["missing"].shape:
        made["numbers"] = made["numbers"] * ~made["missing"]
    return made


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default


def _graph(
    head: HeadSpec, rng: np.random.Generator, batch: int, lengths: Lengths
) -> dict[str, Array]:
    """Chains with extra bonds; every sample but the first is padded."""
    nodes, edges = lengths["nodes"], lengths["edges"]
    real_nodes = rng.integers(1, nodes + 1, batch)
    real_edges = rng.integers(0, edges + 1, batch)
    real_nodes[0], real_edges[0] = nodes, edges
    node_mask = np.arange(nodes) < real_nodes[:, None]
    edge_mask = np.arange(edges) < real_edges[:, None]
    ends = rng.integers(0, real_nodes[:, None, None], (batch, edges, 2))
    ids = rng.normal(0, 0.3, (batch, nodes, _shape(head, "node_ids")[-1]))
    atoms = rng.integers(0, ATOM_FIELD_SIZES, (batch, nodes, len(ATOM_FIELD_SIZES)))
    bonds = rng.integers(0, BOND_FIELD_SIZES, (batch, edges, len(BOND_FIELD_SIZES)))
    return {
        "nodes": atoms * node_mask[..., None],
        "node_ids": ids * node_mask[..., None],
        "node_mask": node_mask,
        "edges": ends * edge_mask[..., None],
        "edge_features": bonds * edge_mask[..., None],
        "edge_mask": edge_mask,
    }


def _imu(head: HeadSpec, rng: np.random.Generator, batch: int, _: Lengths) -> dict[str, Array]:
    shape = (batch, *_shape(head, "signal"))
    return {"signal": rng.normal(0, 0.5, shape) + rng.normal(0, 1, (batch, 1, shape[-1]))}


def _spectra(head: HeadSpec, rng: np.random.Generator, batch: int, _: Lengths) -> dict[str, Array]:
    shape = (batch, *_shape(head, "window"))
    level = rng.uniform(200, 4000, (batch, 1, 1, shape[-1]))
    return {"window": level * rng.uniform(0.9, 1.1, shape)}


_TOKENS = {"input_ids": "tokens", "token_type_ids": "tokens", "attention_mask": "tokens"}
_NODES = {"nodes": "nodes", "node_ids": "nodes", "node_mask": "nodes"}
_EDGES = {"edges": "edges", "edge_features": "edges", "edge_mask": "edges"}

SAMPLERS: dict[Modality, Sampler] = {
    Modality.IMAGE: Sampler(_pictures("pixels"), {}),
    Modality.VIDEO: Sampler(_pictures("frames"), {}),
    Modality.AUDIO: Sampler(_fbank, {}),
    Modality.TEXT: Sampler(_text, _TOKENS),
    Modality.DEPTH: Sampler(_depth, {}),
    Modality.POINTCLOUD: Sampler(_points, {}),
    Modality.TIMESERIES: Sampler(_series, {}),
    Modality.TABULAR: Sampler(_table, {}),
    Modality.GRAPH: Sampler(_graph, _NODES | _EDGES),
    Modality.XRAY: Sampler(_pictures("pixels"), {}),
    Modality.INFRARED: Sampler(_pictures("pixels"), {}),
    Modality.IMU: Sampler(_imu, {}),
    Modality.HYPERSPECTRAL: Sampler(_spectra, {}),
}
