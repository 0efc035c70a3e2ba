"""Tiny graphs in a checkpoint that was really trained, so that commands can run its heads."""

from __future__ import annotations

import onnx

from omnivec2.checkpoint import Checkpoint
from omnivec2.digests import file_digest
from omnivec2.passport import GRAPH_FILE, PASSPORT_FILE, WEIGHTS_FILE
from tests.support.checkpoints.pretend_exports import make_passport
from tests.support.model_repositories.tiny_graphs import tiny_graph


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
