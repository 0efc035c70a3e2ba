"""Every head of the network that ships answers alike in both layouts, by both runtimes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from export.parity.random_samples import length_cases, random_inputs
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.checkpoint import read_checkpoint
from omnivec2.spec import TaskFamily
from tests.support.bad_inputs import GOOD, file
from tests.support.documents import ROOT
from tests.support.runtimes import Kind, Tensors, relative_error, running_runtime
from tests.support.servers import running_server

CHECKPOINT = ROOT / "checkpoints" / "reference"
HEADS = {head.name: head for head in read_checkpoint(CHECKPOINT).heads}
BATCHES = (1, 3)
TOLERANCE = 1e-4

# A pixel of a mask may go either way where two labels are equally likely.
FILES = {
    route: name
    for route, name in GOOD.items()
    if HEADS[route.replace("/", "_")].family is not TaskFamily.SEGMENTATION
}


@dataclass(frozen=True)
class Answers:
    """What one runtime answers from one layout.

    Attributes:
        tensors: model -> the outputs of each of its ``requests``.
        http: route -> the JSON for its file.
    """

    tensors: dict[str, list[Tensors]]
    http: dict[str, Any]


def requests(name: str) -> list[Tensors]:
    """Random inputs of a model at several batch sizes and lengths, always the same."""
    rng = np.random.default_rng(0)
    head = HEADS[name]
    return [
        random_inputs(head, batch, lengths, rng)
        for lengths in length_cases(head)
        for batch in BATCHES
    ]


def ask(kind: Kind, layout: Layout, root: Path) -> Answers:
    """Ask everything of one runtime on one layout."""
    assemble(CHECKPOINT, root, layout)
    with running_runtime(kind, root) as running:
        tensors = {
            name: running.answers([(name, inputs) for inputs in requests(name)]) for name in HEADS
        }
        where = ["--model-repo", str(root), "--layout", str(layout)]
        if running.triton:
            where = ["--triton", running.triton.grpc]
        with running_server(*where) as server, httpx.Client(base_url=server.url) as client:
            http = {route: post(client, route, name) for route, name in FILES.items()}
    return Answers(tensors, http)


def post(client: httpx.Client, route: str, name: str) -> Any:
    """The JSON for a file."""
    answer = client.post(f"/predict/{route}", content=file(name), timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What every head answers in one piece, in this process."""
    return ask("embedded", Layout.FUSED, tmp_path_factory.mktemp("fused"))


@pytest.fixture(
    scope="module",
    params=[("embedded", Layout.SHARED), ("triton", Layout.FUSED), ("triton", Layout.SHARED)],
    ids="-".join,
)
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What it answers otherwise; one server after the other."""
    kind, layout = request.param
    return ask(kind, layout, tmp_path_factory.mktemp("other"))


@pytest.mark.parametrize("name", HEADS)
def test_tensors_agree(expected: Answers, answers: Answers, name: str) -> None:
    for got, wanted in zip(answers.tensors[name], expected.tensors[name], strict=True):
        assert got.keys() == wanted.keys() == {tensor.name for tensor in HEADS[name].outputs}
        for output, array in wanted.items():
            assert relative_error(got[output], array) < TOLERANCE, output


@pytest.mark.parametrize("route", FILES)
def test_answers_to_real_files_agree(expected: Answers, answers: Answers, route: str) -> None:
    assert_alike(answers.http[route], expected.http[route])


def assert_alike(got: Any, wanted: Any) -> None:
    """JSON whose numbers differ by no more than the tolerance."""
    if isinstance(wanted, float):
        assert got == pytest.approx(wanted, rel=TOLERANCE, abs=TOLERANCE)
    elif isinstance(wanted, dict):
        assert got.keys() == wanted.keys()
        for key, value in wanted.items():
            assert_alike(got[key], value)
    elif isinstance(wanted, list):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            assert_alike(one, other)
    else:
        assert got == wanted
