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
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from omnivec2.errors import InvalidParameterError, OmniVecError, UnknownModelError
from omnivec2_api.batch.answer_rows import AnswerRows
from omnivec2_api.batch.columns import ERROR, NOTES, Cells
from omnivec2_api.batch.destinations import Destination, destination_of
from omnivec2_api.batch.executions import Execution, Jobs, LocalExecution
from omnivec2_api.batch.items import BatchRequest, Item, Source
from omnivec2_api.batch.table_writers import TableWriter, writer_for
from omnivec2_api.head_info import HeadInfo
from omnivec2_api.predictor import Predictor
from omnivec2_api.progress_lines import Progress

PART_INPUTS = 256
"""The inputs of a part: what a killed run has to do again, at most."""


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
    out: str | Path,
    options: BatchOptions | None = None,
) -> BatchSummary:
    """Answer all inputs of a source with one or several heads, and write a table of the answers.

    Args:
        predictor: The network or the client that answers.
        routes: The names of the heads, all of one modality.
        source: The inputs.
        out: The table: ``.parquet``, ``.csv`` or ``.jsonl``; a file, or an object of ``s3://``.
        options: The options; None for the defaults.

    Raises:
        InvalidParameterError: The heads are of several modalities, a parameter is wrong, or there
            is a table of that name.
        UnknownModelError: A head is not there.
        OmniVecError: The predictor answers no more, or another run writes the same table. What is
            done is kept for the next run.
    """
    options = options or BatchOptions()
    heads = find_heads(predictor, routes)
    return run_execution(
        LocalExecution(predictor, heads, options.concurrency), source, out, options
    )


def run_execution(
    execution: Execution, source: Source, out: str | Path, options: BatchOptions
) -> BatchSummary:
    """Let an execution answer all inputs of a source; see ``run_batch``."""
    destination = destination_of(out)
    run = _Run(execution, source, destination, writer_for(out), options)
    if not options.overwrite and destination.exists():
        raise InvalidParameterError(f"{out} is there; --overwrite replaces it", field="out")
    with destination.open():
        return run.write()


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
        execution: Who answers.
        source: The inputs.
        destination: The place of the table.
        writer: The class that writes it.
        options: The options.
    """

    def __init__(
        self,
        execution: Execution,
        source: Source,
        destination: Destination,
        writer: type[TableWriter],
        options: BatchOptions,
    ) -> None:
        self._execution, self._source, self._destination = execution, source, destination
        self._options = options
        made = AnswerRows(execution.heads, has_parts=source.has_parts)
        columns = {**source.key_columns, **made.columns}
        facts = _facts(execution.heads, options)
        self._writer = writer(columns, facts)
        self._identity = json.dumps([facts, columns], sort_keys=True)

    def write(self) -> BatchSummary:
        """Make the parts that are missing, and the table of all."""
        started = time.monotonic()
        summary = BatchSummary(inputs=len(self._source))
        names, sizes = self._parts()
        there = self._destination.part_names()
        missing = [name not in there for name in names]
        summary.resumed = sum(itertools.compress(sizes, [not one for one in missing]))
        title = ", ".join(head.route for head in self._execution.heads)
        shown = self._options.progress
        with Progress(summary.inputs, shown=shown, title=title, done=summary.resumed) as progress:
            self._make_parts(names, sizes, missing, progress)
        for name in names:
            _count(self._destination.read_counts(name), summary)
        parts = [partial(self._destination.read_part, name) for name in names]
        self._destination.publish(partial(self._writer.join, parts))
        summary.seconds = time.monotonic() - started
        return summary

    def _make_parts(
        self,
        names: Sequence[str],
        sizes: Sequence[int],
        missing: Sequence[bool],
        progress: Progress,
    ) -> None:
        """Answer the inputs of all missing parts in one stream, so that no batch runs half full.

        Raises:
            OmniVecError: Inputs have vanished since they were counted, or as for ``run_batch``.
        """
        request = BatchRequest(self._options.parameters, self._options.strict)
        unfinished: dict[int, dict[int, list[Cells]]] = {}
        jobs = Jobs(self._source, PART_INPUTS, missing)
        done = self._execution.run(jobs, request)
        with closing(done):
            for one in done:
                rows = unfinished.setdefault(one.part, {})
                rows[one.position] = one.rows
                progress.advance(failed=any(row.get(ERROR) is not None for row in one.rows))
                if len(rows) == sizes[one.part]:
                    in_order = [rows[position] for position in sorted(rows)]
                    self._save(list(itertools.chain(*in_order)), names[one.part])
                    del unfinished[one.part]
        if unfinished:
            raise OmniVecError("the inputs have changed during the run")

    def _save(self, rows: Sequence[Cells], name: str) -> None:
        counts = {
            "rows": len(rows),
            "failed": sum(row.get(ERROR) is not None for row in rows),
            "noted": sum(bool(row.get(NOTES)) for row in rows),
        }
        self._destination.write_part(name, partial(self._writer.write_part, rows), counts)

    def _parts(self) -> tuple[list[str], list[int]]:
        """Return the names and the sizes of all parts."""
        jobs = Jobs(self._source, PART_INPUTS, ())
        parts = [(self._name(chunk), len(chunk)) for chunk in jobs.chunks()]
        return [name for name, _ in parts], [size for _, size in parts]

    def _name(self, chunk: Iterable[Item]) -> str:
        digest = hashlib.sha256(self._identity.encode())
        for item in chunk:
            digest.update(json.dumps([dict(item.key), item.stamp]).encode())
        return f"part-{digest.hexdigest()[:32]}{self._writer.suffix}"


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


def _count(numbers: Mapping[str, int], summary: BatchSummary) -> None:
    summary.rows += numbers["rows"]
    summary.failed += numbers["failed"]
    summary.noted += numbers["noted"]
