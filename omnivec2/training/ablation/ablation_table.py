"""The table of ablations: its rows, and its cells, stored on disk."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from omnivec2.atomic_files import write_file
from omnivec2.errors import ArtifactError
from omnivec2.training.ablation.network_variants import Heads, Tokenizers
from omnivec2.training.evaluation.evaluation_report import environment
from omnivec2.training.recipe import Recipe


@dataclass(frozen=True)
class Row:
    """A variant.

    Attributes:
        name: The key of its cells.
        modalities: Whether there is one network per task (``single``) or one for all.
        tokenizers: The :data:`omnivec2.training.ablation.network_variants.Tokenizers`.
        heads: The :data:`omnivec2.training.ablation.network_variants.Heads`.
        autoencoder: Whether masked stages, without labels, come before the supervised one.
    """

    name: str
    modalities: str
    tokenizers: Tokenizers
    heads: Heads
    autoencoder: bool = False

    @property
    def description(self) -> str:
        """The modalities of a network, and how it starts, as the paper's table says it."""
        return f"{self.modalities}, autoencoder" if self.autoencoder else self.modalities

    def is_possible(self, recipe: Recipe) -> bool:
        """Whether a recipe has the stages that the row needs."""
        return not self.autoencoder or len(recipe.stage_recipes()) > 1

    def stages(self, recipe: Recipe) -> list[Recipe]:
        """Return a recipe per stage that the row's networks go through."""
        stages = recipe.stage_recipes()
        return stages if self.autoencoder else stages[-1:]

    def groups(self, routes: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the tasks of every network that the row needs."""
        return [(route,) for route in routes] if self.modalities == "single" else [tuple(routes)]


ROWS = (
    Row("single", "single", "own", "own"),
    Row("multiple", "multiple", "own", "own"),
    Row("single autoencoder", "single", "own", "own", autoencoder=True),
    Row("multiple autoencoder", "multiple", "own", "own", autoencoder=True),
    Row("unified head", "multiple", "own", "unified"),
    Row("patches", "multiple", "patches", "own"),
    Row("unified tokenizer", "multiple", "unified", "own"),
)
"""``patches`` is the fair comparison for ``unified tokenizer``: also a linear map of raw numbers,
but one for each modality. The autoencoder rows have masked stages before the supervised one, with
labels for as many steps as the rows without."""


class Cell(BaseModel):
    """One trained network's result on one task's test split."""

    model_config = ConfigDict(extra="forbid")

    row: str
    seed: int
    route: str
    metric: str
    value: float
    steps: int
    parameters: int
    seconds: float


class Cells:
    """All measured cells, in a JSON file that is extended.

    Args:
        path: The path of the file, which is read if it exists.

    Raises:
        ArtifactError: The file holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.measured: list[Cell] = []
        if path.exists():
            try:
                content = json.loads(path.read_text())
                self.measured = [Cell(**cell) for cell in content["cells"]]
            except (ValueError, KeyError, TypeError) as error:
                raise ArtifactError(f"{path} is no table of ablations: {error}") from error

    def has(self, row: str, seed: int, routes: Sequence[str]) -> bool:
        """Whether a network has been measured."""
        known = {(cell.row, cell.seed, cell.route) for cell in self.measured}
        return all((row, seed, route) in known for route in routes)

    def add(self, cells: Sequence[Cell]) -> None:
        """Add cells, and write the file."""
        self.measured += cells
        content = {
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **environment("torch"),
            "rows": [asdict(row) for row in ROWS],
            "cells": [cell.model_dump() for cell in self.measured],
        }
        write_file(self._path, (json.dumps(content, indent=1) + "\n").encode())

    def values(self, row: str, route: str) -> list[float]:
        """Return the values of all seeds."""
        return [cell.value for cell in self.measured if (cell.row, cell.route) == (row, route)]

    def lines(self) -> Iterator[list[str]]:
        """Yield a line per row: mean and deviation over the seeds, a column per task."""
        for row in self.rows:
            cells = [spread(self.values(row.name, route)) for route in self.routes]
            yield [row.description, row.tokenizers, row.heads, *cells]

    @property
    def rows(self) -> list[Row]:
        """The variants that were measured, in the order of the table."""
        known = {cell.row for cell in self.measured}
        return [row for row in ROWS if row.name in known]

    @property
    def routes(self) -> list[str]:
        """The tasks, in the order of their measurement."""
        return list(dict.fromkeys(cell.route for cell in self.measured))


def spread(values: Sequence[float]) -> str:
    """Format values as ``0.712 ± 0.004 (3)``: mean, sample deviation and count."""
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.3f} (1)"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} ({len(values)})"
