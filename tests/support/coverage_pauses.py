"""Pauses of the coverage tracer during calls into libraries.

Python 3.11 runs every instruction of a traced thread without its specialised bytecode, those of
libraries too, of which nothing is counted.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import matplotlib.figure
import onnxscript.optimizer
import pytest
import scipy.optimize
import torch

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

SLOW_CALLS: tuple[tuple[object, str], ...] = (
    (torch.onnx, "export"),
    (torch.export, "export"),
    (onnxscript.optimizer, "optimize_ir"),
    (onnxscript.optimizer, "fold_constants"),
    (matplotlib.figure.Figure, "savefig"),
    (scipy.optimize, "minimize"),  # scikit-learn's logistic regressions
)
"""Calls that run seconds of a library's Python; modules of ours that they run are counted by tests
that run them without an export."""


def uncounted(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return a function that does the same while no coverage is measured in its thread."""

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        # No context manager does this: the tracer has to see its frames both begin and end.
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*args, **kwargs)
        finally:
            sys.settrace(tracer)

    return call


def pause_in_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the slow calls of libraries uncounted."""
    for owner, name in SLOW_CALLS:
        monkeypatch.setattr(owner, name, uncounted(getattr(owner, name)))
