"""One class of several, and any number of them (tags)."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, TaskFamily
from omnivec2.training.data.base import TargetForm
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.files import listed
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind
from omnivec2.training.data.table_files import as_name, is_number
from omnivec2.training.yaml_lines import did_you_mean

_YES = frozenset({"1", "true", "yes", "y", "x"})
_SEPARATORS = (";", "|", ",")
"""The marks between tags, in the order in which they are looked for: names hold commas sooner."""

_LARGEST_WEIGHT = 100.0
"""The largest weight of a tag where it applies: a few samples must not outweigh all others."""

_MOST_NUMBERS = 20
"""Different numbers above which labels that hardly repeat are taken for quantities."""

_NO = frozenset({"0", "false", "no", "n", "", "-1"})


@dataclass(frozen=True)
class FittedClasses(FittedTarget):
    """Class names in the order of the head's outputs."""

    @property
    def is_multi_label(self) -> bool:
        """Whether a target is a row of zeros and ones instead of one number."""
        return self.form is TargetForm.MULTI_LABEL

    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Array:
        """Return int64 [n], or uint8 [n, classes] of 0 and 1."""
        del kept
        if not self.is_multi_label:
            return np.array([self.index[name] for name in parsed], dtype=np.int64)
        rows = np.zeros((len(parsed), len(self.labels)), dtype=np.uint8)
        for row, names in zip(rows, parsed, strict=True):
            row[[self.index[name] for name in names]] = 1
        return rows

    def unknown(self, parsed: Any) -> str | None:
        """Return the class that the training part lacks, if there is one."""
        return self.unknown_class(parsed if self.is_multi_label else (parsed,))


class _Names(TargetKind):
    """What both kinds share: the names of classes and their order."""

    form: ClassVar[TargetForm] = TargetForm.PLAIN

    names: dict[str, str] | tuple[str, ...] = Field(
        default=(),
        description="the classes in the order of outputs; a mapping also renames them: "
        "{0: negative, 1: positive}",
    )

    weights: Literal["balanced"] | dict[str, float] | None = Field(
        default=None,
        description="weight of each class in the loss: balanced, so that rare ones count as much "
        "as common ones, or class -> weight, 1 unless given",
    )

    def _named(self, cell: str) -> str:
        if not self.names:
            return cell
        if cell not in self.names:
            known = list(self.names)
            raise InvalidInputError(
                f"label {cell!r} is none of {listed(known)}{did_you_mean(cell, known)}"
            )
        return self.names[cell] if isinstance(self.names, dict) else cell

    def _fitted(self, parsed: Sequence[Sequence[str]], head: HeadSpec | None) -> FittedClasses:
        found = {name for names in parsed for name in names}
        if head is not None and head.labels:
            labels = head.labels
        elif self.names:
            given = self.names.values() if isinstance(self.names, dict) else self.names
            labels = tuple(dict.fromkeys(given))
        else:
            labels = tuple(sorted(found, key=natural_key))
        weights = self._weights(labels, parsed)
        return FittedClasses(labels=labels, form=self.form, further={"class_weights": weights})

    def _weights(self, labels: Sequence[str], parsed: Sequence[Sequence[str]]) -> tuple[float, ...]:
        if self.weights is None:
            return ()
        if isinstance(self.weights, dict):
            for name in self.weights:
                if name not in labels:
                    known = list(labels)
                    raise ArtifactError(
                        f"weights: there is no class {name!r}; there are {listed(known)}"
                        f"{did_you_mean(name, known)}"
                    )
            return tuple(self.weights.get(name, 1.0) for name in labels)
        counts = Counter(name for names in parsed for name in names)
        return tuple(self._balanced(counts[name], len(parsed), len(labels)) for name in labels)

    @abstractmethod
    def _balanced(self, count: int, total: int, classes: int) -> float:
        """Return the weight of a class that ``count`` of ``total`` inputs have."""


