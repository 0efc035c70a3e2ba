"""Requests are handed out one per batch, and only the graphs that ran last keep memory."""

from __future__ import annotations

import pytest

from omnivec2.errors import ModelNotReadyError
from service.runtimes.embedded.engines.openvino_graph.inference_requests import (
    InferenceRequests,
    RecentGraphs,
)


class FakeGraph:
    """A compiled graph that counts its requests, and remembers when its memory was released."""

    def __init__(self) -> None:
        self.made = 0
        self.released = 0

    def create_infer_request(self) -> int:
        self.made += 1
        return self.made

    def release_memory(self) -> None:
        self.released += 1


def test_a_request_is_used_again_and_batches_at_the_same_time_have_their_own() -> None:
    graph = FakeGraph()
    requests = InferenceRequests(graph, RecentGraphs())
    with requests.acquire() as first, requests.acquire() as second:
        assert first != second
    with requests.acquire() as third:
        assert third in (first, second)
    assert (graph.made, graph.released) == (2, 0)


def test_the_graph_that_has_not_run_for_longest_releases_its_memory() -> None:
    graphs = [FakeGraph() for _ in range(3)]
    recent = RecentGraphs(kept=2)
    requests = [InferenceRequests(graph, recent) for graph in graphs]
    for number in (0, 1, 0, 2):
        with requests[number].acquire():
            pass
    assert [graph.released for graph in graphs] == [0, 1, 0]


def test_memory_is_not_released_while_a_batch_is_computed() -> None:
    graphs = [FakeGraph() for _ in range(2)]
    recent = RecentGraphs(kept=1)
    first, second = (InferenceRequests(graph, recent) for graph in graphs)
    with first.acquire(), second.acquire():
        assert graphs[0].released == 0
    assert graphs[0].released == 1


def test_a_failed_batch_gives_its_request_back_and_a_closed_graph_has_none() -> None:
    graph = FakeGraph()
    requests = InferenceRequests(graph, RecentGraphs(kept=1))
    with pytest.raises(ValueError, match="broken"), requests.acquire():
        raise ValueError("broken")
    with requests.acquire():
        requests.close()
    requests.release_memory()
    assert (graph.made, graph.released) == (1, 0)
    with pytest.raises(ModelNotReadyError, match="not loaded any more"), requests.acquire():
        pass
