"""A run over many inputs that can be killed and goes on: parts first, then one table.

The rows of every 256 inputs are a part, in a directory beside the table. A part's name has a digest
of what its rows were made from: heads, their versions, parameters, names and stamps of the inputs.
A run takes parts that are there and makes the others, whatever has happened in between; the table
is written when all are there, and appears as a whole.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from omnivec2.errors import (
    AccessError,
    InputError,
    InvalidParameterError,
    ModelNotReadyError,
    OmniVecError,
    OverloadedError,
    UnknownModelError,
)
from omnivec2_api.answer_types import Answer
from omnivec2_api.batch.columns import END_COLUMNS, ERROR, NOTES, AnswerColumns, Cells
from omnivec2_api.batch.items import Item, Source
from omnivec2_api.batch.table_source import ROW_COLUMN
from omnivec2_api.batch.table_writers import TableWriter, writer_for
from omnivec2_api.head_info import HeadInfo
from omnivec2_api.predictor import Predictor, TaskAnswers
from omnivec2_api.progress_lines import Progress

PART_INPUTS = 256
"""The inputs of a part: what a killed run has to do again, at most."""

_MOST_UNAVAILABLE = 8
"""Failures in a row that are no input's own: then the service or the engine is gone."""

_LOCK = ".lock"


