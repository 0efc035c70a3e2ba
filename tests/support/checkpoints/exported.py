"""Every graph of the reference checkpoint, with what a build needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from export.exported_checkpoint import (
    PART_FILE,
    PARTS_DIRECTORY,
    ExportedCheckpoint,
    read_exported_checkpoint,
)
from export.parity.decoder_searches import decoder_axes
from export.parity.random_samples import batch_axes, dynamic_axes
from export.tensorrt.optimization_profiles import Profile, head_profile, make_profile
from export.tensorrt.plan_inputs import plan_spec, plan_tensor
from omnivec2.parts import LENGTH, LENGTH_BUCKETS
from omnivec2.passport import GRAPH_FILE

REFERENCE = Path("checkpoints/reference")


@dataclass(frozen=True)
class Exported:
    """One graph on disk.

    Attributes:
        name: The name of the model.
        graph: Its ``model.onnx``.
        weights: The weights file that it reads.
        profile: The sizes of its inputs.
    """

    name: str
    graph: Path
    weights: Path
    profile: Profile


def reference_graphs() -> list[Exported]:
    """The graphs of both layouts: all heads in one piece, then all parts."""
    source = read_exported_checkpoint(REFERENCE)
    checkpoint = source.checkpoint
    heads = [
        Exported(
            head.name,
            checkpoint.model_directory(head) / GRAPH_FILE,
            checkpoint.weights_path,
            head_profile(plan_spec(head)),
        )
        for head in checkpoint.heads
    ]
    return heads + [_part(source, path.parent) for path in _part_files(source)]


def _part_files(source: ExportedCheckpoint) -> list[Path]:
    return sorted((source.checkpoint.directory / PARTS_DIRECTORY).glob(f"*/{PART_FILE}"))


def _part(source: ExportedCheckpoint, directory: Path) -> Exported:
    spec = source.part(directory.name).spec
    if spec.kind == "tokenizer":
        names = {tuple(t.name for t in head.inputs): head for head in source.heads}
        head = names[tuple(tensor.name for tensor in spec.inputs)]
        axes, limits = dynamic_axes(head), batch_axes(head)
    elif spec.kind == "decoder":
        made = [head.generation for head in source.heads if head.generation]
        axes, limits = decoder_axes(next(g for g in made if g.decoder == spec.name))
    else:
        axes = {t.name: {0: "batch"} | ({1: LENGTH} if -1 in t.shape else {}) for t in spec.inputs}
        limits = {LENGTH: (LENGTH_BUCKETS[0], LENGTH_BUCKETS[-1])}
    inputs = [plan_tensor(tensor) for tensor in spec.inputs]
    limits = {**limits, "batch": (1, spec.max_batch_size)}
    return Exported(
        spec.name,
        directory / GRAPH_FILE,
        source.checkpoint.weights_path,
        make_profile(inputs, axes, limits),
    )
