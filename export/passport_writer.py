"""Passports of exported models: issued and written here, read by ``omnivec2.passport``."""

from __future__ import annotations

import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from omnivec2 import __version__
from omnivec2.atomic_files import write_file
from omnivec2.digests import file_digest
from omnivec2.passport import (
    GRAPH_FILE,
    NO_DEPENDENCIES,
    PARITY_TOLERANCE,
    WEIGHTS_FILE,
    Dependencies,
    ParityEntry,
    Passport,
)

if TYPE_CHECKING:
    from export.graphs.onnx_export import GraphFile

EXPORTER = "torch.onnx (dynamo)"
_LIBRARIES = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")


def issue_passport(
    model: str,
    weights: Path,
    parity: tuple[ParityEntry, ...],
    *,
    graph: GraphFile | None = None,
    opset: int,
    tolerance: float = PARITY_TOLERANCE,
    content_digest: str | None = None,
    dependencies: Dependencies = NO_DEPENDENCIES,
) -> Passport:
    """Issue the passport of a model that passed the parity gate.

    Args:
        model: The name of the model in the repository.
        weights: The weights file of the checkpoint.
        parity: The comparisons that the gate made.
        graph: The graph as written; None for an ensemble, which has no file of its own.
        opset: The ONNX operator set of the graph.
        tolerance: The largest relative error that the gate allowed.
        content_digest: The content digest of a part; None for a head.
        dependencies: The other models that a head is run with.
    """
    digest = file_digest(weights)
    files = {GRAPH_FILE: file_digest(graph.path), WEIGHTS_FILE: digest} if graph else {}
    return Passport(
        model=model,
        exporter=EXPORTER,
        opset=opset,
        versions={"omnivec2": __version__} | {name: version(name) for name in _LIBRARIES},
        precision="fp32",
        storage=graph.storage if graph else {},
        checkpoint_digest=digest,
        files=files,
        content_digest=content_digest,
        parts=dict(dependencies.parts),
        decoder=dependencies.decoder,
        tolerance=tolerance,
        parity=parity,
        created=datetime.datetime.now(datetime.UTC).date(),
    )


def write_passport(passport: Passport, path: Path) -> Path:
    """Write a passport, for example as ``passport.json`` beside the files it vouches for."""
    write_file(path, (passport.model_dump_json(indent=1) + "\n").encode())
    return path
