"""What a network costs: weights by part, and floating-point operations by head.

Needs neither torch nor onnx.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from export.parity.random_samples import length_axes
from omnivec2.checkpoint import SCALE_SUFFIX
from omnivec2.errors import ArtifactError
from omnivec2.spec import HeadSpec

_PARTS = (
    r"tokenizers\.[^.]+",
    r"trunk\.f\.transformer",
    r"trunk\.f(?=\.(fc|norm)\.)",
    r"trunk\.g",
    r"heads\.[^.]+",
)
_PART = re.compile("|".join(f"(?:{part})" for part in _PARTS))
_SHOWN = {"trunk.f.transformer": "f: transformer", "trunk.f": "f: fully connected", "trunk.g": "g"}


@dataclass(frozen=True)
class HeadCost:
    """The floating-point operations of one sample; a multiplication with addition counts as two.

    Attributes:
        route: The ``<modality>/<task>`` of the head.
        tokens: The number of tokens that the trunk gets.
        tokenizer: The operations of the tokenizer; None where the head is in one piece.
        trunk: The operations of the trunk; None where the head is in one piece.
        total: The operations of everything, the head's own layers included.
    """

    route: str
    tokens: int | None
    tokenizer: int | None
    trunk: int | None
    total: int


def usual_lengths(head: HeadSpec) -> dict[str, int]:
    """Return the sizes of the dynamic axes of a usual sample, e.g. a text of 19 tokens."""
    axes = length_axes(head)
    return {name: axis.examples[len(axis.examples) // 2] for name, axis in axes.items()}


def weights_by_part(weights: Path) -> dict[str, int]:
    """Count the weights of every part of a network, constants included.

    Args:
        weights: The ``weights.safetensors`` of a checkpoint or a model repository.

    Raises:
        ArtifactError: The file is missing or damaged.
    """
    counts: Counter[str] = Counter()
    try:
        with safe_open(weights, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118
                part = _PART.match(name)
                if part is not None and not name.endswith(SCALE_SUFFIX):
                    counts[_SHOWN.get(part[0], part[0])] += math.prod(
                        file.get_slice(name).get_shape()
                    )
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{weights}: cannot be read: {error}") from error
    return dict(sorted(counts.items()))
