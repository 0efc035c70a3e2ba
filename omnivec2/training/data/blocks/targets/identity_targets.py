"""What an input shows, as vectors find it again: people, products, pairs of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, TaskFamily
from omnivec2.training.data.base import TargetForm
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind
from omnivec2.training.data.table_files import as_name


@dataclass(frozen=True)
class FittedIdentities(FittedTarget):
    """Identities, which need not be those of the training part."""

    numbers: dict[str, int] = field(default_factory=dict)

    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Array:
        """Return the number of each identity, int64 [n]."""
        del kept
        numbers = [self.numbers.setdefault(name, len(self.numbers)) for name in parsed]
        return np.array(numbers, dtype=np.int64)


class IdentityTarget(TargetKind):
    """What an input shows: inputs of one identity get vectors that lie close to each other.

    The test part may have other identities than the training part. A table of pairs has the number
    of its pair for both members; of triplets, the negative has a number of its own.
    """

    kind: Literal["identity"] = "identity"
    dimensions: int = Field(default=64, ge=2, le=4096, description="length of the vectors")
    loss: Literal["contrastive", "triplet"] = Field(
        default="contrastive", description="supervised contrastive, or hardest triplets of a batch"
    )

    family: ClassVar[TaskFamily] = TaskFamily.EMBEDDING
    metric: ClassVar[str] = "recall@1"

    def parse(self, example: Example) -> str:
        """Return the name of the identity."""
        name = as_name(self.only_cell(example))
        if not name:
            raise InvalidInputError("the identity is empty")
        return name

    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedIdentities:
        """Return the kind; at least two identities must have two inputs."""
        del preprocess
        repeated = [name for name, count in Counter(parsed).items() if count > 1]
        if head is None and len(repeated) < 2:
            raise ArtifactError(
                f"{len(repeated)} identities of the training part have several inputs; expected "
                "two or more such identities, as vectors are learned from pairs"
            )
        dimensions = head.outputs[0].shape[0] if head is not None else self.dimensions
        return FittedIdentities(
            form=TargetForm.IDENTITY,
            further={
                "dimensions": dimensions,
                "loss": self.loss,
                "further_metrics": ("recall@5", "recall@10", "search_map"),
            },
        )

    def counted(self, parsed: Any) -> tuple[str, ...]:
        """Return the identity."""
        return (parsed,)
