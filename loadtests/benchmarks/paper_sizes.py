"""The paper's sizes with 20 heads on random weights, to measure what is too large to ship.

Made once and kept in ``.cache/loadtests``: exporting its 38 parts takes minutes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from unittest import mock

import torch
from rich.console import Console

from export.export_run import export_checkpoint, require_ok
from export.parity.parity_gate import Case, cases_of
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.measured_gateway import CHECKPOINT, ROOT
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.network.config import PRESETS, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import save_network
from omnivec2.spec import HeadSpec, TaskFamily

CACHE = ROOT / ".cache" / "loadtests"
COPIES = ("image/classification", "text/sentiment", "tabular/income")
"""The reference network has 17 heads with weights of their own; these, once more, make 20."""

_DONE_FILE = ".exported"


def paper_repository(console: Console) -> Path:
    """Make a repository in the shared layout, with the reference's tokenizers and tasks.

    Args:
        console: The console for the exporter's progress.
    """
    reference = read_checkpoint(CHECKPOINT)
    directory = CACHE / f"paper-{reference.digest[:12]}"
    checkpoint = directory / "checkpoint"
    if not (directory / _DONE_FILE).exists():
        shutil.rmtree(directory, ignore_errors=True)
        _write(reference, checkpoint)
        # The usual parity gate, but with one batch per part instead of dozens.
        with mock.patch("export.graphs.export_parts.cases_of", _one_case):
            results = export_checkpoint(checkpoint, layouts=(Layout.SHARED,), console=console)
        require_ok(results)
        (directory / _DONE_FILE).touch()
    assemble(checkpoint, directory / "repository", Layout.SHARED)
    return directory / "repository"


def _write(reference: Checkpoint, checkpoint: Path) -> None:
    like = NetworkConfig.model_validate(reference.config)
    own = [r for r, head in like.heads.items() if head.family is not TaskFamily.EMBEDDING]
    heads = {route: route for route in own} | {f"{route}_b": route for route in COPIES}
    torch.manual_seed(0)
    network = OmniVec2(
        PRESETS["paper"].model_copy(
            update={
                "tokenizers": like.tokenizers,
                "heads": {route: like.heads[source] for route, source in heads.items()},
            }
        )
    )
    specs = {head.route: head for head in reference.heads}
    renamed = [
        specs[source].model_copy(update={"task": route.partition("/")[2]})
        for route, source in heads.items()
    ]
    save_network(checkpoint, network.eval(), network.state_dict(), renamed)


def _one_case(head: HeadSpec) -> Iterable[Case]:
    return islice(cases_of(head), 1)
