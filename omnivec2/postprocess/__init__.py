"""Postprocessing: arrays -> the answer's JSON value, one module per task family (no torch)."""

from __future__ import annotations

from omnivec2.postprocess.base import Parameters, Postprocessor
from omnivec2.postprocess.classification import ClassificationPostprocessor
from omnivec2.postprocess.detection import DetectionPostprocessor
from omnivec2.postprocess.embedding import EmbeddingPostprocessor
from omnivec2.postprocess.forecasting import ForecastingPostprocessor
from omnivec2.postprocess.regression import RegressionPostprocessor
from omnivec2.postprocess.segmentation import SegmentationPostprocessor
from omnivec2.postprocess.summarization import SummarizationPostprocessor
from omnivec2.spec import TaskFamily

__all__ = ["Parameters", "Postprocessor", "postprocessor_for"]

_POSTPROCESSORS: dict[TaskFamily, type[Postprocessor]] = {
    kind.family: kind
    for kind in (
        ClassificationPostprocessor,
        DetectionPostprocessor,
        SegmentationPostprocessor,
        RegressionPostprocessor,
        ForecastingPostprocessor,
        EmbeddingPostprocessor,
        SummarizationPostprocessor,
    )
}


def postprocessor_for(family: TaskFamily) -> Postprocessor:
    """Build the postprocessor of a task family; it has no state."""
    return _POSTPROCESSORS[family]()
