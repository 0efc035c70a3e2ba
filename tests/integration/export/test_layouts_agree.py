"""Every head of the network that ships gives the same answers in both layouts and runtimes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.parity.random_samples import length_cases, random_inputs
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.checkpoint import read_checkpoint
from omnivec2.spec import TaskFamily
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import FileInput
from tests.support.documents import ROOT
from tests.support.requests.bad_inputs import GOOD, file
from tests.support.service_parts.runtimes import Kind, Tensors, relative_error, running_runtime
from tests.support.triton.small_repositories import keep_one_instance

pytestmark = pytest.mark.long

CHECKPOINT = ROOT / "checkpoints" / "reference"
HEADS = {head.name: head for head in read_checkpoint(CHECKPOINT).heads}
BATCHES = (1, 3)
TOLERANCE = 1e-4
SUMMARIES = {"f_input_mean", "f_mean"}

# A pixel of a mask may go either way where two labels are equally likely.
FILES = {
    route: name
    for route, name in GOOD.items()
    if HEADS[route.replace("/", "_")].family is not TaskFamily.SEGMENTATION
}


@dataclass(frozen=True)
class Answers:
    """The answers of one runtime with one layout.

    Attributes:
        tensors: The outputs of each of the ``requests`` of a model, by its name.
        files: The JSON answer to the file of a head, by its name.
    """

    tensors: dict[str, list[Tensors]]
    files: dict[str, Any]


def requests(name: str) -> list[Tensors]:
    """Return random inputs of a model at several batch sizes and lengths, always the same."""
    rng = np.random.default_rng(0)
    head = HEADS[name]
    cases = length_cases(head)
    if len(cases) == 1:
        return [random_inputs(head, batch, cases[0], rng) for batch in BATCHES]
    # Lengths ascend; the longest, which takes most of the time, comes in a batch of one.
    batches = (*(max(BATCHES) for _ in cases[1:]), 1)
    return [random_inputs(head, *case, rng) for case in zip(batches, cases, strict=True)]


def collect_answers(kind: Kind, layout: Layout, root: Path) -> Answers:
    """Send all inputs to one runtime with one layout."""
    assemble(CHECKPOINT, root, layout)
    with running_runtime(kind, keep_one_instance(root)) as running:
        # Several at a time, so that no process of Triton's sleeps until the next one comes.
        asked = [(name, inputs) for name in HEADS for inputs in requests(name)]
        answers = iter(running.answers(asked, together=4))
        tensors = {name: [next(answers) for _ in requests(name)] for name in HEADS}
        plane = DataPlane(running.runtime, host_workers=2)
        files = {
            route: running.run(answer_file(plane, route, name)) for route, name in FILES.items()
        }
        plane.close()
    return Answers(tensors, files)


async def answer_file(plane: DataPlane, route: str, name: str) -> Any:
    """Return the JSON answer to a file."""
    head = plane.head(*route.split("/"))
    answer = await plane.predict(head, [FileInput(file(name))], {}, batched=False)
    return json.loads(answer.body)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """The answers of every head in the fused layout, in this process."""
    return collect_answers("embedded", Layout.FUSED, tmp_path_factory.mktemp("fused"))


@pytest.fixture(
    scope="module",
    params=[("embedded", Layout.SHARED), ("triton", Layout.FUSED), ("triton", Layout.SHARED)],
    ids="-".join,
)
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """The answers of the other combinations, one server after the other."""
    kind, layout = request.param
    return collect_answers(kind, layout, tmp_path_factory.mktemp("other"))


@pytest.mark.parametrize("name", HEADS)
def test_tensors_agree(expected: Answers, answers: Answers, name: str) -> None:
    for got, wanted in zip(answers.tensors[name], expected.tensors[name], strict=True):
        assert wanted.keys() == {tensor.name for tensor in HEADS[name].outputs}
        # Parts that the whole graph does not show say what training data look like to the trunk.
        assert got.keys() - wanted.keys() <= SUMMARIES
        for output, array in wanted.items():
            assert relative_error(got[output], array) < TOLERANCE, output


@pytest.mark.parametrize("route", FILES)
def test_answers_to_real_files_agree(expected: Answers, answers: Answers, route: str) -> None:
    assert_close(answers.files[route], expected.files[route])


def assert_close(got: Any, wanted: Any) -> None:
    """Assert that two JSON values differ by no more than the tolerance in their numbers."""
    if isinstance(wanted, float):
        assert got == pytest.approx(wanted, rel=TOLERANCE, abs=TOLERANCE)
    elif isinstance(wanted, dict):
        assert got.keys() == wanted.keys()
        for key, value in wanted.items():
            assert_close(got[key], value)
    elif isinstance(wanted, list):
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            assert_close(one, other)
    else:
        assert got == wanted
