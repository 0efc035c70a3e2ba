"""A tiny network over every modality, with head specs, as it is cut into parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from export.parity.random_samples import example_inputs
from omnivec2.network.config import PRESETS, HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.graph import GraphTokenizerConfig
from omnivec2.network.tokenizers.text import TextTokenizerConfig
from omnivec2.preprocess.graph import ATOM_FIELD_SIZES, BOND_FIELD_SIZES
from omnivec2.spec import HeadSpec, PreprocessSpec, TaskFamily, TensorSpec
from tests.support.networks.networks import HEADS, INPUTS, TOKENIZERS

MAX_TOKENS = 150
"""More than the bucket of 132 holds."""

ROUTES = {
    **HEADS,
    "image/embedding": HeadConfig(family=TaskFamily.EMBEDDING, tokenizer="image"),
    "imu/embedding": HeadConfig(family=TaskFamily.EMBEDDING, tokenizer="imu"),
    "timeseries/embedding": HeadConfig(family=TaskFamily.EMBEDDING, tokenizer="timeseries"),
    "graph/embedding": HeadConfig(family=TaskFamily.EMBEDDING, tokenizer="graph"),
}
_DYNAMIC = ("text", "graph")
_FIELDS = {"nodes": len(ATOM_FIELD_SIZES), "edge_features": len(BOND_FIELD_SIZES)}
_NUMBERS = [{"name": f"n{i}", "kind": "number"} for i in range(3)]
_CATEGORIES = [
    {"name": f"c{i}", "kind": "category", "categories": names}
    for i, names in enumerate((["a", "b"], ["a", "b", "c"]))
]
_PARAMETERS = {
    "text": {"max_tokens": MAX_TOKENS},
    "tabular": {"columns": [*_NUMBERS, *_CATEGORIES]},
}


def one_layer() -> dict[str, Any]:
    """The tiny preset with one layer in f, which is exported in half the time."""
    preset = PRESETS["tiny"].model_dump()
    preset["trunk"]["f"]["depth"] = 1
    return preset


def cut_network() -> OmniVec2:
    """Random weights; ids as large as those of real texts and molecules."""
    torch.manual_seed(0)
    tokenizers = {
        **TOKENIZERS,
        "text": TextTokenizerConfig(vocabulary=30_522, positions=MAX_TOKENS),
        "graph": GraphTokenizerConfig(
            node_cardinalities=ATOM_FIELD_SIZES, edge_cardinalities=BOND_FIELD_SIZES
        ),
    }
    base = PRESETS["tiny"].model_dump()
    config = NetworkConfig.model_validate(base | {"tokenizers": tokenizers, "heads": ROUTES})
    return OmniVec2(config).eval()


def cut_heads(network: OmniVec2) -> list[HeadSpec]:
    """A spec for every route of a network, its shapes as the network has them."""
    return [_head(network, route) for route in network.config.heads]


def _head(network: OmniVec2, route: str) -> HeadSpec:
    modality, task = route.split("/")
    head = HeadSpec.model_validate(
        {
            "modality": modality,
            "task": task,
            "family": network.config.heads[route].family,
            "inputs": _inputs(modality),
            "outputs": (),
            "preprocess": PreprocessSpec.model_validate(
                {"name": modality, "version": 1, "parameters": _PARAMETERS.get(modality, {})}
            ),
            "max_batch_size": 8,
            "network": "tiny",
        }
    )
    inputs = {name: torch.from_numpy(np.asarray(a)) for name, a in example_inputs(head).items()}
    with torch.inference_mode():
        answers = network(route, inputs)
    outputs = tuple(
        TensorSpec(name=name, dtype="float32", shape=tuple(tensor.shape[1:]))
        for name, tensor in answers.items()
    )
    return head.model_copy(update={"outputs": outputs})


def _inputs(modality: str) -> tuple[TensorSpec, ...]:
    dynamic = modality in _DYNAMIC
    return tuple(
        TensorSpec.model_validate(
            {
                "name": name,
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "shape": (
                    (-1, *((_FIELDS.get(name, size)) for size in tensor.shape[2:]))
                    if dynamic
                    else tuple(tensor.shape[1:])
                ),
            }
        )
        for name, tensor in INPUTS[modality](1).items()
    )
