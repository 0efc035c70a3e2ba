"""Heads that look at what goes into the trunk: their tokenizer part hands it past the trunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from export.export_run import export_checkpoint
from export.exported_checkpoint import ExportedCheckpoint, part_directory
from export.graphs.exported_graphs import Chain
from export.graphs.network_parts import PartitionedHead, PartitionedNetwork
from export.graphs.traceable import traceable_head
from export.parity.parity_gate import Case, cases_of
from export.repository.layouts import Layout
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.network.config import HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import load_network, save_network
from omnivec2.network.tokenizers.text import TextTokenizerConfig
from omnivec2.spec import HeadSpec, TaskFamily
from tests.support.networks.cut_networks import MAX_TOKENS, ROUTES, cut_heads, one_layer
from tests.support.networks.networks import TOKENIZERS

pytestmark = pytest.mark.long

EXTRAS = ["token_deviation", "token_max", "token_mean", "token_sum"]
PARTS = ["tokenizer_text_topic", "trunk", "head_text_topic"]


def layers(tokenizer: str) -> HeadConfig:
    return HeadConfig.model_validate(
        {
            "family": TaskFamily.CLASSIFICATION,
            "tokenizer": tokenizer,
            "outputs": 3,
            "layers": "fc",
            "hidden": 8,
            "summaries": ("cls", "mean", "f_mean", "f_input_mean", *EXTRAS),
        }
    )


@pytest.fixture(scope="module")
def network() -> OmniVec2:
    """A network of texts and motion sensors; of two heads each, one has token summaries."""
    torch.manual_seed(0)
    plain = ("text/sentiment", "imu/activity")
    preset = one_layer()
    config = NetworkConfig.model_validate(
        preset
        | {
            "trunk": preset["trunk"] | {"f_mean": True},
            "tokenizers": {
                "text": TextTokenizerConfig(vocabulary=30_522, positions=MAX_TOKENS),
                "imu": TOKENIZERS["imu"],
            },
            "heads": {route: ROUTES[route] for route in plain}
            | {"text/topic": layers("text"), "imu/pace": layers("imu")},
        }
    )
    return OmniVec2(config).eval()


@pytest.fixture(scope="module")
def compositions(network: OmniVec2) -> dict[str, PartitionedHead]:
    return PartitionedNetwork(network, cut_heads(network)).heads


@pytest.fixture(scope="module")
def source(network: OmniVec2, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A checkpoint of the network with one head exported in both layouts."""
    directory = tmp_path_factory.mktemp("exported") / "checkpoint"
    save_network(directory, network, network.state_dict(), cut_heads(network))
    results = export_checkpoint(directory, only=["text/topic"], layouts=list(Layout))
    assert [result.message for result in results if not result.ok] == []
    return read_checkpoint(directory)


def topic(source: Checkpoint) -> HeadSpec:
    (head,) = [head for head in source.heads if head.route == "text/topic"]
    return head


def session(source: Checkpoint, directory: Path) -> ort.InferenceSession:
    """ONNX Runtime on a graph, its weights beside it as in a repository."""
    weights = directory / "weights.safetensors"
    if not weights.exists():
        weights.hardlink_to(source.weights_path)
    return ort.InferenceSession(directory / "model.onnx", providers=["CPUExecutionProvider"])


def check(case: Case, source: Checkpoint, got: np.ndarray) -> None:
    route = traceable_head(load_network(source.directory), topic(source))
    np.testing.assert_allclose(got, route.answer(case.batch)["logits"], rtol=1e-4, atol=1e-5)


def test_heads_of_one_tokenizer_have_two_tokenizer_parts_if_one_sees_tokens(
    compositions: dict[str, PartitionedHead],
) -> None:
    names = {route: composed.tokenizer.spec.name for route, composed in compositions.items()}
    assert names == {
        "text/sentiment": "tokenizer_text",
        "text/topic": "tokenizer_text_topic",
        "imu/activity": "tokenizer_imu",
        "imu/pace": "tokenizer_imu_pace",
    }
    assert len({id(composed.trunk) for composed in compositions.values()}) == 1


def test_only_a_head_that_uses_token_summaries_gets_them(
    compositions: dict[str, PartitionedHead],
) -> None:
    handed = {
        route: [tensor.name for tensor in composed.tokenizer.spec.outputs]
        for route, composed in compositions.items()
    }
    assert handed["text/topic"] == handed["imu/pace"] == ["tokens", "mask", *EXTRAS]
    assert handed["text/sentiment"] == handed["imu/activity"] == ["tokens", "mask"]
    taken = {
        route: [tensor.name for tensor in composed.own.spec.inputs]
        for route, composed in compositions.items()
    }
    assert taken["text/topic"] == ["features", "mask", *EXTRAS, "f_mean", "f_input_mean"]
    assert taken["imu/pace"] == ["features", *EXTRAS, "f_mean", "f_input_mean"]
    assert taken["text/sentiment"] == ["features", "mask"]


@pytest.mark.parametrize("route", ["text/topic", "imu/pace"])
def test_the_parts_together_answer_like_the_network(
    network: OmniVec2, compositions: dict[str, PartitionedHead], route: str
) -> None:
    composed = compositions[route]
    whole = traceable_head(network, composed.spec)
    for case in cases_of(composed.spec):
        tensors = dict(case.batch)
        for part in composed.parts:
            tensors |= part.traceable.answer(tensors)
        wanted = whole.answer(case.batch)["logits"]
        np.testing.assert_allclose(tensors["logits"], wanted, rtol=1e-4, atol=1e-5)


def test_the_fused_graph_answers_like_the_network(source: Checkpoint) -> None:
    fused = session(source, source.model_directory(topic(source)))
    for case in cases_of(topic(source)):
        (got,) = fused.run(["logits"], dict(case.batch))
        check(case, source, got)


def test_the_exported_parts_answer_like_the_network(source: Checkpoint) -> None:
    assert [ExportedCheckpoint(source).part(name).spec.name for name in PARTS] == PARTS
    chain = Chain([session(source, part_directory(source, name)) for name in PARTS])
    for case in cases_of(topic(source)):
        (got,) = chain(["logits"], case.batch)
        check(case, source, got)
