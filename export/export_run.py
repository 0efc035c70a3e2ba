"""Export every head of a checkpoint, whole or in parts, and print the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from export.export_report import result_table
from export.exported_checkpoint import ExportedCheckpoint, read_exported_checkpoint
from export.gate.gate_samples import GATE_FILES
from export.gate.write_gates import lacks_gate, write_gates
from export.graphs.decoder_step import decoder_part
from export.graphs.export_graph import Exporter, ExportResult
from export.graphs.export_parts import export_part, export_shared
from export.graphs.onnx_export import DEFAULT_OPSET
from export.graphs.traceable import traceable_head
from export.graphs.tracing.kept_traces import KeptTraces
from export.graphs.weight_ranges import StoredWeights
from export.parity.decoder_searches import decoder_cases
from export.parity.parity_gate import cases_of
from export.precision.int8_export import write_int8_if_calibrated
from export.repository.layouts import Layout, is_current
from omnivec2.arrays import Array
from omnivec2.errors import ExportError, UnknownModelError
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import load_network
from omnivec2.passport import Dependencies, Passport
from omnivec2.spec import HeadSpec
from omnivec2.terminal import LoggedProgress, make_console

Samples = Mapping[str, Sequence[Mapping[str, Array]]]


def export_checkpoint(
    checkpoint: Path,
    *,
    only: Sequence[str] | None = None,
    layouts: Sequence[Layout] = (Layout.FUSED,),
    force: bool = True,
    opset: int = DEFAULT_OPSET,
    samples: Samples | None = None,
    gate_files: Path = GATE_FILES,
    console: Console | None = None,
) -> list[ExportResult]:
    """Export the heads of a checkpoint into its ``models/`` and ``parts/``; print a table.

    Args:
        checkpoint: The directory of the checkpoint.
        only: The heads to export, e.g. ``["image/classification"]``; all if None.
        layouts: The layouts to export for: whole graphs, parts, or both.
        force: Whether to export also what is up to date.
        opset: The ONNX operator set, at most 23.
        samples: A map from heads to real pre-processed samples, for parity beside random ones.
        gate_files: A folder with a folder of files per modality, from which the inputs of the
            accuracy gate are made.
        console: The console for progress and table; standard output if None.

    Returns:
        One result per graph that was exported; a failure keeps its reason and stops nothing else.

    Raises:
        CheckpointError: The checkpoint is incomplete, or not of its config's network.
        UnknownModelError: ``only`` names a head that the checkpoint does not have.
    """
    source = read_exported_checkpoint(checkpoint)
    chosen = _select(source, only)
    heads = {
        layout: [head for head in chosen if force or not is_current(source, head, layout)]
        for layout in layouts
    }
    console = console or make_console()
    if not any(heads.values()):
        console.print(f"up to date: {len(chosen)} heads, {' and '.join(layouts)}")
        _name_heads_without_gate(console, source, chosen)
        return []
    exporter = Exporter(source.checkpoint, StoredWeights(checkpoint), opset, KeptTraces.of_user())
    network = load_network(checkpoint)
    results: list[ExportResult] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with LoggedProgress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        bar = progress.add_task("export", total=None)

        def on_result(result: ExportResult) -> None:
            results.append(result)
            progress.update(bar, description=f"exported {result.name}", advance=1)

        decoders = _export_decoders(network, exporter, heads, on_result)
        ready = {
            layout: [head for head in some if head.generation is None or head.name in decoders]
            for layout, some in heads.items()
        }
        for head in ready.get(Layout.FUSED, ()):
            real = (samples or {}).get(head.route, ())
            target = source.checkpoint.model_directory(head)
            on_result(_export_whole(network, exporter, head, target, real, decoders.get(head.name)))
        if in_parts := ready.get(Layout.SHARED):
            export_shared(network, exporter, in_parts, on_result, decoders, force=force)
            write_int8_if_calibrated(checkpoint)
        exported = {head.name: head for some in ready.values() for head in some}
        for head in exported.values():
            write_gates(source.checkpoint, network, [head], gate_files)
            progress.update(bar, description=f"wrote the gate file of {head.route}", advance=1)
    console.print(result_table(results))
    _name_heads_without_gate(console, source, chosen)
    for result in results:
        if not result.ok:
            console.print(f"FAIL {result.name}: {result.step}: {result.message}", markup=False)
    return results


def _name_heads_without_gate(
    console: Console, source: ExportedCheckpoint, heads: Sequence[HeadSpec]
) -> None:
    """Say which heads an interrupted export left without the file that engines are measured by."""
    lacking = [head.route for head in heads if lacks_gate(source.checkpoint, head)]
    if lacking:
        console.print(
            f"without a gate file, so that no engine is measured: {', '.join(lacking)}; "
            "export them again with --force",
            soft_wrap=True,
        )


def _export_whole(
    network: OmniVec2,
    exporter: Exporter,
    head: HeadSpec,
    target: Path,
    samples: Sequence[Mapping[str, Array]],
    decoder: Passport | None,
) -> ExportResult:
    """Export a head in one piece into a directory.

    Args:
        network: The network of the checkpoint.
        exporter: The exporter of the checkpoint.
        head: The spec of the head.
        target: The directory of its graph and passport.
        samples: Real pre-processed samples, for parity beside random ones.
        decoder: The passport of its decoder, if it writes text.
    """
    dependencies = Dependencies(decoder=decoder.content_digest if decoder else None)
    whole = traceable_head(network, head)
    cases = cases_of(head, samples)
    return exporter.export(whole, head.name, cases, target, dependencies=dependencies)


def _export_decoders(
    network: OmniVec2,
    exporter: Exporter,
    heads: Mapping[Layout, Sequence[HeadSpec]],
    on_result: Callable[[ExportResult], None],
) -> dict[str, Passport]:
    """Export the decoders of all heads that write text.

    Returns:
        A map from the names of these heads to the passports of their decoders; a head whose
        decoder failed is not in it.
    """
    writing = {head.name: head for some in heads.values() for head in some if head.generation}
    passports: dict[str, Passport] = {}
    for name, head in writing.items():
        part = decoder_part(network, head)
        cases = decoder_cases(head, traceable_head(network, head), part.traceable)
        result = export_part(exporter, part, cases)
        on_result(result)
        if result.passport is not None:
            passports[name] = result.passport
    return passports


def _select(source: ExportedCheckpoint, only: Sequence[str] | None) -> list[HeadSpec]:
    heads = {head.route: head for head in source.heads}
    if only is None:
        return list(heads.values())
    if unknown := [route for route in only if route not in heads]:
        raise UnknownModelError(
            f"no such head: {', '.join(unknown)}; "
            f"{source.checkpoint.directory} has {', '.join(heads)}"
        )
    return [heads[route] for route in only]


def require_ok(results: Sequence[ExportResult]) -> None:
    """Check that every head was exported, for callers that want all or nothing.

    Raises:
        ExportError: Some heads failed; the message says which, and why.
    """
    if failed := [f"{r.name} ({r.step}): {r.message}" for r in results if not r.ok]:
        raise ExportError("not exported: " + "; ".join(failed))