@dataclass(frozen=True)
class BatchOptions:
    """What is asked of every input.

    Attributes:
        parameters: The parameters for all heads, or task -> those for its head.
        strict: Whether notes on an input are errors.
        concurrency: The number of inputs under way at the same time; None for the default.
        overwrite: Whether a table that is there is replaced.
        progress: Whether progress is shown on standard error.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    strict: bool = False
    concurrency: int | None = None
    overwrite: bool = False
    progress: bool = True


@dataclass
class BatchSummary:
    """What a run has done.

    Attributes:
        inputs: The number of inputs.
        rows: The number of rows of the table.
        failed: The number of rows without an answer.
        noted: The number of rows with notes.
        resumed: The number of inputs that an earlier run had done.
        seconds: The time of this run.
    """

    inputs: int = 0
    rows: int = 0
    failed: int = 0
    noted: int = 0
    resumed: int = 0
    seconds: float = 0.0

    @property
    def inputs_per_second(self) -> float:
        """The inputs that this run has done per second."""
        return (self.inputs - self.resumed) / max(self.seconds, 1e-9)


def run_batch(
    predictor: Predictor,
    routes: Sequence[str],
    source: Source,
    out: Path,
    options: BatchOptions | None = None,
) -> BatchSummary:
    """Answer all inputs of a source with one or several heads, and write a table of the answers.

    Args:
        predictor: The network or the client that answers.
        routes: The names of the heads, all of one modality.
        source: The inputs.
        out: The table: ``.parquet``, ``.csv`` or ``.jsonl``.
        options: The options; None for the defaults.

    Raises:
        InvalidParameterError: The heads are of several modalities, a parameter is wrong, or there
            is a table of that name.
        UnknownModelError: A head is not there.
        OmniVecError: The predictor answers no more, or another run writes the same table. What is
            done is kept for the next run.
    """
    options = options or BatchOptions()
    run = _Run(predictor, find_heads(predictor, routes), source, out, options)
    if out.exists() and not options.overwrite:
        raise InvalidParameterError(f"{out} is there; --overwrite replaces it", field="out")
    parts = out.with_name(f"{out.name}.parts")
    try:
        parts.mkdir(parents=True, exist_ok=True)
        with FileLock(parts / _LOCK, timeout=0):
            summary = run.write(parts)
    except Timeout as error:
        raise OmniVecError(f"{parts}: another run is writing this table") from error
    except OSError as error:
        raise OmniVecError(f"{out}: cannot be written: {error}") from error
    shutil.rmtree(parts, ignore_errors=True)
    return summary


def find_heads(predictor: Predictor, routes: Sequence[str]) -> tuple[HeadInfo, ...]:
    """Return the heads of a batch.

    Raises:
        InvalidParameterError: They are of several modalities, or one is named twice.
        UnknownModelError: One is not there.
    """
    known = predictor.heads
    if missing := [route for route in routes if route not in known]:
        raise UnknownModelError(
            f"there is no head {missing[0]!r}; there are {', '.join(sorted(known))}",
            known=sorted(known),
        )
    heads = tuple(known[route] for route in routes)
    if len({head.modality for head in heads}) > 1:
        raise InvalidParameterError("the heads of one batch take the same modality", field="heads")
    if len(set(routes)) < len(routes):
        raise InvalidParameterError("a head is named twice", field="heads")
    return heads


class _Run:
    """One run: its columns, and the way from items to rows.

    Args:
        predictor: The network or the client.
        heads: The heads.
        source: The inputs.
        out: The table.
        options: The options.
    """

    def __init__(
        self,
        predictor: Predictor,
        heads: tuple[HeadInfo, ...],
        source: Source,
        out: Path,
        options: BatchOptions,
    ) -> None:
        self._predictor, self._heads, self._source, self._out = predictor, heads, source, out
        self._options = options
        self._answers = AnswerColumns(heads)
        part = {ROW_COLUMN: "int64"} if source.has_parts else {}
        columns = {**source.key_columns, **part, **self._answers.types, **END_COLUMNS}
        self._facts = _facts(heads, options)
        self._writer: TableWriter = writer_for(out)(columns, self._facts)
        self._identity = json.dumps([self._facts, columns], sort_keys=True)
        self._answered = False
        self._unavailable = 0

    def write(self, parts: Path) -> BatchSummary:
        """Make the parts that are missing, and the table of all."""
        started = time.monotonic()
        summary = BatchSummary(inputs=len(self._source))
        names = [self._part(parts, chunk) for chunk in self._chunks()]
        missing = [not name.exists() for name in names]
        todo = sum(self._size(index, summary.inputs) for index, m in enumerate(missing) if m)
        summary.resumed = summary.inputs - todo
        title = ", ".join(head.route for head in self._heads)
        options = self._options
        with Progress(
            summary.inputs, shown=options.progress, title=title, done=summary.resumed
        ) as progress:
            self._make_parts(names, missing, progress)
        for name in names:
            _count(json.loads(_counts_file(name).read_text()), summary)
        staging = self._out.with_name(f".staging-{self._out.name}")
        try:
            self._writer.join(names, staging)
            os.replace(staging, self._out)
        finally:
            staging.unlink(missing_ok=True)
        summary.seconds = time.monotonic() - started
        return summary

    def _make_parts(
        self, names: Sequence[Path], missing: Sequence[bool], progress: Progress
    ) -> None:
        """Answer the inputs of all missing parts in one stream, so that no batch runs half full."""
        todo = itertools.compress(self._chunks(), missing)
        ahead, behind = itertools.tee(itertools.chain.from_iterable(todo))
        results = self._predictor.run_tasks(
            self._heads[0].modality,
            [head.task for head in self._heads],
            (item.value for item in ahead),
            self._options.parameters,
            concurrency=self._options.concurrency,
            strict=self._options.strict,
        )
        try:
            for index in itertools.compress(range(len(names)), missing):
                rows: list[Cells] = []
                counts = BatchSummary()
                expected = self._size(index, progress.total or 0)
                for item, result in itertools.islice(zip(behind, results, strict=False), expected):
                    new = self._rows(item, result)
                    rows += new
                    failed = sum(row.get(ERROR) is not None for row in new)
                    counts.failed += failed
                    counts.noted += sum(bool(row.get(NOTES)) for row in new)
                    progress.advance(failed=failed > 0)
                counts.rows = len(rows)
                self._save(rows, counts, names[index])
        finally:
            results.close()

    def _save(self, rows: Sequence[Cells], counts: BatchSummary, name: Path) -> None:
        staging = name.with_name(f".staging-{name.name}")
        self._writer.write_part(rows, staging)
        numbers = {"rows": counts.rows, "failed": counts.failed, "noted": counts.noted}
        _counts_file(name).write_text(json.dumps(numbers))
        os.replace(staging, name)

    def _rows(self, item: Item, result: TaskAnswers | OmniVecError) -> list[Cells]:
        """Return the rows of one input: its answers, or its error."""
        if isinstance(result, OmniVecError):
            self._check_failure(result)
            return [{**item.key, ERROR: str(result)}]
        self._answered, self._unavailable = True, 0
        try:
            rows = self._answers.rows(result)
        except InputError as error:
            return [{**item.key, ERROR: str(error)}]
        notes = _notes(result.values())
        if len(rows) != 1 and not (rows and self._source.has_parts):
            message = f"expected one input, got {len(rows)}"
            return [{**item.key, NOTES: notes, ERROR: message}]
        if not self._source.has_parts:
            return [{**item.key, **rows[0], NOTES: notes}]
        return [
            {**item.key, ROW_COLUMN: number, **row, NOTES: notes} for number, row in enumerate(rows)
        ]

    def _check_failure(self, error: OmniVecError) -> None:
        """End the run if the failure is not the input's own.

        Raises:
            OmniVecError: The same error.
        """
        of_request = isinstance(error, AccessError | UnknownModelError | InvalidParameterError)
        if of_request and not self._answered:
            raise error
        if isinstance(error, ModelNotReadyError | OverloadedError | AccessError):
            self._unavailable += 1
            if self._unavailable >= _MOST_UNAVAILABLE:
                raise error

    def _chunks(self) -> Iterator[list[Item]]:
        items = iter(self._source)
        while chunk := list(itertools.islice(items, PART_INPUTS)):
            yield chunk

    def _size(self, index: int, total: int) -> int:
        return min(PART_INPUTS, total - index * PART_INPUTS)

    def _part(self, parts: Path, chunk: Iterable[Item]) -> Path:
        digest = hashlib.sha256(self._identity.encode())
        for item in chunk:
            digest.update(json.dumps([dict(item.key), item.stamp]).encode())
        return parts / f"part-{digest.hexdigest()[:32]}{self._writer.suffix}"


def _facts(heads: Sequence[HeadInfo], options: BatchOptions) -> dict[str, Any]:
    """Return what a table's answers were made with; another table has others."""
    described = [
        {
            "route": head.route,
            "version": head.version,
            "checkpoint_digest": head.spec.get("checkpoint_digest", ""),
            "units": dict(head.targets),
        }
        for head in heads
    ]
    return {"heads": described, "parameters": dict(options.parameters), "strict": options.strict}


def _notes(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    notes = {note: None for answer in answers for note in answer.notes}
    return [{"field": None, **note.to_json()} for note in notes]


def _counts_file(part: Path) -> Path:
    return part.with_suffix(".json")


def _count(numbers: Mapping[str, int], summary: BatchSummary) -> None:
    summary.rows += numbers["rows"]
    summary.failed += numbers["failed"]
    summary.noted += numbers["noted"]
