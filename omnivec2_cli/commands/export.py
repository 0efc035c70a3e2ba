"""``omnivec2 export``: write ONNX graphs and model repositories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from omnivec2_cli.errors import needs_extra, one_line_errors
from omnivec2_cli.options import (
    DEFAULT_CHECKPOINT,
    CheckpointOption,
    DataOption,
    HeadsArgument,
    LayoutOption,
)


def export(
    data: DataOption,
    routes: HeadsArgument = None,
    checkpoint: CheckpointOption = DEFAULT_CHECKPOINT,
    layout: LayoutOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a Triton model repository of all heads here.")
    ] = None,
    engine: Annotated[
        Literal["onnx", "tensorrt"],
        typer.Option(help="Engine that will run the repository's models."),
    ] = "onnx",
    precision: Annotated[
        Literal["fp32", "fp16", "bf16", "int8"],
        typer.Option(
            help="Precision that they compute in; int8 adds a second graph of the trunk, "
            "measured on training samples."
        ),
    ] = "fp32",
    version_compatible: Annotated[
        bool, typer.Option(help="TensorRT: build plans that later releases can load too.")
    ] = False,
    timing_cache: Annotated[
        Path | None,
        typer.Option(help="TensorRT: file of kernel timings that speeds up the next build."),
    ] = None,
    gate_files: Annotated[
        Path | None,
        typer.Option(
            help="Folder with a folder of files per modality, for the inputs of the accuracy gate."
            "  [default: tests/data of the source, else inputs are drawn]"
        ),
    ] = None,
    unchanged_from: Annotated[
        Path | None,
        typer.Option(
            help="Exported checkpoint to take graphs from whose weights are the same here, such as "
            "the one that heads were added to."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Export graphs that are up to date as well.")
    ] = False,
) -> None:
    """Write ONNX graphs and compare them with PyTorch; fail if they differ.

    Graphs are written into the checkpoint, whole (`fused`) and in parts (`shared`). With `--out`
    they also become a model repository for Triton or `omnivec2 serve`, for another engine or
    precision if requested; TensorRT plans must be built on the GPU that will serve them.

    Beside each head's graph lies `gate.npz`: real inputs with the answers of the network, which an
    engine must reproduce before the service uses it for the head (docs/accuracy-gate.md).

    `--precision int8` measures the activations of the trunk on training samples (`--data`), keeps
    the result in the checkpoint as `calibration.json`, and writes `model_int8.onnx` beside the
    trunk's float graph. Later exports write it again from that file, without data.

    Examples:

        omnivec2 export

        omnivec2 export image/classification --checkpoint checkpoints/first --force

        omnivec2 export --layout shared --out model_repo

        omnivec2 export --checkpoint checkpoints/next --unchanged-from checkpoints/reference

        omnivec2 export --precision int8 --data /data

        omnivec2 export --layout fused --engine tensorrt --precision fp16 --out plans
    """
    if unchanged_from is not None:
        _carry(unchanged_from, checkpoint)
    if precision == "int8":
        if engine != "onnx" or layout == "fused":
            raise typer.BadParameter("--precision int8 is for ONNX graphs of the shared layout")
        _export_int8(checkpoint, routes, data, out, gate_files, force=force)
        return
    converted = (engine, precision) != ("onnx", "fp32")
    if converted and out is None:
        raise typer.BadParameter("--engine and --precision apply to a model repository: give --out")
    with one_line_errors(), needs_extra("export"):
        from export.export_run import export_checkpoint, require_ok
        from export.exported_checkpoint import read_exported_checkpoint
        from export.gate.gate_samples import GATE_FILES
        from export.repository.assembly import assemble
        from export.repository.build_target import make_target
        from export.repository.conversion import build_repository
        from export.repository.layouts import Layout

        target = make_target(
            engine, precision, version_compatible=version_compatible, timing_cache=timing_cache
        )
        layouts = [Layout(layout)] if layout else list(Layout)
        results = export_checkpoint(
            checkpoint,
            only=routes or None,
            layouts=layouts,
            force=force,
            gate_files=gate_files or GATE_FILES,
        )
        require_ok(results)
        if out is None:
            return
        if converted:
            source = read_exported_checkpoint(checkpoint)
            models = build_repository(source, out, Layout(layout or "shared"), target)
        else:
            models = assemble(checkpoint, out, Layout(layout) if layout else None)
        typer.echo(f"{len(models)} models in {out}")


def _carry(earlier: Path, checkpoint: Path) -> None:
    """Take over graphs of another checkpoint, and print how many heads have theirs."""
    with one_line_errors(), needs_extra("export"):
        from export.graphs.carried_graphs import carry_graphs

        carried = carry_graphs(earlier, checkpoint)
        typer.echo(f"{len(carried)} heads are unchanged: their graphs come from {earlier}")


def _export_int8(
    checkpoint: Path,
    routes: list[str] | None,
    data: Path,
    out: Path | None,
    gate_files: Path | None,
    *,
    force: bool,
) -> None:
    """Export in parts, measure the trunk on training samples, and write its int8 graph."""
    with one_line_errors(), needs_extra("train"):
        from export.export_run import export_checkpoint, require_ok
        from export.gate.gate_samples import GATE_FILES
        from export.precision.int8_export import calibrate_and_write
        from export.repository.assembly import assemble
        from export.repository.layouts import Layout
        from omnivec2.checkpoint import read_checkpoint
        from omnivec2.training.data.calibration_samples import calibration_samples

        results = export_checkpoint(
            checkpoint,
            only=routes or None,
            layouts=[Layout.SHARED],
            force=force,
            gate_files=gate_files or GATE_FILES,
        )
        require_ok(results)
        heads = read_checkpoint(checkpoint).heads
        record = calibrate_and_write(checkpoint, calibration_samples(heads, data)).record
        for route, error in record.mean_relative_errors.items():
            typer.echo(f"{route:28} {error:.4f}")
        typer.echo(
            f"{record.int8_layers} layers in int8; in float: {', '.join(record.kept_layers) or '-'}"
        )
        if out is not None:
            typer.echo(f"{len(assemble(checkpoint, out, Layout.SHARED))} models in {out}")
