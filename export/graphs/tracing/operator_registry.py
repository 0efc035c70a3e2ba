"""The exporter's registry of ONNX operators, built once instead of for every graph."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.onnx  # noqa: F401 -- the class below is a part of it

_BUILD = "from_torchlib"


@contextmanager
def one_operator_registry() -> Iterator[None]:
    """Let exports in this context share one registry, which they only read.

    Torch builds it anew for every graph, a fifth of the time of a small one. It has no public name:
    where a later release of torch has no such class any more, nothing is changed.
    """
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry
    except ImportError:
        yield
        return
    own = vars(ONNXRegistry).get(_BUILD)
    if own is None:
        yield
        return
    setattr(ONNXRegistry, _BUILD, staticmethod(_once(getattr(ONNXRegistry, _BUILD))))
    try:
        yield
    finally:
        setattr(ONNXRegistry, _BUILD, own)


@functools.cache
def _once(build: Any) -> Any:
    """Return a function that builds at its first call; the same one for the whole process."""
    return functools.cache(build)
