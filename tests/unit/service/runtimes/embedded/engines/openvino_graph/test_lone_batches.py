"""Batches that are alone are computed on all cores, if that is faster and answers alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from omnivec2.errors import ArtifactError
from service.runtimes.embedded.engines.openvino_graph import lone_batches
from service.runtimes.embedded.engines.openvino_graph.lone_batches import (
    LoneBatches,
    RunningBatches,
    threads_of_lone_batches,
)
from service.runtimes.embedded.engines.openvino_graph.sized_graph import SizedGraph
from tests.support.service_parts.pretend_graph import PretendGraph, pretend_clock

OFTEN = 5
SLOW = 0.004
BATCH = {"x": np.array([[1.0, 2.0]])}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five batches are often, and a pretended clock shows what they take."""
    pretend_clock(monkeypatch)
    monkeypatch.setattr(lone_batches, "_OFTEN", OFTEN)


def sized(graph: PretendGraph) -> SizedGraph:
    return SizedGraph(1, graph, None, lambda _: graph)  # type: ignore[return-value]


def batches(compile_graph: Callable[[], SizedGraph]) -> LoneBatches:
    return LoneBatches("trunk", compile_graph)


def find(lone: LoneBatches, usual_seconds: float = SLOW) -> SizedGraph | None:
    return lone.find(BATCH, PretendGraph(usual_seconds))


def send(lone: LoneBatches, times: int, usual_seconds: float = SLOW) -> None:
    for _ in range(times):
        assert find(lone, usual_seconds) is None
    lone.wait()


def test_batches_that_are_often_alone_get_a_graph_that_uses_all_cores() -> None:
    lone = batches(lambda: sized(PretendGraph(SLOW / 4)))
    send(lone, OFTEN - 1)
    assert (lone.is_undecided, lone.copies) == (True, 0)
    send(lone, 1)
    found = find(lone)
    assert found is not None
    assert (lone.is_undecided, lone.copies) == (False, 1)
    np.testing.assert_array_equal(found.run(BATCH)["y"], 2 * BATCH["x"])


@pytest.mark.parametrize(
    ("useless", "usual_seconds"),
    [
        (PretendGraph(1.5 * SLOW), SLOW),
        (PretendGraph(SLOW / 4, factor=3.0), SLOW),
        (PretendGraph(1e-6), 1e-5),
    ],
    ids=["slower", "wrong", "saves too little"],
)
def test_a_graph_that_is_not_worth_its_memory_is_closed(
    useless: PretendGraph, usual_seconds: float
) -> None:
    lone = batches(lambda: sized(useless))
    send(lone, 2 * OFTEN, usual_seconds)
    assert find(lone) is None
    assert useless.is_closed
    assert not lone.is_undecided


def test_a_graph_that_cannot_be_compiled_for_all_cores_is_served_as_before() -> None:
    attempts = []

    def fail() -> SizedGraph:
        attempts.append(1)
        raise ArtifactError("no memory")

    lone = batches(fail)
    send(lone, 3 * OFTEN)
    assert find(lone) is None
    assert attempts == [1]


def test_what_is_compiled_after_the_graph_was_closed_is_closed_too() -> None:
    late = PretendGraph(SLOW / 4)
    lone = batches(lambda: sized(late))
    lone.close()
    lone._compile(BATCH, PretendGraph(SLOW))
    assert late.is_closed
    assert find(lone) is None


def test_a_closed_graph_frees_its_second_form() -> None:
    fast = PretendGraph(SLOW / 4)
    lone = batches(lambda: sized(fast))
    send(lone, OFTEN)
    lone.close()
    assert fast.is_closed
    assert lone.copies == 0


def test_of_batches_at_the_same_time_only_the_first_was_alone() -> None:
    running = RunningBatches()
    with running.add() as first, running.add() as second:
        assert (first, second) == (True, False)
    with running.add() as third:
        assert third


def test_a_failed_batch_is_not_counted_any_more() -> None:
    running = RunningBatches()
    with pytest.raises(ValueError, match="failed"), running.add():
        raise ValueError("failed")
    with running.add() as is_alone:
        assert is_alone


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (64, 8)])
def test_a_lone_batch_uses_all_cores_up_to_eight(cores: int, threads: int) -> None:
    assert threads_of_lone_batches(cores) == threads
