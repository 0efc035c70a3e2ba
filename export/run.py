"""Export every head of a checkpoint, whole or in parts, and say how it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from export.layouts import Layout, is_current
from export.one import Exporter, ExportResult
from export.onnx_graph import DEFAULT_OPSET
from export.parity import cases_of
from export.report import result_table
from export.shared import export_shared
from export.traceable import traceable_route
from export.weight_ranges import StoredWeights
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.errors import ExportError, UnknownModelError
from omnivec2.network.load import load_network
from omnivec2.spec import HeadSpec
from omnivec2.terminal import make_console

Samples = Mapping[str, Sequence[Mapping[str, npt.NDArray[Any]]]]


def export_checkpoint(
    checkpoint: Path,
    *,
    only: Sequence[str] | None = None,
    layouts: Sequence[Layout] = (Layout.FUSED,),
    force: bool = True,
    opset: int = DEFAULT_OPSET,
    samples: Samples | None = None,
    console: Console | None = None,
) -> list[ExportResult]:
    """Export the heads of a checkpoint into its ``models/`` and ``parts/``; print a table.

    Args:
        checkpoint: a checkpoint directory.
        only: routes to export, e.g. ``["image/classification"]``; all if None.
        layouts: whole graphs, parts, or both.
        force: export also what is up to date.
        opset: ONNX operator set, at most 23.
        samples: route -> real pre-processed samples, for parity beside the random ones.
        console: where progress and table go; standard output if None.

    Returns:
        One result per graph that was exported; a failed one keeps its reason and stops nothing.

    Raises:
        CheckpointError: the checkpoint is incomplete, or not of its config's network.
        UnknownModelError: ``only`` names a head that the checkpoint does not have.
    """
    source = read_checkpoint(checkpoint)
    chosen = _select(source, only)
    heads = {
        layout: [head for head in chosen if force or not is_current(source, head, layout)]
        for layout in layouts
    }
    console = console or make_console()
    if not any(heads.values()):
        console.print(f"up to date: {len(chosen)} heads, {' and '.join(layouts)}")
        return []
    exporter = Exporter(source, StoredWeights(checkpoint), opset)
    network = load_network(checkpoint)
    results: list[ExportResult] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        bar = progress.add_task("export", total=None)

        def tell(result: ExportResult) -> None:
            results.append(result)
            progress.update(bar, description=f"exported {result.route}", advance=1)

        for head in heads.get(Layout.FUSED, ()):
            target = source.model_directory(head)
            cases = cases_of(head, (samples or {}).get(head.route, ()))
            tell(exporter.export(traceable_route(network, head), head.name, cases, target))
        if in_parts := heads.get(Layout.SHARED):
            export_shared(network, exporter, in_parts, tell)
    console.print(result_table(results))
    for result in results:
        if not result.ok:
            console.print(f"FAIL {result.route}: {result.step}: {result.message}", markup=False)
    return results


def _select(source: Checkpoint, only: Sequence[str] | None) -> list[HeadSpec]:
    heads = {head.route: head for head in source.heads}
    if only is None:
        return list(heads.values())
    if unknown := [route for route in only if route not in heads]:
        raise UnknownModelError(
            f"no such head: {', '.join(unknown)}; {source.directory} has {', '.join(heads)}"
        )
    return [heads[route] for route in only]


def require_ok(results: Sequence[ExportResult]) -> None:
    """Raise if any head failed, for callers that want all or nothing.

    Raises:
        ExportError: names the heads that failed and why.
    """
    if failed := [f"{r.route} ({r.step}): {r.message}" for r in results if not r.ok]:
        raise ExportError("not exported: " + "; ".join(failed))
