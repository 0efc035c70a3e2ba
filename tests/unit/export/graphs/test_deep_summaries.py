"""Heads that see the branch of a picture's stem: they share the tokenizer part that has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from export.export_run import export_checkpoint
from export.graphs.network_parts import PartitionedNetwork
from export.graphs.traceable import traceable_head
from export.parity.parity_gate import cases_of
from export.repository.layouts import Layout
from omnivec2.network.config import HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import save_network
from omnivec2.network.tokenizers.visual import VisualTokenizerConfig
from omnivec2.spec import Modality, TaskFamily
from tests.support.networks.cut_networks import ROUTES, cut_heads, one_layer

DETECTION, EMBEDDING, OBJECT = "image/detection", "image/embedding", "image/object"


@pytest.fixture(scope="module")
def network() -> OmniVec2:
    """A network of pictures; two of three heads see the branch."""
    torch.manual_seed(0)
    preset = one_layer()
    seeing = {"tokenizer": "image", "layers": "fc", "outputs": 4, "hidden": 8}
    config = NetworkConfig.model_validate(
        preset
        | {
            "trunk": preset["trunk"] | {"f_mean": True},
            "tokenizers": {
                "image": VisualTokenizerConfig(
                    modality=Modality.IMAGE, stem_blocks=8, deep_blocks=5, grid=(1, 4, 4)
                ),
            },
            "heads": {
                DETECTION: ROUTES[DETECTION],
                EMBEDDING: HeadConfig(
                    family=TaskFamily.EMBEDDING, summaries=("f_mean", "deep"), **seeing
                ),
                OBJECT: HeadConfig(family=TaskFamily.CLASSIFICATION, summaries=("deep",), **seeing),
            },
        }
    )
    return OmniVec2(config).eval()


def test_heads_that_see_the_branch_share_a_tokenizer_part_and_others_do_without(
    network: OmniVec2,
) -> None:
    composed = PartitionedNetwork(network, cut_heads(network)).heads
    shared = composed[EMBEDDING].tokenizer
    assert composed[OBJECT].tokenizer is shared
    assert shared.spec.name == "tokenizer_image"
    assert [tensor.name for tensor in shared.spec.outputs] == ["tokens", "mask", "deep"]
    plain = composed[DETECTION].tokenizer
    assert plain.spec.name == "tokenizer_image_64x64x3"
    assert [tensor.name for tensor in plain.spec.outputs] == ["tokens", "mask"]
    seen = [tensor.name for tensor in composed[EMBEDDING].own.spec.inputs]
    assert seen == ["features", "deep", "f_mean"]


def test_the_parts_together_answer_like_the_network(network: OmniVec2) -> None:
    for composed in PartitionedNetwork(network, cut_heads(network)).heads.values():
        whole = traceable_head(network, composed.spec)
        for case in cases_of(composed.spec):
            tensors = dict(case.batch)
            for part in composed.parts:
                tensors |= part.traceable.answer(tensors)
            for name, wanted in whole.answer(case.batch).items():
                np.testing.assert_allclose(tensors[name], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_both_layouts_of_such_a_head_pass_the_parity_gate(
    network: OmniVec2, tmp_path: Path
) -> None:
    directory = tmp_path / "checkpoint"
    save_network(directory, network, network.state_dict(), cut_heads(network))
    results = export_checkpoint(directory, only=[EMBEDDING], layouts=list(Layout))
    assert [result.message for result in results if not result.ok] == []
    names = [result.name for result in results]
    assert {"tokenizer_image", "trunk", "head_image_embedding"} <= set(names)
