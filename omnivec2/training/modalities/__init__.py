"""One object per modality, with everything that training knows about it.

mypy checks that the registry is complete: a member of ``Modality`` without a case below is an
error, and so is an object without one of the parts of ``ModalityTraining``.
docs/adding-a-modality.md is the check-list.
"""

from __future__ import annotations

from functools import cache
from typing import assert_never

from omnivec2.spec import Modality
from omnivec2.training.modalities.base import ModalityTraining

__all__ = ["ModalityTraining", "modality_training"]


@cache
def modality_training(modality: Modality) -> ModalityTraining:
    """Return the training object of a modality; its libraries are imported only now."""
    match modality:
        case Modality.IMAGE:
            from omnivec2.training.modalities import image

            return image.TRAINING
        case Modality.VIDEO:
            from omnivec2.training.modalities import video

            return video.TRAINING
        case Modality.AUDIO:
            from omnivec2.training.modalities import audio

            return audio.TRAINING
        case Modality.TEXT:
            from omnivec2.training.modalities import text

            return text.TRAINING
        case Modality.DEPTH:
            from omnivec2.training.modalities import depth

            return depth.TRAINING
        case Modality.POINTCLOUD:
            from omnivec2.training.modalities import pointcloud

            return pointcloud.TRAINING
        case Modality.TIMESERIES:
            from omnivec2.training.modalities import timeseries

            return timeseries.TRAINING
        case Modality.TABULAR:
            from omnivec2.training.modalities import tabular

            return tabular.TRAINING
        case Modality.GRAPH:
            from omnivec2.training.modalities import graph

            return graph.TRAINING
        case Modality.XRAY:
            from omnivec2.training.modalities import xray

            return xray.TRAINING
        case Modality.INFRARED:
            from omnivec2.training.modalities import infrared

            return infrared.TRAINING
        case Modality.IMU:
            from omnivec2.training.modalities import imu

            return imu.TRAINING
        case Modality.HYPERSPECTRAL:
            from omnivec2.training.modalities import hyperspectral

            return hyperspectral.TRAINING
        case _:
            assert_never(modality)
