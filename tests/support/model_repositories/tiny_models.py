"""A model repository of tiny graphs, for tests that need a service but no trained network.

A model answers with an affine function of the mean of its inputs: fast, deterministic,
different for different inputs, and the same in both layouts.
"""

from __future__ import annotations

import datetime
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from safetensors.numpy import save_file

from export.repository.config_writer import ensemble_config, model_config, part_config
from export.repository.layouts import Layout
from omnivec2.digests import file_digest
from omnivec2.familiarity import TrainingReference
from omnivec2.parts import TRUNK, PartSpec
from omnivec2.passport import (
    GRAPH_FILE,
    PARITY_TOLERANCE,
    PASSPORT_FILE,
    WEIGHTS_FILE,
    ParityEntry,
    Passport,
    load_passport,
)
from omnivec2.preprocess import preprocessor_type
from omnivec2.spec import (
    DataSource,
    HeadSpec,
    Metric,
    Modality,
    PreprocessSpec,
    Target,
    TaskFamily,
    TensorSpec,
)
from tests.support.model_repositories.tiny_graphs import (
    head_part,
    tiny_graph,
    tokenizer_part,
    trunk_part,
)

_PART_FILE = "part.json"
"""For these tests only: a runtime does not look at it."""

COLUMNS = [
    {"name": "age", "kind": "number", "mean": 40.0, "std": 10.0},
    {"name": "workclass", "kind": "category", "categories": ["Private", "State-gov"]},
]


def head_spec(
    route: str,
    family: TaskFamily,
    outputs: Mapping[str, tuple[int, ...]],
    parameters: Mapping[str, Any] | None = None,
    **fields: Any,
) -> HeadSpec:
    """The spec of a tiny head; limits and inputs come from its pre-processor."""
    modality, task = route.split("/")
    kind = preprocessor_type(Modality(modality))
    preprocessor = kind(kind.parameters_type.model_validate(parameters or {}))
    preprocess = PreprocessSpec(
        name=kind.modality, version=kind.version, parameters=dict(parameters or {})
    )
    return HeadSpec(
        modality=kind.modality,
        task=task,
        family=family,
        description=f"A tiny {task} head.",
        inputs=preprocessor.inputs,
        outputs=tuple(
            TensorSpec(name=name, dtype="float32", shape=shape) for name, shape in outputs.items()
        ),
        preprocess=preprocess,
        **{"limits": kind.default_limits, **fields},
        metrics=(Metric(name="accuracy", dataset="made up", split="test", samples=10, value=0.5),),
        data=(DataSource(name="made up", licence="CC0-1.0"),),
        network="tiny",
    )


def classification(route: str, *labels: str, **options: Any) -> HeadSpec:
    """A tiny classification head."""
    return head_spec(
        route,
        TaskFamily.CLASSIFICATION,
        {"logits": (len(labels),)},
        labels=labels,
        **options,
    )


def tiny_heads() -> list[HeadSpec]:
    """Heads over every modality and every family, named as those of the reference network."""
    scene = {"height": 64, "width": 96, "resize": "stretch"}
    embedding = {"embedding": (16,)}
    return [
        classification("image/classification", "cat", "dog", "horse"),
        head_spec(
            "image/detection",
            TaskFamily.DETECTION,
            {"logits": (5, 3), "boxes": (5, 4)},
            scene,
            labels=("red", "white"),
        ),
        head_spec(
            "image/segmentation",
            TaskFamily.SEGMENTATION,
            {"logits": (2, 8, 12)},
            scene,
            labels=("road", "sky"),
        ),
        head_spec("image/embedding", TaskFamily.EMBEDDING, embedding),
        classification("video/action", "fight", "calm"),
        classification("audio/events", "rain", "dog"),
        classification("text/sentiment", "negative", "positive"),
        classification("text/paraphrase", "no", "yes", parameters={"pair": True}),
        head_spec("text/embedding", TaskFamily.EMBEDDING, embedding),
        classification("depth/action", "wave", "clap"),
        classification("pointcloud/classification", "chair", "table"),
        head_spec("timeseries/forecast", TaskFamily.FORECASTING, {"mean": (96,)}, horizon=96),
        classification("tabular/income", "<=50K", ">50K", parameters={"columns": COLUMNS}),
        head_spec(
            "graph/solubility",
            TaskFamily.REGRESSION,
            {"values": (1,)},
            targets=(Target(name="log solubility", unit="log mol/l"),),
        ),
        classification("xray/pneumonia", "normal", "pneumonia"),
        classification("infrared/objects", "person", "car"),
        classification("imu/activity", "walking", "sitting"),
        head_spec(
            "hyperspectral/landcover",
            TaskFamily.SEGMENTATION,
            {"logits": (3,)},
            labels=("soil", "grass", "corn"),
        ),
    ]


