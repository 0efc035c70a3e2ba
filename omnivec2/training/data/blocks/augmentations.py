"""Random variations of training samples, by modality and family of the task."""

from __future__ import annotations

from omnivec2.spec import Modality, TaskFamily
from omnivec2.training.data import augmentation
from omnivec2.training.data.base import Augment
from omnivec2.training.data.blocks.task_block import TaskBlock

_CLASS = TaskFamily.CLASSIFICATION

_AUGMENTATIONS: dict[tuple[Modality, TaskFamily], Augment] = {
    (Modality.IMAGE, _CLASS): augmentation.picture,
    (Modality.IMAGE, TaskFamily.DETECTION): augmentation.boxed_picture,
    (Modality.IMAGE, TaskFamily.SEGMENTATION): augmentation.masked_picture,
    (Modality.VIDEO, _CLASS): augmentation.video,
    (Modality.AUDIO, _CLASS): augmentation.audio,
    (Modality.DEPTH, _CLASS): augmentation.depth,
    (Modality.POINTCLOUD, _CLASS): augmentation.pointcloud,
    (Modality.XRAY, _CLASS): augmentation.xray,
    (Modality.INFRARED, _CLASS): augmentation.infrared,
}


def augmentation_of(route: str, block: TaskBlock) -> Augment | None:
    """Return the variation that keeps the targets of a task true, or None.

    Args:
        route: The head's name.
        block: The data of the task.
    """
    modality = Modality(route.partition("/")[0])
    return block.data.augmentation() or _AUGMENTATIONS.get((modality, block.data.target.family))
