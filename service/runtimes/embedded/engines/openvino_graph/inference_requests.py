"""The inference requests of a compiled graph, one for each batch that is computed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import openvino as ov

from omnivec2.errors import ModelNotReadyError


class InferenceRequests:
    """Hands requests to threads, and releases memory when no thread has one.

    Activations of a batch stay allocated in every stream of every graph otherwise, which adds up
    to several times the weights. To allocate them again for the next batch costs a few percent of
    the smallest graphs.

    Args:
        compiled: The compiled graph.
    """

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._compiled: ov.CompiledModel | None = compiled
        self._lock = threading.Lock()
        self._idle: list[ov.InferRequest] = []
        self._acquired = 0

    @contextmanager
    def acquire(self) -> Iterator[ov.InferRequest]:
        """Yield a request that no other thread has.

        Raises:
            ModelNotReadyError: The graph was closed.
        """
        with self._lock:
            if self._compiled is None:
                raise ModelNotReadyError("the graph is not loaded any more")
            request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
            self._acquired += 1
        try:
            yield request
        finally:
            with self._lock:
                self._acquired -= 1
                if self._compiled is not None:
                    self._idle.append(request)
                    if not self._acquired:
                        self._compiled.release_memory()

    def close(self) -> None:
        """Free the compiled graph once the last request is given back."""
        with self._lock:
            self._compiled = None
            self._idle.clear()
