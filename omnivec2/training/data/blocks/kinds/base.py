"""The interface of a kind of block: fields that a recipe states, and a reader of examples."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, field_validator

from omnivec2.errors import ArtifactError
from omnivec2.spec import DataSource, HeadSpec, Modality
from omnivec2.training.data.base import Augment, DataDirectories, TaskData
from omnivec2.training.data.blocks.examples import Example, Problem
from omnivec2.training.data.blocks.files import BlockFiles
from omnivec2.training.data.blocks.splits import AnySplit
from omnivec2.training.data.blocks.targets import AnyTarget
from omnivec2.training.data.blocks.targets.class_targets import ClassTarget
from omnivec2.training.data.blocks.task_settings import TaskSettings


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str | int | float) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""One name, or a list of names."""


class Block(BaseModel, ABC):
    """One data set of a recipe.

    Subclasses have a field ``kind``, a literal, and are listed in
    :data:`omnivec2.training.data.blocks.kinds.AnyBlock`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    kind: str
    path: Names | dict[str, Names] = Field(
        description="file, folder or pattern below --data, a list of them, or part -> them"
    )
    split: AnySplit | None = Field(
        default=None, description="how parts are made; the parts of the data unless given"
    )
    target: AnyTarget = Field(default=ClassTarget(), description="what is learned")
    name_pattern: str | None = Field(
        default=None,
        description="regular expression whose named groups are columns, searched in file names",
    )
    cached: bool = Field(
        default=True, description="keep prepared arrays on disk; false: prepare on access"
    )

    @field_validator("name_pattern")
    @classmethod
    def _pattern_has_names(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                names = re.compile(pattern).groupindex
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from error
            if not names:
                raise ValueError("expected a named group, such as (?P<fold>[0-9])")
        return pattern

    @abstractmethod
    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield the examples in a fixed order, and what cannot be one.

        Args:
            files: The directory of data and the modality.

        Raises:
            ArtifactError: The files of the block are not there.
        """

    def paths(self, files: BlockFiles) -> Iterator[tuple[str | None, Path]]:
        """Yield (part, file or folder) of everything that ``path`` names.

        Raises:
            ArtifactError: A path is not there.
        """
        named = self.path if isinstance(self.path, dict) else {None: self.path}
        for part, names in named.items():
            for name in names:
                for path in files.find(name):
                    yield part, path

    def columns_of_name(self, name: str) -> Mapping[str, str]:
        """Return the columns that a file's name holds, by ``name_pattern``.

        Raises:
            ArtifactError: The name does not have the pattern.
        """
        if self.name_pattern is None:
            return {}
        match = re.search(self.name_pattern, name)
        if match is None:
            raise ArtifactError(f"{name} does not have the name_pattern {self.name_pattern!r}")
        return {key: value or "" for key, value in match.groupdict().items()}

    def parameters(self, modality: Modality) -> Mapping[str, JsonValue]:
        """Return parameters of the pre-processor that this kind has instead of the defaults."""
        del modality
        return {}

    def load(
        self, route: str, block: TaskOfBlock, at: DataDirectories, head: HeadSpec | None
    ) -> TaskData | None:
        """Return the data of a task whose samples are parts of large inputs, or None.

        A series holds thousands of windows, a scene as many pixels: they are cut when they are
        looked up, and are not kept as the samples of other kinds are.

        Args:
            route: The head's name.
            block: The block with the settings of the task.
            at: The directories of data and of prepared arrays.
            head: The trained head that is measured; None in training.
        """
        del route, block, at, head
        return None

    def unstated_source(self) -> DataSource:
        """Return the source of data that the recipe says nothing of."""
        names = self.path if isinstance(self.path, tuple) else sum(self.path.values(), ())
        return DataSource(name=Path(names[0]).name or "own data", licence="not stated")

    def augmentation(self) -> Augment | None:
        """Return a random variation of training samples that this kind alone knows, or None.

        Classes of pictures, clips and sounds are varied without it.
        """
        return None

    @property
    def split_columns(self) -> tuple[str, ...]:
        """The columns that the split reads."""
        return () if self.split is None else self.split.columns


class TaskOfBlock(TaskSettings):
    """A block of any kind with the settings of its task, as kinds know it."""

    data: Block
