"""Checkpoints as the exporter leaves them, whose graphs really run: tiny ones, in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from omnivec2.checkpoint import Checkpoint, write_checkpoint
from omnivec2.digests import file_digest
from omnivec2.passport import GRAPH_FILE, PASSPORT_FILE, WEIGHTS_FILE
from omnivec2.spec import HeadSpec
from tests.support.pretend_exports import make_passport
from tests.support.tiny_graphs import tiny_graph


def write_exported(directory: Path, heads: Sequence[HeadSpec], fill: float = 1.0) -> Path:
    """Write a checkpoint of these heads, with a graph for each.

    Args:
        directory: The checkpoint's directory.
        heads: The heads.
        fill: The weights, which no graph uses; other weights make another checkpoint.
    """
    tensors = {"w": np.full((4, 4), fill, np.float32)}
    checkpoint = write_checkpoint(directory, config={}, tensors=tensors, heads=heads)
    export_tiny_graphs(checkpoint)
    return directory


def export_tiny_graphs(checkpoint: Checkpoint) -> None:
    """Put a tiny graph in the place of every head's own, as if it was exported."""
    for head in checkpoint.heads:
        directory = checkpoint.model_directory(head)
        onnx.save(tiny_graph(head), directory / GRAPH_FILE)
        files = {
            GRAPH_FILE: file_digest(directory / GRAPH_FILE),
            WEIGHTS_FILE: checkpoint.digest,
        }
        passport = make_passport(head.name, checkpoint.digest, files=files)
        (directory / PASSPORT_FILE).write_text(passport.model_dump_json())
