"""A network small enough to export in seconds, with everything an export must cope with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.nn import functional as F

from export.graphs.weight_ranges import StoredWeights
from omnivec2.checkpoint import Checkpoint, write_checkpoint
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec, TaskFamily, TensorSpec
from tests.support.checkpoints.sensor_export import write_sensor_export
from tests.support.run_directory import run_directory

WIDTH = 64
VOCABULARY = 31_000


class StandIn(nn.Module):
    """Embedding, masked attention over a dynamic length, an int8-sized and a small matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)  # int8
        self.positions = nn.Parameter(torch.randn(256, WIDTH))  # int8
        self.query = nn.Linear(WIDTH, WIDTH)  # float16
        self.up = nn.Linear(WIDTH, 4 * WIDTH)  # int8
        self.norm = nn.LayerNorm(4 * WIDTH)
        self.classify = nn.Linear(4 * WIDTH, 3)
        self.register_buffer("unit", torch.tensor([1e-9]))  # float32
        self.register_buffer("order", torch.arange(3, dtype=torch.int32))  # integers, inline

    def forward(self, route: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        ids, mask = inputs["input_ids"], inputs["attention_mask"] > 0
        x = self.words(ids) + self.positions[: ids.shape[1]]
        q, k = self.query(x)[:, None], x[:, None]  # one head
        x = F.scaled_dot_product_attention(q, k, k, attn_mask=mask[:, None, None, :])[:, 0]
        weight = mask[..., None].to(x.dtype)
        pooled = (self.norm(self.up(x)) * weight).sum(1) / weight.sum(1)
        return {
            "logits": self.classify(pooled) + self.unit + self.order,
            "lengths": weight.sum(1),
        }


def make_head() -> HeadSpec:
    tokens = ("input_ids", "token_type_ids", "attention_mask")
    return HeadSpec(
        modality=Modality.TEXT,
        task="sentiment",
        family=TaskFamily.CLASSIFICATION,
        inputs=tuple(TensorSpec(name=name, dtype="int32", shape=(-1,)) for name in tokens),
        outputs=(
            TensorSpec(name="lengths", dtype="float32", shape=(1,)),
            TensorSpec(name="logits", dtype="float32", shape=(3,)),
        ),
        preprocess=PreprocessSpec(name=Modality.TEXT, version=1, parameters={"max_tokens": 64}),
        labels=("a", "b", "c"),
        network="stand-in",
    )


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    torch.manual_seed(0)
    tensors = {name: value.numpy() for name, value in StandIn().state_dict().items()}
    directory = tmp_path_factory.mktemp("stand-in") / "checkpoint"
    return write_checkpoint(directory, config={}, tensors=tensors, heads=[make_head()])


@pytest.fixture(scope="session")
def weights(checkpoint: Checkpoint) -> StoredWeights:
    return StoredWeights(checkpoint.directory)


@pytest.fixture(scope="session")
def network(weights: StoredWeights) -> StandIn:
    module = StandIn()
    module.load_state_dict({name: torch.from_numpy(a) for name, a in weights.values.items()})
    return module.eval()


@pytest.fixture(scope="session")
def workshop(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the weights in it."""
    directory = tmp_path_factory.mktemp("workshop")
    data = checkpoint.weights_path.read_bytes()
    (directory / "weights.safetensors").write_bytes(data)
    return directory


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with a file that has an export of its own, so that no worker waits for a shared one."""
    items.sort(key=lambda item: item.path.name != "test_token_summaries.py")


@pytest.fixture(scope="session")
def sensor_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that is exported in parts, by one worker for all; tests work on copies of it."""
    place = run_directory(tmp_path_factory)
    directory, done = place / "sensor-export", place / "sensor-export.done"
    with FileLock(place / "sensor-export.lock"):
        if not done.exists():
            write_sensor_export(directory)
            done.touch()
    return directory
