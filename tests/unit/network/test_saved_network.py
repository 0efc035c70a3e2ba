"""Networks and checkpoint directories."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from omnivec2.errors import CheckpointError
from omnivec2.network.config import PRESETS, HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import continue_from, load_network, save_network
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec, TaskFamily
from tests.support.networks.networks import TOKENIZERS, make_inputs
from tests.support.networks.writing import MAX_TOKENS, writing_network


def _spec(task: str) -> HeadSpec:
    return HeadSpec(
        modality=Modality.IMU,
        task=task,
        family=TaskFamily.CLASSIFICATION,
        inputs=(),
        outputs=(),
        preprocess=PreprocessSpec(name=Modality.IMU, version=1),
        network="tiny",
    )


def _network() -> OmniVec2:
    torch.manual_seed(0)
    head = HeadConfig(family=TaskFamily.CLASSIFICATION, tokenizer="imu", outputs=6)
    changes = {
        "tokenizers": {"imu": TOKENIZERS["imu"]},
        "heads": {"imu/activity": head, "imu/helper": head},
    }
    return OmniVec2(NetworkConfig.model_validate(PRESETS["tiny"].model_dump() | changes)).eval()


def test_a_saved_and_loaded_network_gives_the_same_answers(tmp_path: Path) -> None:
    network = _network()
    save_network(tmp_path / "c", network, network.state_dict(), [_spec("activity")])
    inputs = make_inputs("imu/activity", 4)
    with torch.no_grad():
        before = network("imu/activity", inputs)["logits"]
        after = load_network(tmp_path / "c")("imu/activity", inputs)["logits"]
    assert torch.allclose(before, after, atol=2e-2)


def test_a_head_that_is_not_served_does_not_ship(tmp_path: Path) -> None:
    network = _network()
    save_network(tmp_path / "c", network, network.state_dict(), [_spec("activity")])
    assert set(load_network(tmp_path / "c").config.heads) == {"imu/activity"}


def test_training_continues_from_every_weight_that_fits(tmp_path: Path) -> None:
    network = _network()
    save_network(tmp_path / "c", network, network.state_dict(), [_spec("activity")])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    kept = continue_from(network, tmp_path / "c")
    assert network.trunk.f.fc[0].weight.abs().sum() > 0
    assert kept
    assert all(name.startswith(("fusion.", "heads.imu_helper.")) for name in kept)


def test_a_longer_table_of_positions_keeps_the_trained_rows(tmp_path: Path) -> None:
    short, heads = writing_network()
    save_network(tmp_path / "c", short, short.state_dict(), heads)
    config = short.config.model_dump(mode="json")
    config["tokenizers"]["text"]["positions"] = 2 * MAX_TOKENS
    longer = OmniVec2(NetworkConfig.model_validate(config))
    own = longer.tokenizers["text"].get_parameter("positions.weight").detach().clone()
    kept = continue_from(longer, tmp_path / "c")
    table = longer.tokenizers["text"].get_parameter("positions.weight")
    trained = short.tokenizers["text"].get_parameter("positions.weight")
    assert torch.allclose(table[:MAX_TOKENS], trained, atol=1e-2)
    assert torch.equal(table[MAX_TOKENS:], own[MAX_TOKENS:])
    assert all(name.startswith("fusion.") for name in kept)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"tokenizers"', '"tokenizer"', r"config\.json is not a network"),
        ('"imu/activity"', '"imu/other"', r"do not fit config\.json \(missing .*imu_other"),
    ],
)
def test_a_configuration_that_does_not_fit_the_weights_is_refused(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    network = _network()
    save_network(tmp_path / "c", network, network.state_dict(), [_spec("activity")])
    config = tmp_path / "c" / "config.json"
    config.write_text(config.read_text().replace(before, after))
    with pytest.raises(CheckpointError, match=message):
        load_network(tmp_path / "c")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    network = _network()
    save_network(tmp_path / "c", network, network.state_dict(), [_spec("activity")])
    config = tmp_path / "c" / "config.json"
    config.write_text(config.read_text().replace('"outputs": 6', '"outputs": 7'))
    with pytest.raises(CheckpointError, match=r"do not fit config\.json"):
        load_network(tmp_path / "c")
