"""Softer scores for inputs that a head cannot know: less sure, in the same order.

Logits are divided by a temperature, the smallest at which no score is above a ceiling. Only the
families that answer with probabilities of classes are softened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnivec2.postprocess.base import Array
from omnivec2.postprocess.numeric import Floats
from omnivec2.spec import HeadSpec, TaskFamily

_SOFTENED = frozenset({TaskFamily.CLASSIFICATION, TaskFamily.SEGMENTATION})
_LOGITS = "logits"
_STEPS = 40
"""Halvings of the interval of inverse temperatures: exact to about 1e-12."""


def soften(
    outputs: Mapping[str, Array], ceilings_R: Floats, spec: HeadSpec, parameters: Any
) -> Mapping[str, Array]:
    """Return a head's outputs with logits that give no row a score above its ceiling.

    Args:
        outputs: The outputs of the head: name -> array (rows, ...).
        ceilings_R: The highest score of each row, above one half; 1 leaves a row as it is.
        spec: The head's spec.
        parameters: The request's parameters, which may ask for another function than the head's.

    Returns:
        The same outputs if the head gives no probabilities.
    """
    if spec.family not in _SOFTENED or _LOGITS not in outputs:
        return outputs
    requested = getattr(parameters, "function_to_apply", None)
    # Post-processing divides by the head's own temperature, wherever it makes probabilities.
    temperature = 1.0 if requested == "none" else spec.temperature
    logits = np.array(outputs[_LOGITS], np.float64) / temperature
    rows = np.flatnonzero(ceilings_R < 1)
    if requested == "sigmoid" or (requested is None and spec.is_multi_label):
        logits[rows] = _below_each(logits[rows], ceilings_R[rows])
    else:
        axis = _axis_of_classes(logits, len(spec.labels))
        moved = np.moveaxis(logits, axis, -1)
        moved[rows] = _below_best(moved[rows], ceilings_R[rows])
    return {**outputs, _LOGITS: logits * temperature}


def _axis_of_classes(logits: Floats, classes: int) -> int:
    """Return the axis of the classes: the second of maps (rows, classes, h, w), else the last."""
    return 1 if logits.ndim == 4 and logits.shape[1] == classes else -1


def _below_each(logits_RK: Floats, ceilings_R: Floats) -> Floats:
    """Divide the positive logits of each row, so that none has a sigmoid above the ceiling.

    Negative ones stay: at a temperature, labels that do not apply would come closer to one half.
    """
    highest_R = np.log(ceilings_R / (1 - ceilings_R))
    best_R = logits_RK.max(axis=-1)
    shrink_R = np.where(best_R > highest_R, highest_R / np.maximum(best_R, highest_R), 1.0)
    return np.where(logits_RK > 0, logits_RK * shrink_R[:, None], logits_RK)


def _below_best(logits: Floats, ceilings_R: Floats) -> Floats:
    """Divide the logits (rows, ..., classes) by the temperature at which the best score is low."""
    ceilings = ceilings_R.reshape(-1, *(1 for _ in logits.shape[1:-1]))
    lead = logits - logits.max(axis=-1, keepdims=True)

    def best_score(inverse: Floats) -> Floats:
        return np.asarray(1 / np.exp(lead * inverse[..., None]).sum(axis=-1))

    high = np.ones(lead.shape[:-1])
    low = np.zeros_like(high)
    fits = best_score(high) <= ceilings
    for _ in range(_STEPS):
        middle = (low + high) / 2
        too_sure = best_score(middle) > ceilings
        low, high = np.where(too_sure, low, middle), np.where(too_sure, middle, high)
    inverse = np.where(fits, 1.0, low)
    return logits * inverse[..., None]
