"""Writing a model's passport; reading and checking it is ``omnivec2.passport``."""

from __future__ import annotations

import datetime
from importlib.metadata import version
from pathlib import Path

from export.onnx_graph import EXPORTER, Graph
from omnivec2 import __version__
from omnivec2.atomic import write_file
from omnivec2.digest import file_digest
from omnivec2.passport import (
    GRAPH_FILE,
    PARITY_TOLERANCE,
    PASSPORT_FILE,
    WEIGHTS_FILE,
    ParityEntry,
    Passport,
)
from omnivec2.spec import HeadSpec

_LIBRARIES = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")


def issue_passport(
    head: HeadSpec,
    graph: Graph,
    weights: Path,
    parity: tuple[ParityEntry, ...],
    *,
    opset: int,
    tolerance: float = PARITY_TOLERANCE,
) -> Passport:
    """Make the passport of a graph that passed the parity gate.

    Args:
        head: the model's spec.
        graph: the graph as written.
        weights: the weights file it reads.
        parity: what the gate measured.
        opset: ONNX operator set of the graph.
        tolerance: what the gate allowed.
    """
    digest = file_digest(weights)
    return Passport(
        model=head.name,
        exporter=EXPORTER,
        opset=opset,
        versions={"omnivec2": __version__} | {name: version(name) for name in _LIBRARIES},
        precision="fp32",
        storage=graph.storage,
        checkpoint_digest=digest,
        files={GRAPH_FILE: file_digest(graph.path), WEIGHTS_FILE: digest},
        tolerance=tolerance,
        parity=parity,
        created=datetime.datetime.now(datetime.UTC).date(),
    )


def write_passport(passport: Passport, directory: Path) -> Path:
    """Write ``passport.json`` beside the files it vouches for."""
    path = directory / PASSPORT_FILE
    write_file(path, (passport.model_dump_json(indent=1) + "\n").encode())
    return path
