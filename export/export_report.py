"""The table of results that an export prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from rich import box
from rich.table import Table

from export.parity.parity_gate import BATCH_SIZES
from omnivec2.passport import ParityEntry


class _Result(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def graph_bytes(self) -> int: ...
    @property
    def parity(self) -> tuple[ParityEntry, ...]: ...
    @property
    def seconds(self) -> float: ...


def result_table(results: Sequence[_Result]) -> Table:
    """Return a table with a row per model: size, largest error per batch size, time."""
    table = Table(
        title="ONNX graphs: largest relative error against PyTorch at each batch size, fp32",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
    )
    # No column is truncated, however narrow the terminal: the figures are the point.
    table.add_column(
        "model", no_wrap=True, min_width=max((len(r.name) for r in results), default=0)
    )
    widths = {"": 4, "KB": 4} | {f"batch {size}": 7 for size in BATCH_SIZES} | {"seconds": 7}
    for title, width in widths.items():
        table.add_column(title, no_wrap=True, min_width=width, justify="right")
    for result in results:
        errors = [_largest(result.parity, size) for size in BATCH_SIZES]
        size = f"{result.graph_bytes / 1000:.0f}"
        table.add_row(result.name, result.outcome, size, *errors, f"{result.seconds:.1f}")
    return table


def _largest(parity: Iterable[ParityEntry], size: int) -> str:
    errors = [entry.max_relative_error for entry in parity if entry.batch_size == size]
    return f"{max(errors):.1e}" if errors else "-"
