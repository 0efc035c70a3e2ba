"""The partitioned network: its parts together answer like the network, padded or not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.graphs.network_parts import PartitionedHead, PartitionedNetwork
from export.graphs.traceable import traceable_head
from export.parity.random_samples import length_axes, random_inputs
from omnivec2.arrays import Batch
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.parts import LENGTH_BUCKETS, bucket_of
from omnivec2.spec import HeadSpec
from tests.support.networks.cut_networks import MAX_TOKENS, ROUTES, cut_heads, cut_network

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def network() -> OmniVec2:
    return cut_network()


@pytest.fixture(scope="module")
def heads(network: OmniVec2) -> dict[str, HeadSpec]:
    return {head.route: head for head in cut_heads(network)}


@pytest.fixture(scope="module")
def compositions(network: OmniVec2, heads: dict[str, HeadSpec]) -> dict[str, PartitionedHead]:
    return PartitionedNetwork(network, list(heads.values())).heads


def run(composition: PartitionedHead, inputs: Batch) -> dict[str, np.ndarray]:
    """Every tensor on the way through the parts."""
    tensors = dict(inputs)
    for part in composition.parts:
        given = {tensor.name: tensors[tensor.name] for tensor in part.spec.inputs}
        tensors |= part.traceable.answer(given)
    return tensors


def assert_close(got: np.ndarray, wanted: np.ndarray) -> None:
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= TOLERANCE * np.abs(wanted).max()


def check_specs(composition: PartitionedHead, tensors: Batch) -> None:
    """Every tensor between parts is what their specs say."""
    for part in composition.parts:
        for spec in (*part.spec.inputs, *part.spec.outputs):
            array = tensors[spec.name]
            assert array.dtype == spec.dtype, spec.name
            assert len(array) == 2
            for have, said in zip(array.shape[1:], spec.shape, strict=True):
                assert said in (-1, have), spec.name
    assert tensors["tokens"].shape[1] in LENGTH_BUCKETS


def make(head: HeadSpec, rows: int, lengths: dict[str, int] | None = None) -> Batch:
    sizes = lengths or dict.fromkeys(length_axes(head), 7)
    return random_inputs(head, rows, sizes, np.random.default_rng(5))


@pytest.mark.parametrize("route", ROUTES)
def test_the_parts_together_answer_like_the_network(
    network: OmniVec2, compositions: dict[str, PartitionedHead], route: str
) -> None:
    composition = compositions[route]
    inputs = make(composition.spec, 2)
    tensors = run(composition, inputs)
    for name, wanted in traceable_head(network, composition.spec).answer(inputs).items():
        assert_close(tensors[name], wanted)
    check_specs(composition, tensors)


@pytest.mark.parametrize("length", [2, 19, 20, 21, 40, 41, 68, 69, 132, 133, MAX_TOKENS])
def test_padding_changes_no_answer_to_a_text(
    network: OmniVec2, compositions: dict[str, PartitionedHead], length: int
) -> None:
    composition = compositions["text/sentiment"]
    inputs = make(composition.spec, 3, {"tokens": length})
    tensors = run(composition, inputs)
    assert tensors["tokens"].shape[1] == tensors["mask"].shape[1] == bucket_of(length)
    wanted = traceable_head(network, composition.spec).answer(inputs)["logits"]
    assert_close(tensors["logits"], wanted)
    # Each row is as if it were alone and as short as it really is.
    for row, real in enumerate(inputs["attention_mask"].sum(axis=1)):
        alone = {name: array[row : row + 1, :real] for name, array in inputs.items()}
        assert_close(run(composition, alone)["logits"], tensors["logits"][row : row + 1])


@pytest.mark.parametrize(("nodes", "edges"), [(1, 1), (9, 10), (12, 8), (30, 40)])
def test_padding_changes_no_answer_to_a_molecule(
    network: OmniVec2, compositions: dict[str, PartitionedHead], nodes: int, edges: int
) -> None:
    composition = compositions["graph/solubility"]
    inputs = make(composition.spec, 3, {"nodes": nodes, "edges": edges})
    tensors = run(composition, inputs)
    assert tensors["tokens"].shape[1] == bucket_of(1 + nodes + edges)
    wanted = traceable_head(network, composition.spec).answer(inputs)["values"]
    assert_close(tensors["values"], wanted)


def test_garbage_in_the_padding_reaches_no_real_token(
    compositions: dict[str, PartitionedHead],
) -> None:
    composition = compositions["text/embedding"]
    tensors = run(composition, make(composition.spec, 2, {"tokens": 23}))
    spoilt = {"tokens": tensors["tokens"].copy(), "mask": tensors["mask"]}
    spoilt["tokens"][~tensors["mask"]] = 100.0
    features = composition.trunk.traceable.answer(spoilt)["features"]
    assert_close(features[tensors["mask"]], tensors["features"][tensors["mask"]])
    features[~tensors["mask"]] = 100.0
    answer = composition.own.traceable.answer({"features": features, "mask": tensors["mask"]})
    assert_close(answer["embedding"], tensors["embedding"])


def test_equal_parts_are_one_object(compositions: dict[str, PartitionedHead]) -> None:
    assert len({id(composition.trunk) for composition in compositions.values()}) == 1
    own = {route: id(composition.own) for route, composition in compositions.items()}
    trained = [route for route in ROUTES if not route.endswith("/embedding")]
    assert len({own[route] for route in trained}) == len(trained)
    embeddings = {part for route, part in own.items() if route not in trained}
    assert len(embeddings) == 1
    assert not embeddings & {own[route] for route in trained}
    tokenizers = {id(composition.tokenizer) for composition in compositions.values()}
    assert len(tokenizers) == len({config.tokenizer for config in ROUTES.values()})
    assert compositions["image/detection"].tokenizer.spec.name == "tokenizer_image"


@pytest.mark.parametrize(
    ("route", "taken"),
    [
        ("image/detection", ["features"]),
        ("text/sentiment", ["features", "mask"]),
        ("graph/embedding", ["features", "mask"]),
        ("timeseries/forecast", ["features", "location", "scale", "series"]),
        ("timeseries/embedding", ["features", "mask"]),
    ],
)
def test_a_head_part_has_only_the_inputs_it_reads(
    compositions: dict[str, PartitionedHead], route: str, taken: list[str]
) -> None:
    assert [tensor.name for tensor in compositions[route].own.spec.inputs] == taken


def test_a_part_takes_the_batches_of_the_heads_it_serves(
    compositions: dict[str, PartitionedHead],
) -> None:
    for part in itertools.chain.from_iterable(c.parts for c in compositions.values()):
        assert part.spec.max_batch_size == 8


def test_other_sizes_of_the_same_modality_get_a_tokenizer_of_their_own(
    network: OmniVec2, heads: dict[str, HeadSpec]
) -> None:
    (pixels,) = heads["image/embedding"].inputs
    narrow = heads["image/classification"].model_copy(
        update={"inputs": (pixels.model_copy(update={"shape": (64, 32, 3)}),)}
    )
    composed = PartitionedNetwork(network, [narrow, heads["image/embedding"]]).heads
    assert composed["image/embedding"].tokenizer.spec.name == "tokenizer_image"
    assert composed["image/classification"].tokenizer.spec.name == "tokenizer_image_64x32x3"


class _Padded(nn.Module):
    """Pads (B, N) to its bucket."""

    def forward(self, x_BN: Tensor) -> Tensor:
        return F.pad(x_BN, (0, bucket_of(x_BN.shape[1]) - x_BN.shape[1]))


def test_the_bucket_of_a_traced_length_is_that_of_a_number() -> None:
    length = torch.export.Dim("length", min=1, max=LENGTH_BUCKETS[-1])
    program = torch.export.export(
        _Padded(), (torch.zeros(1, 17),), dynamic_shapes={"x_BN": {1: length}}
    )
    traced = program.module()
    for near, step in itertools.product((1, *LENGTH_BUCKETS), (-1, 0, 1)):
        size = near + step
        if 1 <= size <= LENGTH_BUCKETS[-1]:
            assert traced(torch.zeros(1, size)).shape[1] == bucket_of(size), size


def test_a_tokenizer_can_be_traced_with_both_of_its_lengths_left_open(
    compositions: dict[str, PartitionedHead],
) -> None:
    traceable = compositions["graph/solubility"].tokenizer.traceable
    dims = {
        name: torch.export.Dim(name, min=low, max=high)
        for name, (low, high) in traceable.bounds.items()
    }
    shapes = [
        {axis: dims[name] for axis, name in traceable.axes[tensor.name].items()}
        for tensor in traceable.inputs
    ]
    example = tuple(torch.from_numpy(traceable.example[t.name]) for t in traceable.inputs)
    program = torch.export.export(
        traceable.module, example, dynamic_shapes={"tensors": tuple(shapes)}, strict=False
    )
    other = make(compositions["graph/solubility"].spec, 2, {"nodes": 31, "edges": 45})
    wanted = traceable.answer(other)
    outputs = program.module()(*(torch.from_numpy(other[t.name]) for t in traceable.inputs))
    for spec, tensor in zip(traceable.outputs, outputs, strict=True):
        torch.testing.assert_close(tensor.detach(), torch.from_numpy(wanted[spec.name]))
