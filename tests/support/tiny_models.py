"""A model repository of tiny graphs, for tests that need a service but no trained network.

A graph answers with an affine function of the mean of its inputs: fast, deterministic,
and different for different inputs.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from export.config import model_config
from omnivec2.passport import (
    GRAPH_FILE,
    PARITY_TOLERANCE,
    PASSPORT_FILE,
    WEIGHTS_FILE,
    ParityEntry,
    Passport,
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


def write_repository(root: Path, heads: list[HeadSpec]) -> Path:
    """Write a repository that passes every check a runtime makes."""
    for head in heads:
        write_model(root, head)
    return root


def write_model(root: Path, head: HeadSpec, scale: float = 1.0) -> Path:
    """Write one model; ``scale`` multiplies its outputs."""
    version = root / head.name / "1"
    version.mkdir(parents=True)
    save_file({"unused": np.zeros(1, np.float32)}, version / WEIGHTS_FILE)
    onnx.save(tiny_graph(head, scale), version / GRAPH_FILE)
    digest = _digest(version / WEIGHTS_FILE)
    head = head.model_copy(update={"checkpoint_digest": digest})
    passport = Passport(
        model=head.name,
        exporter="tests",
        opset=18,
        versions={},
        precision="fp32",
        checkpoint_digest=digest,
        files={name: _digest(version / name) for name in (GRAPH_FILE, WEIGHTS_FILE)},
        tolerance=PARITY_TOLERANCE,
        parity=(
            ParityEntry(batch_size=1, worst_output=head.outputs[0].name, max_relative_error=0.0),
        ),
        created=datetime.date(2026, 1, 1),
    )
    (root / head.name / "config.pbtxt").write_text(model_config(head, passport), "utf-8")
    (version / PASSPORT_FILE).write_text(passport.model_dump_json(), "utf-8")
    return root / head.name


def tiny_graph(head: HeadSpec, scale: float = 1.0) -> onnx.ModelProto:
    """inputs -> mean of each (sum where padding must not count) -> sum -> outputs, by row."""
    nodes, initializers, sums = [], [], []
    for tensor in head.inputs:
        dynamic = -1 in tensor.shape
        number, axes, reduced = (f"{tensor.name}_{part}" for part in ("float", "axes", "reduced"))
        initializers.append(numpy_helper.from_array(np.arange(1, len(tensor.shape) + 1), axes))
        kind = "ReduceSum" if dynamic else "ReduceMean"
        nodes += [
            helper.make_node("Cast", [tensor.name], [number], to=TensorProto.FLOAT),
            helper.make_node(kind, [number, axes], [reduced], keepdims=0),
        ]
        sums.append(reduced)
    initializers.append(numpy_helper.from_array(np.array([1]), "one"))
    nodes.append(helper.make_node("Sum", sums, ["sum"]))
    nodes.append(helper.make_node("Unsqueeze", ["sum", "one"], ["column"]))
    random = np.random.default_rng(0)
    scale *= 1e-5 if any(-1 in tensor.shape for tensor in head.inputs) else 1e-2
    for tensor in head.outputs:
        weight, bias, flat, shape = (
            f"{tensor.name}_{part}" for part in ("weight", "bias", "flat", "shape")
        )
        size = int(np.prod(tensor.shape))
        # Boxes in the middle, so that some of them survive post-processing.
        centre = 0.5 if tensor.name == "boxes" else 0.0
        initializers += [
            numpy_helper.from_array(random.normal(size=(1, size)).astype("f4") * scale, weight),
            numpy_helper.from_array(np.full(size, centre, "f4"), bias),
            numpy_helper.from_array(np.array([-1, *tensor.shape]), shape),
        ]
        nodes += [
            helper.make_node("Gemm", ["column", weight, bias], [flat]),
            helper.make_node("Reshape", [flat, shape], [tensor.name]),
        ]
    graph = helper.make_graph(
        nodes,
        head.name,
        [_value_info(tensor) for tensor in head.inputs],
        [_value_info(tensor) for tensor in head.outputs],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _value_info(tensor: TensorSpec) -> onnx.ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    sizes = [f"{tensor.name}_{i}" if n < 0 else n for i, n in enumerate(tensor.shape)]
    return helper.make_tensor_value_info(tensor.name, kind, ["batch", *sizes])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
