"""Every graph of the reference checkpoint, with what a build needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from export.plan_inputs import plan_spec
from export.profiles import Profile, head_profile
from omnivec2.checkpoint import read_checkpoint
from omnivec2.passport import GRAPH_FILE, WEIGHTS_FILE

REFERENCE = Path("checkpoints/reference")


@dataclass(frozen=True)
class Exported:
    """One graph on disk.

    Attributes:
        name: of the model.
        graph: its ``model.onnx``.
        weights: the weights file it reads.
        profile: the sizes of its inputs.
    """

    name: str
    graph: Path
    weights: Path
    profile: Profile


def reference_graphs() -> list[Exported]:
    """The graphs of all heads."""
    source = read_checkpoint(REFERENCE)
    return [
        Exported(
            head.name,
            source.model_directory(head) / GRAPH_FILE,
            source.directory / WEIGHTS_FILE,
            head_profile(plan_spec(head)),
        )
        for head in source.heads
    ]
