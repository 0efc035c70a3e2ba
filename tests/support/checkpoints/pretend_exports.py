"""Checkpoints as the exporter leaves them, around graphs of any bytes."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from export.exported_checkpoint import PART_FILE, ensemble_path, part_directory
from omnivec2.checkpoint import Checkpoint, write_checkpoint
from omnivec2.parts import FEATURES, MASK, TOKENS, TRUNK, PartSpec
from omnivec2.passport import GRAPH_FILE, PASSPORT_FILE, WEIGHTS_FILE, ParityEntry, Passport
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec, TaskFamily, TensorSpec

_TOKENS = TensorSpec(name=TOKENS, dtype="float32", shape=(68, 16))
_MASK = TensorSpec(name=MASK, dtype="bool", shape=(68,))
_FEATURES = TensorSpec(name=FEATURES, dtype="float32", shape=(68, 8))


def make_head(task: str) -> HeadSpec:
    """A head of inertial sensors."""
    return HeadSpec(
        modality=Modality.IMU,
        task=task,
        family=TaskFamily.CLASSIFICATION,
        inputs=(TensorSpec(name="signal", dtype="float32", shape=(64, 9)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(2,)),),
        preprocess=PreprocessSpec(name=Modality.IMU, version=1),
        network="tiny",
    )


def make_checkpoint(directory: Path, *tasks: str, fill: float = 1.0) -> Path:
    """A checkpoint whose heads are exported in both layouts."""
    tensors = {"w": np.full((4, 4), fill, np.float32)}
    heads = [make_head(task) for task in tasks]
    checkpoint = write_checkpoint(directory, config={}, tensors=tensors, heads=heads)
    pretend_export(checkpoint)
    pretend_shared_export(checkpoint)
    return directory


def pretend_export(checkpoint: Checkpoint) -> None:
    """Export every head in one piece."""
    for head in checkpoint.heads:
        _export(checkpoint, checkpoint.model_directory(head), head.name)


def pretend_shared_export(checkpoint: Checkpoint) -> None:
    """Export the parts, and every head as put together from them."""
    tokenizer = _export_part(
        checkpoint,
        PartSpec(
            name="tokenizer_imu",
            kind="tokenizer",
            inputs=checkpoint.heads[0].inputs,
            outputs=(_TOKENS, _MASK),
        ),
    )
    trunk = _export_part(
        checkpoint,
        PartSpec(name=TRUNK, kind="trunk", inputs=(_TOKENS, _MASK), outputs=(_FEATURES,)),
    )
    for head in checkpoint.heads:
        own = PartSpec(
            name=f"head_{head.name}", kind="head", inputs=(_FEATURES,), outputs=head.outputs
        )
        parts = {"tokenizer_imu": tokenizer, TRUNK: trunk}
        parts[own.name] = _export_part(checkpoint, own)
        passport = make_passport(head.name, checkpoint.digest, files={}, parts=parts)
        ensemble_path(checkpoint, head).write_text(passport.model_dump_json())


def make_passport(model: str, checkpoint_digest: str, **fields: Any) -> Passport:
    """A passport with a perfect parity."""
    return Passport(
        model=model,
        exporter="test",
        opset=20,
        versions={},
        precision="fp32",
        checkpoint_digest=checkpoint_digest,
        tolerance=1e-4,
        parity=(ParityEntry(batch_size=1, worst_output="logits", max_relative_error=0),),
        created=datetime.date(2026, 1, 2),
        **fields,
    )


def _export_part(checkpoint: Checkpoint, spec: PartSpec) -> str:
    """Export a part; its content digest."""
    directory = part_directory(checkpoint, spec.name)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / PART_FILE).write_text(spec.model_dump_json())
    content = _sha256(f"{spec.name} {checkpoint.digest}".encode())
    _export(checkpoint, directory, spec.name, content_digest=content)
    return content


def _export(checkpoint: Checkpoint, directory: Path, name: str, **fields: Any) -> None:
    graph = f"graph of {name}".encode()
    (directory / GRAPH_FILE).write_bytes(graph)
    files = {GRAPH_FILE: _sha256(graph), WEIGHTS_FILE: checkpoint.digest}
    passport = make_passport(name, checkpoint.digest, files=files, **fields)
    (directory / PASSPORT_FILE).write_text(passport.model_dump_json())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
