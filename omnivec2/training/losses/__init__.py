"""The losses, one per task family and form of targets; every loss is a mean over samples, float32.

:func:`loss_of` chooses. A form that has a choice of losses lists them in :data:`NAMED_LOSSES`, the
default first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from omnivec2.errors import ArtifactError
from omnivec2.spec import TaskFamily
from omnivec2.training.data.base import TargetForm, TaskData
from omnivec2.training.losses.base import IGNORE, Loss, LossScale, Outputs
from omnivec2.training.losses.box_losses import detection_loss
from omnivec2.training.losses.class_losses import (
    anomaly_loss,
    classification_loss,
    multi_label_loss,
)
from omnivec2.training.losses.mask_losses import one_hot_loss, point_loss, segmentation_loss
from omnivec2.training.losses.value_losses import (
    absolute_loss,
    forecasting_loss,
    map_loss,
    regression_loss,
    scale_invariant_loss,
)
from omnivec2.training.losses.vector_losses import contrastive_loss, triplet_loss
from omnivec2.training.losses.word_losses import summarization_loss

__all__ = ["IGNORE", "NAMED_LOSSES", "Loss", "LossScale", "Outputs", "has_loss", "loss_of"]

_Kind = tuple[TaskFamily, TargetForm]

NAMED_LOSSES: Mapping[_Kind, Mapping[str, Loss]] = {
    (TaskFamily.REGRESSION, TargetForm.PLAIN): {"l2": regression_loss, "l1": absolute_loss},
    (TaskFamily.REGRESSION, TargetForm.MAP): {
        "l1-gradient": map_loss,
        "scale-invariant": scale_invariant_loss,
    },
    (TaskFamily.EMBEDDING, TargetForm.IDENTITY): {
        "contrastive": contrastive_loss,
        "triplet": triplet_loss,
    },
}
"""Family and form -> name -> loss; the first one is the default."""


def _named(task: TaskData) -> Loss:
    choice = NAMED_LOSSES[task.family, task.form]
    name = task.loss or next(iter(choice))
    if name not in choice:
        raise ArtifactError(f"{task.route}: no loss {name!r}; there is {', '.join(choice)}")
    return choice[name]


_LOSSES: Mapping[_Kind, Callable[[TaskData], Loss]] = {
    (TaskFamily.CLASSIFICATION, TargetForm.PLAIN): lambda task: partial(
        classification_loss, weights=task.class_weights
    ),
    (TaskFamily.CLASSIFICATION, TargetForm.MULTI_LABEL): lambda task: partial(
        multi_label_loss, weights=task.class_weights
    ),
    (TaskFamily.CLASSIFICATION, TargetForm.ANOMALY): lambda _: anomaly_loss,
    (TaskFamily.FORECASTING, TargetForm.PLAIN): lambda task: partial(
        forecasting_loss, levels=task.quantiles
    ),
    (TaskFamily.SEGMENTATION, TargetForm.PLAIN): lambda _: segmentation_loss,
    (TaskFamily.SEGMENTATION, TargetForm.POINTS): lambda _: point_loss,
    (TaskFamily.DETECTION, TargetForm.PLAIN): lambda _: detection_loss,
    (TaskFamily.SUMMARIZATION, TargetForm.PLAIN): lambda _: summarization_loss,
    **dict.fromkeys(NAMED_LOSSES, _named),
}


def has_loss(task: TaskData) -> bool:
    """Whether a task can be trained with labels."""
    return (task.family, task.form) in _LOSSES


def loss_of(task: TaskData, *, literal: bool = False) -> Loss:
    """Return the loss of a task.

    Args:
        task: The task, with the constants of its loss.
        literal: Whether masks are learned by the paper's l2 on one-hot masks.

    Raises:
        ArtifactError: The task has no labels, or names a loss that its family has not.
    """
    if not has_loss(task):
        raise ArtifactError(
            f"{task.route}: {task.family.value} with targets of form {task.form.value} has no loss"
        )
    if literal and (task.family, task.form) == (TaskFamily.SEGMENTATION, TargetForm.PLAIN):
        return one_hot_loss
    return _LOSSES[task.family, task.form](task)