class ClassTarget(_Names):
    """One class per input."""

    kind: Literal["class"] = "class"

    family: ClassVar[TaskFamily] = TaskFamily.CLASSIFICATION
    metric: ClassVar[str] = "accuracy"

    def parse(self, example: Example) -> str:
        """Return the name of the class."""
        raw = self.only_cell(example)
        if isinstance(raw, Mapping | list | tuple):
            kind = "an object" if isinstance(raw, Mapping) else "a list"
            raise InvalidInputError(
                f"expected one class, a name or a number, got {kind}: {str(raw)[:60]}; name the "
                "column of the class in `label`; lists of classes are target: tags"
            )
        name = as_name(raw)
        if not name:
            raise InvalidInputError("the label is empty")
        return self._named(name)

    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedClasses:
        """Return the classes of the training part, numbers in their order."""
        del preprocess
        found = set(parsed)
        if len(found) < 2 and head is None:
            hint = ""
            if not found:
                hint = "; the training part is empty"
            raise ArtifactError(
                f"the training part has {listed(sorted(found))} as its only class; "
                f"expected two or more{hint}"
            )
        is_quantity = len(found) > _MOST_NUMBERS and all(map(is_number, found))
        if is_quantity and len(found) > len(parsed) // 2 and head is None:
            raise ArtifactError(
                f"{len(parsed)} labels have {len(found)} different numbers, so they are no "
                "classes; did you mean target: numbers?"
            )
        return self._fitted([(name,) for name in parsed], head)

    def _balanced(self, count: int, total: int, classes: int) -> float:
        return total / (classes * max(count, 1))

    def stratum(self, parsed: Any) -> Hashable:
        """Return the class."""
        return str(parsed)

    def counted(self, parsed: Any) -> tuple[str, ...]:
        """Return the class."""
        return (parsed,)


class TagsTarget(_Names):
    """Any number of classes per input: a list, a text with separators, or columns of 0 and 1."""

    kind: Literal["tags"] = "tags"
    separator: str | None = Field(
        default=None,
        min_length=1,
        description="between the tags of one cell; the first of ; | and , that it holds unless "
        'given. Lists such as ["a", "b"] need none',
    )
    none: tuple[str, ...] = Field(
        default=(), description="tags that say that none applies, such as No Finding"
    )

    family: ClassVar[TaskFamily] = TaskFamily.CLASSIFICATION
    metric: ClassVar[str] = "map"
    form: ClassVar[TargetForm] = TargetForm.MULTI_LABEL

    def parse(self, example: Example) -> tuple[str, ...]:
        """Return the names of the classes that apply; there may be none."""
        raw = example.target
        if isinstance(raw, Mapping) and len(raw) == 1:
            raw = self.only_cell(example)
        if isinstance(raw, Mapping):
            tags = [name for name, cell in raw.items() if _applies(name, cell)]
        elif isinstance(raw, list | tuple | np.ndarray):
            tags = [as_name(cell) for cell in raw]
        else:
            tags = self._split(as_name(raw))
        stated = [tag.strip() for tag in tags]
        applying = [tag for tag in stated if tag and tag not in self.none]
        return tuple(dict.fromkeys(map(self._named, applying)))

    def _split(self, text: str) -> list[str]:
        """Return the tags of a cell: a list as JSON or Python writes it, or texts between marks."""
        if self.separator is not None:
            return text.split(self.separator)
        if text.startswith("[") and text.endswith("]"):
            return _listed_tags(text)
        mark = next((mark for mark in _SEPARATORS if mark in text), None)
        return text.split(mark) if mark else [text]

    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedClasses:
        """Return every class that some input of the training part has."""
        del preprocess
        found = {name for names in parsed for name in names}
        if not found and head is None:
            raise ArtifactError("no input of the training part has a tag")
        return self._fitted(parsed, head)

    def _balanced(self, count: int, total: int, classes: int) -> float:
        return min((total - count) / max(count, 1), _LARGEST_WEIGHT)

    def stratum(self, parsed: Any) -> Hashable:
        """Return the combination of classes."""
        return "|".join(sorted(parsed))

    def counted(self, parsed: Any) -> tuple[str, ...]:
        """Return the classes that apply."""
        return tuple(parsed)


def _listed_tags(text: str) -> list[str]:
    """Return the tags of a list that is written out in a cell.

    Raises:
        InvalidInputError: It is no list of names.
    """
    try:
        # Python's literals include JSON's lists of texts and numbers.
        tags = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        tags = None
    if not isinstance(tags, list) or not all(isinstance(tag, str | int | float) for tag in tags):
        raise InvalidInputError(
            f'expected a list of tags such as ["a", "b"], got {text[:60]!r}; if the brackets '
            "belong to the tags, state `separator`"
        )
    return [as_name(tag) for tag in tags]


def _applies(name: str, cell: Any) -> bool:
    """Whether a column of 0 and 1 says that its class applies; an empty cell says no."""
    text = as_name(cell).lower()
    if text in _YES or text in _NO:
        return text in _YES
    raise InvalidInputError(f"column {name!r}: expected 0 or 1, got {cell!r}")


def natural_key(name: str) -> tuple[bool, str, str]:
    """Return a key that sorts numbers by their value, before all other names."""
    return not name.isdigit(), name.zfill(12), name
