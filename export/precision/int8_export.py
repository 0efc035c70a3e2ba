"""The int8 graph of an exported trunk, beside its float graph and vouched for by its passport."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from export.exported_checkpoint import (
    ExportedCheckpoint,
    part_directory,
    read_exported_checkpoint,
)
from export.passport_writer import write_passport
from export.precision.calibration import (
    Calibration,
    Samples,
    calibrate,
    read_calibration,
    write_calibration,
)
from export.precision.int8_graph import quantise
from omnivec2.digests import file_digest
from omnivec2.parts import TRUNK
from omnivec2.passport import GRAPH_FILE, INT8_GRAPH_FILE, PASSPORT_FILE


def write_int8_trunk(source: ExportedCheckpoint, calibration: Calibration) -> bool:
    """Write the int8 graph of a checkpoint's trunk.

    Args:
        source: The checkpoint, its trunk exported.
        calibration: The ranges of the trunk's activations.

    Returns:
        Whether it was written; it is not if the calibration is of another trunk.

    Raises:
        PassportError: The trunk is not exported, or from other weights.
    """
    part = source.part(TRUNK)
    if part.passport.content_digest != calibration.trunk:
        return False
    model = ir.load(part.directory / GRAPH_FILE)
    quantise(model, calibration.layers, calibration.record.kept_layers)
    path = part.directory / INT8_GRAPH_FILE
    ir.save(model, path)
    files = part.passport.files | {INT8_GRAPH_FILE: file_digest(path)}
    passport = part.passport.model_copy(update={"files": files, "int8": calibration.record})
    write_passport(passport, part.directory / PASSPORT_FILE)
    return True


def write_int8_if_calibrated(checkpoint: Path) -> bool:
    """Write the int8 graph of a trunk that was just exported, if its calibration is at hand.

    Args:
        checkpoint: The directory of the checkpoint.

    Returns:
        Whether it was written.
    """
    calibration = read_calibration(checkpoint)
    source = read_exported_checkpoint(checkpoint)
    exported = (part_directory(source.checkpoint, TRUNK) / PASSPORT_FILE).exists()
    return calibration is not None and exported and write_int8_trunk(source, calibration)


def calibrate_and_write(checkpoint: Path, samples: Samples) -> Calibration:
    """Measure the trunk of an exported checkpoint on real samples, and write its int8 graph.

    Args:
        checkpoint: The directory of the checkpoint, its heads exported in parts.
        samples: A map from heads to pre-processed samples.

    Raises:
        ExportError: There are no samples.
        PassportError: A head is not exported in parts.
    """
    calibration = calibrate(read_exported_checkpoint(checkpoint), samples)
    write_calibration(checkpoint, calibration)
    write_int8_trunk(read_exported_checkpoint(checkpoint), calibration)
    return calibration
