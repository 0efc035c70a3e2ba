"""What post-processing must know of one sample of an input, to answer for it alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PER_SAMPLE = frozenset({"names", "location", "scale"})
"""The facts in a ``Prepared.context`` that are lists with a value per sample."""

_OF_THE_WHOLE = frozenset({"grid", "form"})
"""The facts of inputs whose samples have no answers of their own: pixels, and rows of a table."""


def context_of_sample(context: Mapping[str, Any], index: int) -> dict[str, Any] | None:
    """Return the context of one sample: a window of a recording, or one of several series.

    Args:
        context: The ``Prepared.context`` of the whole input.
        index: The place of the sample.

    Returns:
        The context; None if the samples of this input are answered only together.
    """
    if not _OF_THE_WHOLE.isdisjoint(context):
        return None
    return {
        name: [value[index]] if name in _PER_SAMPLE else value for name, value in context.items()
    }
