"""The inputs of a batch, and what names each of them in the table of answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import JsonValue


@dataclass(frozen=True)
class Item:
    """One input of a batch.

    Attributes:
        key: The columns that name it: a path, the number of a row, columns that are kept.
        value: The input, in a form that ``input_values.read_input`` takes.
        stamp: A text that changes when the input does, such as the size and time of its file.
    """

    key: Mapping[str, JsonValue]
    value: Any
    stamp: str = ""


@dataclass(frozen=True)
class BatchRequest:
    """What is asked of every input.

    Attributes:
        parameters: The parameters for all heads, or task -> those for its head.
        strict: Whether notes on an input are errors.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True)
class Skipped:
    """The files of a folder that are no inputs of the modality.

    Attributes:
        count: The number of such files.
        examples: The names of some of them.
    """

    count: int = 0
    examples: tuple[str, ...] = ()


NOTHING_SKIPPED = Skipped()


class Source(Protocol):
    """Where the inputs of a batch come from. Iterating again gives the same items again."""

    @property
    def key_columns(self) -> Mapping[str, str]:
        """The columns that name an item -> their types, as in ``columns``."""

    @property
    def has_parts(self) -> bool:
        """Whether an item may have several rows, which the column ``row`` then counts."""

    @property
    def skipped(self) -> Skipped:
        """The files that are no inputs."""

    def __len__(self) -> int:
        """Return the number of items."""

    def __iter__(self) -> Iterator[Item]:
        """Yield the items, always in the same order."""