def write_repository(
    root: Path, heads: Sequence[HeadSpec], layout: Layout = Layout.FUSED, scale: float = 1.0
) -> Path:
    """Write a repository that passes every check a runtime makes.

    Args:
        root: The directory of the repository.
        heads: The heads that it serves.
        layout: The layout of the repository; both answer alike.
        scale: The factor of all outputs.
    """
    if layout is Layout.SHARED:
        write_part(root, *trunk_part())
    for head in heads:
        add_head(root, head, layout, scale)
    return root


def add_head(root: Path, head: HeadSpec, layout: Layout, scale: float = 1.0) -> Path:
    """Write one more head, or another in its place, with a tokenizer if it needs a new one."""
    if layout is Layout.FUSED:
        return write_model(root, head, scale)
    own = write_part(root, *head_part(head, scale))
    return write_ensemble(root, head, [_tokenizer(root, head), read_part(root, TRUNK), own])


def _tokenizer(root: Path, head: HeadSpec) -> WrittenPart:
    """The tokenizer of a head's inputs, written if no other head has written it."""
    for name in (f"tokenizer_{head.modality}", f"tokenizer_{head.name}"):
        if not (root / name).exists():
            return write_part(root, *tokenizer_part(name, head))
        if (there := read_part(root, name)).spec.inputs == head.inputs:
            return there
    raise AssertionError(f"{head.name} was written with other inputs before")


def write_model(root: Path, head: HeadSpec, scale: float = 1.0) -> Path:
    """Write one model in one piece; ``scale`` multiplies its outputs; what it replaces goes."""
    shutil.rmtree(root / head.name, ignore_errors=True)
    files = _write_graph(root / head.name / "1", tiny_graph(head, scale))
    head = head.model_copy(update={"checkpoint_digest": files[WEIGHTS_FILE]})
    passport = _passport(head.name, files[WEIGHTS_FILE], files=files)
    return _write_config(root / head.name, model_config(head, passport), passport)


@dataclass(frozen=True)
class WrittenPart:
    """A part that lies in a repository."""

    spec: PartSpec
    passport: Passport


def read_part(root: Path, name: str) -> WrittenPart:
    """A part that was written before."""
    version = root / name / "1"
    spec = PartSpec.model_validate_json((version / _PART_FILE).read_bytes())
    return WrittenPart(spec, load_passport(version / PASSPORT_FILE))


def write_part(root: Path, spec: PartSpec, graph: onnx.ModelProto) -> WrittenPart:
    """Write a part of models that are put together; what it replaces goes."""
    shutil.rmtree(root / spec.name, ignore_errors=True)
    files = _write_graph(root / spec.name / "1", graph)
    content = hashlib.sha256("".join(sorted(files.values())).encode()).hexdigest()
    passport = _passport(spec.name, files[WEIGHTS_FILE], files=files, content_digest=content)
    _write_config(root / spec.name, part_config(spec, passport), passport)
    (root / spec.name / "1" / _PART_FILE).write_text(spec.model_dump_json())
    return WrittenPart(spec, passport)


def write_ensemble(
    root: Path,
    head: HeadSpec,
    parts: Sequence[WrittenPart],
    reference: TrainingReference | None = None,
) -> Path:
    """Write a model that is put together from parts; what it replaces goes."""
    shutil.rmtree(root / head.name, ignore_errors=True)
    (root / head.name / "1").mkdir(parents=True)
    digest = parts[0].passport.checkpoint_digest
    contents = {part.spec.name: part.passport.content_digest for part in parts}
    passport = _passport(head.name, digest, files={}, parts=contents)
    head = head.model_copy(update={"checkpoint_digest": digest})
    config = ensemble_config(head, [part.spec for part in parts], passport, reference=reference)
    return _write_config(root / head.name, config, passport)


def _write_graph(version: Path, graph: onnx.ModelProto) -> dict[str, str]:
    """Write a graph beside weights it does not use; the digests of both."""
    version.mkdir(parents=True)
    save_file({"unused": np.zeros(1, np.float32)}, version / WEIGHTS_FILE)
    onnx.save(graph, version / GRAPH_FILE)
    return {name: file_digest(version / name) for name in (GRAPH_FILE, WEIGHTS_FILE)}


def _write_config(model: Path, config: str, passport: Passport) -> Path:
    (model / "config.pbtxt").write_text(config, "utf-8")
    (model / "1" / PASSPORT_FILE).write_text(passport.model_dump_json(), "utf-8")
    return model


def _passport(model: str, checkpoint_digest: str, **fields: Any) -> Passport:
    return Passport(
        model=model,
        exporter="tests",
        opset=18,
        versions={},
        precision="fp32",
        checkpoint_digest=checkpoint_digest,
        tolerance=PARITY_TOLERANCE,
        parity=(ParityEntry(batch_size=1, worst_output="any", max_relative_error=0.0),),
        created=datetime.date(2026, 1, 1),
        **fields,
    )
