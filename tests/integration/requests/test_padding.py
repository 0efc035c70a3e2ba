"""Requests that share batches are answered as if each were alone, and never one for another.

The network that ships, in the shared layout, where requests of all modalities meet in the
trunk: padded to common lengths, in rows of one batch.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest

from export.parity.random_samples import random_inputs
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.checkpoint import read_checkpoint
from service.runtimes.embedded.batching.batch_rows import merge_batches
from tests.support.documents import ROOT
from tests.support.service_parts.runtimes import (
    RunningRuntime,
    Tensors,
    relative_error,
    running_runtime,
)
from tests.support.triton.small_repositories import keep_models

pytestmark = pytest.mark.long

CHECKPOINT = ROOT / "checkpoints" / "reference"
HEADS = {head.name: head for head in read_checkpoint(CHECKPOINT).heads}
TOLERANCE = 1e-5
DISTINCT = 1e-3
MIXED_BATCHES = {"embedded": 80, "triton": 60}
"""Triton's Python-based backend takes about four times as long for the same."""
CLIENTS = 64
SHORT = 42
ROUNDS = 3

# Either side of every bucket up to 132, and lengths that nearly double in one.
TEXT_LENGTHS = (2, 9, 20, 21, 33, 40, 41, 67, 69, 100)
FIXED = (
    "tabular_income",
    "tabular_marketing",
    "imu_activity",
    "timeseries_forecast",
    "image_classification",
    "image_embedding",
    "infrared_objects",
    "hyperspectral_landcover",
)
TEXTS = ("text_sentiment", "text_paraphrase", "text_embedding")
MOLECULES = ("graph_solubility", "graph_embedding")
MODELS = (*TEXTS, *MOLECULES, *FIXED, "image_detection")


@dataclass(frozen=True)
class Sample:
    """One row of inputs of a model, unpadded, and its length if that may vary."""

    model: str
    inputs: Tensors
    length: int


@dataclass
class Server:
    """A running runtime, and how often requests met in its trunk."""

    running: RunningRuntime
    batches: Counter[int] = field(default_factory=Counter)

    def rows_and_batches(self) -> tuple[int, int]:
        """Return the number of rows that the trunk has computed so far, and of its batches."""
        if self.running.triton is None:
            return sum(rows * n for rows, n in self.batches.items()), self.batches.total()
        url = f"{self.running.triton.http}/v2/models/trunk/stats"
        (stats,) = httpx.get(url, timeout=10).json()["model_stats"]
        return stats["inference_count"], stats["execution_count"]


@pytest.fixture(scope="module", params=["embedded", "triton"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    root: Path = tmp_path_factory.mktemp("repository")
    assemble(CHECKPOINT, root, Layout.SHARED)
    keep_models(root, MODELS)
    batches: Counter[int] = Counter()

    def on_batch(name: str, rows: int, _: float) -> None:
        batches[rows] += name == "trunk"

    # One batch at a time, so that waiting requests share the next one.
    with running_runtime(request.param, root, on_batch, inference_threads=1) as running:
        yield Server(running, batches)


def make_sample(model: str, seed: int, **lengths: int) -> Sample:
    inputs = random_inputs(HEADS[model], 1, lengths, np.random.default_rng(seed))
    return Sample(model, inputs, sum(lengths.values()))


@pytest.fixture(scope="module")
def pool() -> list[Sample]:
    """Rows of many models and lengths."""
    texts = itertools.product(TEXTS, TEXT_LENGTHS)
    molecules = itertools.product(MOLECULES, (1, 5, 12, 38), (1, 11))
    return [
        *(make_sample(model, length, tokens=length) for model, length in texts),
        *(make_sample(model, n, nodes=n, edges=edges) for model, n, edges in molecules),
        *(make_sample(model, seed) for model in FIXED for seed in range(4)),
        make_sample("image_detection", 0),
    ]


@pytest.fixture(scope="module")
def alone(server: Server, pool: list[Sample]) -> list[Tensors]:
    """The answer to each row when it is the only one."""
    return server.running.answers([(sample.model, sample.inputs) for sample in pool])


def mixed_batch(pool: list[Sample], rng: np.random.Generator) -> list[list[int]]:
    """Return requests of one to three rows each, as numbers of samples in the pool."""
    requests = []
    for first in rng.integers(0, len(pool), rng.integers(3, 8)):
        same_model = [i for i, sample in enumerate(pool) if sample.model == pool[first].model]
        requests.append([int(first), *map(int, rng.choice(same_model, rng.integers(0, 3)))])
    return requests


@pytest.mark.timeout(900)  # minutes where other work takes the cores
def test_rows_of_mixed_batches_are_answered_as_if_alone(
    server: Server, pool: list[Sample], alone: list[Tensors]
) -> None:
    rng = np.random.default_rng(0)
    before, sent, worst = server.rows_and_batches(), 0, 0.0
    for _ in range(MIXED_BATCHES["triton" if server.running.triton else "embedded"]):
        requests = mixed_batch(pool, rng)
        sent += len(requests)
        answers = server.running.answers(
            [
                (pool[rows[0]].model, merge_batches([pool[i].inputs for i in rows]))
                for rows in requests
            ],
            together=len(requests),
        )
        for rows, answer in zip(requests, answers, strict=True):
            for place, i in enumerate(rows):
                assert answer.keys() == alone[i].keys()
                for name, wanted in alone[i].items():
                    error = relative_error(answer[name][place : place + 1], wanted)
                    assert error < TOLERANCE, (pool[i].model, name, rows)
                    worst = max(worst, error)
    _, batches = np.subtract(server.rows_and_batches(), before)
    print(f"{sent} requests in {batches} batches of the trunk, largest difference {worst:.1e}")
    assert batches < sent  # otherwise no two requests shared a batch


def test_many_clients_at_once_get_their_own_answers(
    server: Server, pool: list[Sample], alone: list[Tensors]
) -> None:
    # Not the longest, so that a busy machine answers all of them in time.
    short = [i for i, sample in enumerate(pool) if sample.length < SHORT]
    clients = np.random.default_rng(1).permutation(short)[:CLIENTS]
    assert len(clients) == CLIENTS
    for i, j in itertools.combinations(clients, 2):
        if pool[i].model == pool[j].model:
            assert differ(alone[i], alone[j]), "these clients could not tell"
    before = server.rows_and_batches()
    requests = [(pool[i].model, pool[i].inputs) for i in clients]
    for _ in range(ROUNDS):
        answers = server.running.answers(requests, together=CLIENTS)
        for i, answer in zip(clients, answers, strict=True):
            for name, wanted in alone[i].items():
                assert relative_error(answer[name], wanted) < TOLERANCE, (pool[i].model, name)
    rows, batches = np.subtract(server.rows_and_batches(), before)
    assert rows == ROUNDS * CLIENTS
    # How many share a batch depends on timing; otherwise there would be as many batches as rows.
    assert batches < 0.8 * rows


def differ(one: Tensors, other: Tensors) -> bool:
    """Whether two answers of a model are further apart than rounding could bring them."""
    return any(relative_error(one[name], other[name]) > DISTINCT for name in one)
