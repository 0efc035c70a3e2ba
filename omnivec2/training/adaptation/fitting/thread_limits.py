"""One thread for small matrices, which several threads only make wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread_per_fit() -> Iterator[None]:
    """Compute with one thread per caller, in PyTorch and in the libraries of linear algebra."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
