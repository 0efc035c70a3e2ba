"""Explanations of answers: which parts of an input carried them, measured by occlusion.

An input is cut into segments that are natural for its modality. Each segment in turn is replaced
by something that says nothing, and the network answers again: what the answer loses is what the
segment carried. That needs nothing but the exported graph.

::

    Prepared ─ occlude ─► Occlusion ─ masked samples ─► Runtime ─► outputs ─ explain ─► JSON

The registry names modules rather than functions, so that explaining one modality does not import
what the others need.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from omnivec2.explanations.occlusion import Occlusion
from omnivec2.preprocess import Prepared, Preprocessor
from omnivec2.spec import HeadSpec, Modality, TaskFamily

__all__ = ["can_explain", "occlude"]

_FAMILIES = frozenset({TaskFamily.CLASSIFICATION, TaskFamily.REGRESSION})

_MODULES = {
    Modality.IMAGE: "picture_cells",
    Modality.XRAY: "picture_cells",
    Modality.INFRARED: "picture_cells",
    Modality.VIDEO: "frame_cells",
    Modality.DEPTH: "frame_cells",
    Modality.AUDIO: "sound_spans",
    Modality.IMU: "motion_spans",
    Modality.TIMESERIES: "series_spans",
    Modality.TEXT: "words",
    Modality.TABULAR: "table_columns",
    Modality.GRAPH: "atoms",
    Modality.POINTCLOUD: "point_groups",
    Modality.HYPERSPECTRAL: "bands",
}
"""Modality -> the module of this package whose function ``occlude`` cuts its inputs."""


def can_explain(spec: HeadSpec) -> bool:
    """Whether answers of a head can be explained: a class or a value, and not a map of them."""
    is_map = any(len(tensor.shape) > 1 for tensor in spec.outputs)
    return spec.family in _FAMILIES and not is_map and spec.modality in _MODULES


def occlude(preprocessor: Preprocessor[Any, Any], prepared: Prepared, most: int) -> Occlusion:
    """Cut one prepared input into segments.

    Args:
        preprocessor: The pre-processor that prepared it.
        prepared: The input: one sample, or several that are parts of one input.
        most: The most segments; at least 1.
    """
    module = import_module(f"{__name__}.{_MODULES[preprocessor.modality]}")
    occlusion: Occlusion = module.occlude(preprocessor, prepared, most)
    return occlusion
