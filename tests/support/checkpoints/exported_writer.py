"""A tiny head that writes, exported in both layouts and assembled, for several test files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from pydantic import TypeAdapter

from export.export_run import export_checkpoint
from export.graphs.export_graph import ExportResult
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.checkpoint import read_checkpoint
from omnivec2.network.saved_network import save_network
from omnivec2.spec import HeadSpec
from tests.support.networks.cut_networks import one_layer
from tests.support.networks.writing import ROUTE, writing_network

DECODER = "decoder_text_summarization"


@dataclass(frozen=True)
class ExportedWriter:
    """A checkpoint of a head that writes, and what was made of it.

    Attributes:
        checkpoint: Its directory.
        head: The head that writes.
        results: The result of exporting each graph, by name.
        repositories: The model repositories by layout.
    """

    checkpoint: Path
    head: HeadSpec
    results: dict[str, ExportResult]
    repositories: dict[Layout, Path]


def export_writer_once(folder: Path) -> ExportedWriter:
    """Return the writer of a test run: the first process exports it, others wait and read it.

    Args:
        folder: The directory that the processes of the run share.
    """
    stored, form = folder / "writer.json", TypeAdapter(ExportedWriter)
    with FileLock(folder / "writer.lock"):
        if not stored.exists():
            stored.write_bytes(form.dump_json(_export_writer(folder / "writer")))
    return form.validate_json(stored.read_bytes())


def _export_writer(folder: Path) -> ExportedWriter:
    """Save, export and assemble a tiny network that writes."""
    network, heads = writing_network(preset=one_layer())
    checkpoint = folder / "checkpoint"
    save_network(checkpoint, network, network.state_dict(), heads)
    results = {
        result.name: result for result in export_checkpoint(checkpoint, layouts=list(Layout))
    }
    assert all(result.ok for result in results.values()), results
    repositories = {layout: folder / f"repository-{layout}" for layout in Layout}
    for layout, root in repositories.items():
        assemble(checkpoint, root, layout)
    head = next(head for head in read_checkpoint(checkpoint).heads if head.route == ROUTE)
    return ExportedWriter(checkpoint, head, results, repositories)
