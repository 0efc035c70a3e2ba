"""The interface of a target kind: from what the data states to what a loss is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Array, Prepared, Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, Target, TaskFamily
from omnivec2.training.data.base import TargetForm
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.files import listed
from omnivec2.training.yaml_lines import did_you_mean


@dataclass(frozen=True)
class FittedTarget(ABC):
    """A target kind with everything that its training part decides.

    Attributes:
        labels: The class names by index.
        targets: The quantities.
        horizon: The number of forecast steps.
        form: The form of the targets.
        further: The further fields of :class:`~omnivec2.training.data.TaskData`, by name.
    """

    labels: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    horizon: int | None = None
    form: TargetForm = TargetForm.PLAIN
    further: Mapping[str, Any] = field(default_factory=dict)

    @abstractmethod
    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Sequence[Any] | Array:
        """Return the targets of a split in the form of :class:`~omnivec2.training.data.Split`.

        Args:
            parsed: The results of :meth:`TargetKind.parse`, for every sample in order.
            kept: The results of :meth:`target_arrays` for each, read when they are looked up.

        Returns:
            One target per sample; it may make them when they are looked up.
        """

    def unknown(self, parsed: Any) -> str | None:
        """Return why the training part does not cover a target, or None if it does."""
        del parsed
        return None

    @cached_property
    def index(self) -> Mapping[str, int]:
        """The number of each class."""
        return {name: number for number, name in enumerate(self.labels)}

    def unknown_class(self, names: Iterable[str]) -> str | None:
        """Say which of the classes of a target is the first that the training part lacks, if any.

        Args:
            names: The classes.
        """
        name = next((name for name in names if name not in self.index), None)
        if name is None:
            return None
        known = list(self.labels)
        return (
            f"class {name!r} is not in the training part, which has {listed(known)}"
            f"{did_you_mean(name, known)}"
        )

    def sample_arrays(self, parsed: Any) -> Sample:
        """Return arrays that the network is given beside the input, such as a summary's ids."""
        del parsed
        return {}

    def target_arrays(self, parsed: Any, prepared: Prepared, index: int) -> Sample:
        """Return arrays that are kept for :meth:`encode`, made where the input was decoded.

        Args:
            parsed: The target.
            prepared: The prepared input, with its context: sizes, groups of points.
            index: The number of the sample among those of the input.
        """
        del parsed, prepared, index
        return {}

    def classes_of(self, kept: Sample) -> tuple[str, ...]:
        """Return the classes that occur in :meth:`target_arrays`, of targets that are maps."""
        del kept
        return ()

    def references(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Sequence[Array] | None:
        """Return the masks at the size of metrics, where targets have another size."""
        del parsed, kept
        return None

    def scales(self, parsed: Sequence[Any]) -> Array | None:
        """Return the divisors of errors before a metric, float32 [n], in forecasting only."""
        del parsed
        return None


class TargetKind(BaseModel, ABC):
    """A kind of targets, as a recipe states it.

    Subclasses have a field ``kind``, a literal, and are listed in
    :data:`omnivec2.training.data.blocks.targets.AnyTarget`.

    Class attributes:
        family: The family of the head.
        metric: The metric that is reported unless the recipe names another.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    family: ClassVar[TaskFamily]
    metric: ClassVar[str]

    @abstractmethod
    def parse(self, example: Example) -> Any:
        """Return one target as Python values, checked by itself.

        Args:
            example: The example of a reader; its ``target`` is a mapping of columns to cells where
                it comes from a table, else what the kind of block states.

        Raises:
            InvalidInputError: It is not one of this kind.
        """

    @abstractmethod
    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedTarget:
        """Return the kind with the vocabulary and statistics of the training part.

        Args:
            parsed: The targets of the training part.
            preprocess: The pre-processing of the inputs, for targets that follow their size.
            head: The trained head that is measured, whose classes are taken; None in training.

        Raises:
            ArtifactError: Nothing can be learned from the training part.
        """

    def stratum(self, parsed: Any) -> Hashable:
        """Return what every part should have its share of; one value for all if there is none."""
        del parsed
        return ""

    def only_cell(self, example: Example) -> Any:
        """Return the target where one column, or no table, states it.

        Raises:
            InvalidInputError: Several columns state it.
        """
        raw = example.target
        if not isinstance(raw, Mapping):
            return raw
        if len(raw) != 1:
            raise InvalidInputError(
                f"expected one column of labels, got {', '.join(map(repr, raw))}; several are "
                "target: tags or target: numbers"
            )
        return next(iter(raw.values()))

    def counted(self, parsed: Any) -> tuple[str, ...]:
        """Return the classes of a target, for the counts of `omnivec2 data check`."""
        del parsed
        return ()

    def quantities(self, parsed: Sequence[Any]) -> tuple[str, ...]:
        """Return the names of the quantities of targets that are mappings of them."""
        del parsed
        return ()
