"""Export every head of a checkpoint, whole or in parts, and say how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from export.export_report import result_table
from export.graphs.decoder_step import decoder_part
from export.graphs.export_graph import Exporter, ExportResult
from export.graphs.export_parts import export_part, export_shared
from export.graphs.onnx_export import DEFAULT_OPSET
from export.graphs.traceable import traceable_route
from export.graphs.weight_ranges import StoredWeights
from export.parity.decoder_searches import decoder_cases
from export.parity.parity_gate import cases_of
from export.repository.layouts import Layout, decoder_digest, is_current
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.errors import ExportError, UnknownModelError
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import load_network
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

        failed = _export_decoders(network, exporter, heads, tell)
        for head in heads.get(Layout.FUSED, ()):
            if head in failed:
                continue
            target = source.model_directory(head)
            cases = cases_of(head, (samples or {}).get(head.route, ()))
            decoder = decoder_digest(source, head)
            whole = traceable_route(network, head)
            tell(exporter.export(whole, head.name, cases, target, decoder=decoder))
        if in_parts := [head for head in heads.get(Layout.SHARED, ()) if head not in failed]:
            export_shared(network, exporter, in_parts, tell)
    console.print(result_table(results))
    for result in results:
        if not result.ok:
            console.print(f"FAIL {result.route}: {result.step}: {result.message}", markup=False)
    return results


def _export_decoders(
    network: OmniVec2,
    exporter: Exporter,
    heads: Mapping[Layout, Sequence[HeadSpec]],
    tell: Callable[[ExportResult], None],
) -> list[HeadSpec]:
    """Export the decoders of all heads that write text; the heads whose decoder failed."""
    writing = {head.route: head for some in heads.values() for head in some if head.generation}
    failed = []
    for head in writing.values():
        part = decoder_part(network, head)
        cases = decoder_cases(head, traceable_route(network, head), part.traceable)
        result = export_part(exporter, part, cases)
        tell(result)
        if not result.ok:
            failed.append(head)
    return failed


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
