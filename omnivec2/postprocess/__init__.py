"""Postprocessing: arrays -> the answer's JSON value, one module per task family (no torch).

As with preprocessors, the registry names modules rather than classes, so that one family does
not import the libraries of the others.
"""

from __future__ import annotations

from importlib import import_module

from omnivec2.postprocess.base import Parameters, Postprocessor
from omnivec2.spec import TaskFamily

__all__ = ["Parameters", "Postprocessor", "postprocessor_for"]


def postprocessor_for(family: TaskFamily) -> Postprocessor:
    """Build the postprocessor of a task family, ``POSTPROCESSOR`` of its module; stateless."""
    kind: type[Postprocessor] = import_module(f"{__name__}.{family.value}").POSTPROCESSOR
    return kind()
