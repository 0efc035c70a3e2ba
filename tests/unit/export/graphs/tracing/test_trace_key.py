from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from export.graphs.network_parts import PartitionedNetwork
from export.graphs.traceable import Traceable, traceable_head
from export.graphs.tracing.trace_key import trace_key
from omnivec2.network.config import HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.spec import TaskFamily, TensorSpec
from tests.support.networks.cut_networks import cut_heads, one_layer
from tests.support.networks.networks import TOKENIZERS

ROUTE = "imu/activity"
OPSET = 20


def network(seed: int = 0, *more: str, outputs: int = 3, patch: int = 16) -> OmniVec2:
    torch.manual_seed(seed)
    changes = {
        "tokenizers": {
            "imu": TOKENIZERS["imu"].model_copy(update={"patch": patch}),
            **({"timeseries": TOKENIZERS["timeseries"]} if more else {}),
        },
        "heads": {
            route: HeadConfig(
                family=TaskFamily.CLASSIFICATION,
                tokenizer=route.partition("/")[0],
                outputs=outputs if route == ROUTE else 2,
            )
            for route in (ROUTE, *more)
        },
    }
    return OmniVec2(NetworkConfig.model_validate(one_layer() | changes)).eval()


def keys(built: OmniVec2) -> dict[str, str | None]:
    """Return the keys of a head in one piece and of its parts."""
    heads = cut_heads(built)
    head = next(head for head in heads if head.route == ROUTE)
    parts = PartitionedNetwork(built, [head]).heads[ROUTE].parts
    traceables = [traceable_head(built, head), *(part.traceable for part in parts)]
    names = ["whole", "tokenizer", "trunk", "head"]
    return {n: trace_key(t, OPSET) for n, t in zip(names, traceables, strict=True)}


@pytest.fixture(scope="module")
def plain() -> dict[str, str | None]:
    return keys(network())


def test_every_graph_of_a_head_has_a_key_of_its_own(plain: dict[str, str | None]) -> None:
    assert None not in plain.values()
    assert len(set(plain.values())) == 4


def test_other_weights_change_no_key(plain: dict[str, str | None]) -> None:
    assert keys(network(seed=1)) == plain


def test_further_heads_of_the_network_change_no_key(plain: dict[str, str | None]) -> None:
    assert keys(network(0, "imu/gesture", "timeseries/event")) == plain


def test_a_head_of_another_size_leaves_the_trunk_its_key(plain: dict[str, str | None]) -> None:
    changed = {name for name, key in keys(network(outputs=5)).items() if key != plain[name]}
    assert {"whole", "head"} <= changed
    assert "trunk" not in changed


def test_a_setting_of_the_tokenizer_changes_the_keys_of_what_runs_it(
    plain: dict[str, str | None],
) -> None:
    changed = {name for name, key in keys(network(patch=8)).items() if key != plain[name]}
    assert {"whole", "tokenizer"} <= changed


class Scaled(nn.Module):
    """A module of which a number, a table or a function is no weight."""

    def __init__(self, scale: object) -> None:
        super().__init__()
        self.scale = scale
        self.linear = nn.Linear(2, 2)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return (self.linear(tensors[0]),)


def traceable(module: nn.Module) -> Traceable:
    tensor = TensorSpec(name="x", dtype="float32", shape=(2,))
    return Traceable(
        name="scaled",
        module=module.eval(),
        inputs=(tensor,),
        outputs=(tensor.model_copy(update={"name": "y"}),),
        axes={"x": {0: "batch"}},
        bounds={"batch": (1, 8)},
        example={"x": torch.zeros(3, 2).numpy()},
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, 2.0),
        (torch.zeros(2), torch.ones(2)),
        (torch.nn.functional.relu, torch.nn.functional.gelu),
        ({"a": (1, 2)}, {"a": (1, 3)}),
        (nn.Linear, nn.Conv1d),
    ],
)
def test_what_is_no_weight_is_part_of_the_key(one: object, other: object) -> None:
    first, second = (trace_key(traceable(Scaled(scale)), OPSET) for scale in (one, other))
    assert first is not None
    assert second is not None
    assert first != second
    assert trace_key(traceable(Scaled(one)), OPSET) == first


def test_the_sizes_that_are_allowed_and_the_opset_are_part_of_the_key() -> None:
    plain = traceable(Scaled(1.0))
    assert trace_key(plain, OPSET) != trace_key(plain, OPSET + 1)
    assert trace_key(plain, OPSET) != trace_key(replace(plain, bounds={"batch": (1, 9)}), OPSET)


@pytest.mark.parametrize("scale", [object(), lambda x: x])
def test_a_module_with_an_unknown_attribute_has_no_key(scale: object) -> None:
    assert trace_key(traceable(Scaled(scale)), OPSET) is None


def test_a_module_that_cannot_be_run_has_no_key() -> None:
    module = Scaled(1.0)
    module.linear = nn.Linear(3, 2)
    assert trace_key(traceable(module), OPSET) is None
