"""The inference requests of compiled graphs, and the memory that they keep between batches.

Every stream of a graph keeps the activations of its last batch. Over forty graphs that adds up to
several times the weights; but to allocate them for each batch costs up to a third of the
throughput of large ones, whose pages must be zeroed. So the graphs that ran last keep theirs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import openvino as ov

from omnivec2.errors import ModelNotReadyError
from service.runtimes.embedded.heap import release_when_trimmed

_KEPT = 6
"""Graphs that keep their activations: the trunk in a few shapes, a tokenizer, a head or two."""


class RecentGraphs:
    """The graphs that ran last, which keep their activations.

    Args:
        kept: The number of graphs.
    """

    def __init__(self, kept: int = _KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._order: dict[InferenceRequests, None] = {}
        release_when_trimmed(self)

    def touch(self, requests: InferenceRequests) -> None:
        """Record that a graph runs; the one that has not run for longest releases its memory."""
        with self._lock:
            self._order.pop(requests, None)
            self._order[requests] = None
            oldest = next(iter(self._order))
            if len(self._order) <= self._kept:
                return
            del self._order[oldest]
        oldest.release_memory()

    def release_memory(self) -> None:
        """Let all graphs release their activations; their next batches allocate them anew."""
        with self._lock:
            kept = list(self._order)
        for requests in kept:
            requests.release_memory()

    def remove(self, requests: InferenceRequests) -> None:
        """Forget a graph that was closed."""
        with self._lock:
            self._order.pop(requests, None)


class InferenceRequests:
    """Hands the requests of a compiled graph to threads, one for each batch.

    Args:
        compiled: The compiled graph.
        recent: The graphs that keep their activations.
    """

    def __init__(self, compiled: ov.CompiledModel, recent: RecentGraphs) -> None:
        self._compiled: ov.CompiledModel | None = compiled
        self._recent = recent
        self._lock = threading.Lock()
        self._idle: list[ov.InferRequest] = []
        self._acquired = 0
        self._must_release = False

    @contextmanager
    def acquire(self) -> Iterator[ov.InferRequest]:
        """Yield a request that no other thread has.

        Raises:
            ModelNotReadyError: The graph was closed.
        """
        self._recent.touch(self)
        with self._lock:
            if self._compiled is None:
                raise ModelNotReadyError("the graph is not loaded any more")
            request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
            self._acquired += 1
            self._must_release = False
        try:
            yield request
        finally:
            with self._lock:
                self._acquired -= 1
                if self._compiled is not None:
                    self._idle.append(request)
                if self._must_release:
                    self._release_if_idle()

    def release_memory(self) -> None:
        """Free the activations, now or once the last request is given back."""
        with self._lock:
            self._must_release = True
            self._release_if_idle()

    def close(self) -> None:
        """Free the compiled graph once the last request is given back."""
        self._recent.remove(self)
        with self._lock:
            self._compiled = None
            self._idle.clear()

    def _release_if_idle(self) -> None:
        if self._compiled is not None and not self._acquired:
            # A request keeps its outputs, so it goes as well.
            self._idle.clear()
            self._compiled.release_memory()
            self._must_release = False
