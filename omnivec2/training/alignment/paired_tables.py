"""Pairs that a table lists: a text and a clip, a sound and a picture, of any two modalities.

::

    caption,clip,split
    a dog barks at a car,clips/0001.mp4,train
    a man plays the piano,clips/0002.mp4,test

Cells hold inputs themselves (texts, SMILES) or paths. An input that occurs in several rows, such as
a clip with many captions, is one thing, and all its partners are right answers to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import ArtifactError, InputError, InvalidInputError
from omnivec2.preprocess import Array, Preprocessor, Sample, preprocessor_for
from omnivec2.spec import DataSource, Modality
from omnivec2.training.adaptation.frozen_network import load_base
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.alignment.paired_recordings import AlignedData, Stream
from omnivec2.training.data.blocks.examples import (
    MOST_NAMED,
    Origin,
    Problem,
    ProblemKind,
    Value,
)
from omnivec2.training.data.blocks.files import listed
from omnivec2.training.data.blocks.inputs import prepare_value
from omnivec2.training.data.blocks.part_names import part_of_name
from omnivec2.training.data.table_files import as_name, read_table
from omnivec2.training.yaml_lines import did_you_mean

_IN_CELLS = frozenset({Modality.TEXT, Modality.GRAPH})
"""The modalities whose inputs stand in the cells; cells of the others name files."""

_TEST_SHARE = 0.2


@dataclass(frozen=True)
class PairedTable:
    """A table of pairs, and how it is read.

    Attributes:
        path: The table: CSV, TSV or Parquet.
        columns: The column of each of two modalities.
        folder: The folder of the files that cells name.
        split: The column that says train or test; without it a fifth of the things is the test.
        seed: The seed of what is drawn.
    """

    path: Path
    columns: Mapping[Modality, str]
    folder: Path
    split: str | None = None
    seed: int = 0


def load_pairs(table: PairedTable, base: Path) -> AlignedData:
    """Read and prepare the inputs of a table of pairs, as the heads of a checkpoint take them.

    Args:
        table: The table.
        base: The checkpoint whose network is aligned.

    Raises:
        ArtifactError: The table or a file of it cannot be used; the message names file and row.
        UnknownModelError: The checkpoint has no head of a modality.
    """
    if len(table.columns) != 2:
        raise ArtifactError(
            "give the columns of two modalities, such as --column text=caption --column "
            "audio=path; inputs of one modality are paired by target: identity of a recipe"
        )
    cells, parts, rows = _read(table)
    things = _things(list(cells.values()))
    is_test = _is_test(table, parts, things)
    streams = {}
    for modality, column in cells.items():
        spec = load_base(base, modality).head.preprocess
        preparation = _Preparation(table, modality, preprocessor_for(spec), rows)
        train, test = (
            preparation.prepare(column, things, np.flatnonzero(is_test == value))
            for value in (False, True)
        )
        if problems := preparation.problems:
            named = "; ".join(map(str, problems[:MOST_NAMED]))
            raise ArtifactError(f"{len(problems)} rows cannot be used: {named}")
        streams[modality] = Stream(spec, train, test)
    name = table.path.name
    return AlignedData(
        name=name,
        test_name=f"{name}, test",
        names=(),
        streams=streams,
        sources=(DataSource(name=name, licence="not stated"),),
    )


def _read(table: PairedTable) -> tuple[dict[Modality, list[str]], list[str], list[int]]:
    """Return the cells of both columns, the parts, and the number of each row in the file."""
    try:
        frame = read_table(table.path)
    except InputError as error:
        raise ArtifactError(str(error)) from error
    known = list(frame.columns)
    wanted = [*table.columns.values(), *([table.split] if table.split else [])]
    for name in wanted:
        if name not in known:
            raise ArtifactError(
                f"{table.path}: there is no column {name!r}; there are {listed(known)}"
                f"{did_you_mean(name, known)}"
            )
    numbers = [frame.row_number(row) for row in range(frame.rows)]
    cells = {
        modality: [as_name(cell).strip() for cell in frame.columns[name]]
        for modality, name in table.columns.items()
    }
    for modality, column in cells.items():
        if "" in column:
            row = numbers[column.index("")]
            raise ArtifactError(
                f"{table.path}, row {row}: column {table.columns[modality]!r} is empty"
            )
    parts = [as_name(cell) for cell in frame.columns[table.split]] if table.split else []
    return cells, parts, numbers


def _things(columns: Sequence[Sequence[str]]) -> Array:
    """Return the number of the thing that each row shows: rows that share a cell show one."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    codes = [np.unique(column, return_inverse=True)[1] for column in columns]
    first, second = codes[0], codes[1] + codes[0].max() + 1
    count = int(second.max()) + 1
    edges = coo_matrix((np.ones(len(first)), (first, second)), shape=(count, count))
    _, labels = connected_components(edges, directed=False)
    return np.unique(labels[first], return_inverse=True)[1]


def _is_test(table: PairedTable, parts: Sequence[str], things: Array) -> Array:
    """Return which rows are of the test part, bool [rows]."""
    if parts:
        found = [part_of_name(part) for part in parts]
        if None in found:
            row = found.index(None)
            raise ArtifactError(
                f"{table.path}: the part is {parts[row]!r}; expected train, val or test"
            )
        test = np.array([part == "test" for part in found])
    else:
        order = np.random.default_rng(table.seed).permutation(int(things.max()) + 1)
        test = np.isin(things, order[: max(1, round(_TEST_SHARE * len(order)))])
    for name, rows in (("train", ~test), ("test", test)):
        if len(np.unique(things[rows])) < 2:
            raise ArtifactError(f"{table.path}: the part {name} has fewer than two pairs")
    if both := set(things[test].tolist()) & set(things[~test].tolist()):
        row = int(np.flatnonzero(np.isin(things, list(both)))[0])
        raise ArtifactError(
            f"{table.path}: an input of row {row + 1} of the data is both in train and test"
        )
    return test


class _Preparation:
    """Prepares the different inputs of a column.

    Attributes:
        problems: What cannot be used.
    """

    def __init__(
        self,
        table: PairedTable,
        modality: Modality,
        preprocessor: Preprocessor[Any, Any],
        rows: Sequence[int],
    ) -> None:
        self.table, self.modality, self.preprocessor = table, modality, preprocessor
        self.rows = rows
        self.problems: list[Problem] = []

    def prepare(self, column: Sequence[str], things: Array, rows: Array) -> Prepared:
        """Return the inputs of some rows, each once, with the things they show as labels."""
        samples: list[Sample] = []
        item: list[int] = []
        labels: list[int] = []
        seen: set[str] = set()
        for row in rows.tolist():
            if column[row] in seen:
                continue
            seen.add(column[row])
            try:
                found = prepare_value(self._value(column[row]), self.preprocessor).samples
                if not found:
                    raise InvalidInputError("the input has no sample")
            except (InputError, OSError) as error:
                missing = isinstance(error, OSError)
                kind = ProblemKind.MISSING_FILE if missing else ProblemKind.UNDECODABLE
                reason = f"{column[row]}: {error.strerror}" if missing else str(error)  # type: ignore[union-attr]
                origin = Origin(self.table.path.name, self.rows[row])
                self.problems.append(Problem(kind, origin, reason))
                continue
            item += [len(labels)] * len(found)
            samples += found
            labels.append(int(things[row]))
        return Prepared(samples, np.array(item, np.int64), np.array(labels, np.int64))

    def _value(self, cell: str) -> Value:
        return cell if self.modality in _IN_CELLS else self.table.folder / cell
