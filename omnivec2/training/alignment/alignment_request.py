"""The request and the result of an alignment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omnivec2.training.alignment.paired_recordings import AlignedData
from omnivec2.training.alignment.retrieval_metrics import RecallResult, ZeroShotResult


@dataclass(frozen=True)
class AlignRequest:
    """The data, paths and settings of an alignment.

    Attributes:
        data: The recordings and names.
        base: The checkpoint whose network is frozen.
        run: The directory of cached features.
        out: The checkpoint to write.
        task: The name of the new heads.
        dimensions: The number of dimensions of the space.
        steps: The number of steps of the fit.
        tokenizer_steps: The number of steps of a new tokenizer, where one is needed.
        seed: The seed of everything random.
    """

    data: AlignedData
    base: Path
    run: Path
    out: Path
    task: str = "retrieval"
    dimensions: int = 128
    steps: int = 800
    tokenizer_steps: int = 600
    seed: int = 0


@dataclass(frozen=True)
class AlignmentResult:
    """The measurements of an alignment.

    Attributes:
        recalls: The recall of every direction, on the test split.
        zero_shot: The accuracy on classes that heads were not fitted to.
    """

    recalls: list[RecallResult]
    zero_shot: list[ZeroShotResult]
