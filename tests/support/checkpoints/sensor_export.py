"""A tiny network of motion sensors, really exported; several test files start from copies of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from export.export_run import require_ok
from export.graphs.export_graph import Exporter, ExportResult
from export.graphs.export_parts import export_shared
from export.graphs.weight_ranges import StoredWeights
from omnivec2.checkpoint import read_checkpoint
from omnivec2.network.config import NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import load_network, save_network
from tests.support.networks.cut_networks import ROUTES, cut_heads, one_layer
from tests.support.networks.networks import TOKENIZERS

EXPORTED, NOT_EXPORTED = "imu/activity", "imu/embedding"
_REPORT = "export-report.json"
_F = {"depth": 1, "width": 128, "heads": 4, "ffn": 128}
"""Large enough for int8 rows."""


def write_sensor_export(directory: Path) -> None:
    """Write a checkpoint of two heads, one of which is exported in parts.

    Raises:
        ExportError: The head was not exported.
    """
    torch.manual_seed(0)
    preset = one_layer()
    changes = {
        "trunk": preset["trunk"] | {"f": _F, "fc_widths": (128, 40, 32)},
        "tokenizers": {"imu": TOKENIZERS["imu"]},
        "heads": {route: ROUTES[route] for route in (EXPORTED, NOT_EXPORTED)},
    }
    network = OmniVec2(NetworkConfig.model_validate(preset | changes)).eval()
    save_network(directory, network, network.state_dict(), cut_heads(network))
    source = read_checkpoint(directory)
    heads = [head for head in source.heads if head.route == EXPORTED]
    results: list[ExportResult] = []
    exporter = Exporter(source, StoredWeights(directory), 20)
    export_shared(load_network(directory), exporter, heads, results.append)
    require_ok(results)
    (directory / _REPORT).write_text(json.dumps([result.name for result in results]))


def exported_names(directory: Path) -> Sequence[str]:
    """Return the names of the results of the export, in the order they came."""
    names: list[str] = json.loads((directory / _REPORT).read_text())
    return names


def copy_of_one_head(exported: Path, directory: Path) -> Path:
    """Copy the checkpoint without the head that was not exported."""
    modality, task = NOT_EXPORTED.split("/")
    return shutil.copytree(exported, directory, ignore=shutil.ignore_patterns(f"{modality}_{task}"))
