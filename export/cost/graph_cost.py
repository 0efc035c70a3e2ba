"""Operations of exported graphs, counted on the shapes that ONNX Runtime computes with.

Every graph runs once on one sample, without optimisations, and ONNX Runtime's profile says the
shapes of each node. Needs neither torch nor onnx.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from export.cost.head_cost import HeadCost, usual_lengths
from export.parity.random_samples import random_inputs
from omnivec2.arrays import Array
from omnivec2.errors import ArtifactError
from omnivec2.model_config import (
    CONFIG_FILE,
    has_head_spec,
    model_directories,
    read_config,
    read_head_spec,
    read_steps,
)
from omnivec2.parts import TOKENS, TRUNK
from omnivec2.passport import GRAPH_FILE, WEIGHTS_FILE
from omnivec2.spec import HeadSpec

_VERSION = "1"
Shape = Sequence[int]


def repository_costs(repository: Path) -> list[HeadCost]:
    """Return the cost of every head of a model repository of ONNX graphs.

    Raises:
        ArtifactError: A file is missing or damaged, or there are no heads or no ONNX graphs.
    """
    costs = []
    for directory in model_directories(repository):
        config = read_config(directory / CONFIG_FILE)
        if has_head_spec(config):
            head = read_head_spec(config, str(directory))
            costs.append(_head_cost(repository, head))
    if not costs:
        raise ArtifactError(f"{repository} has no heads; write it with `omnivec2 assemble`")
    return costs


def repository_weights(repository: Path) -> Path:
    """Return a weights file of a repository: all are those of one checkpoint.

    Raises:
        ArtifactError: There is none.
    """
    found = next(iter(sorted(repository.glob(f"*/{_VERSION}/{WEIGHTS_FILE}"))), None)
    if found is None:
        raise ArtifactError(f"{repository} has no {WEIGHTS_FILE}: its models are no ONNX graphs")
    return found


def _head_cost(repository: Path, head: HeadSpec) -> HeadCost:
    inputs = random_inputs(head, 1, usual_lengths(head), np.random.default_rng(0))
    steps = read_steps(read_config(repository / head.name / CONFIG_FILE))
    if not steps:
        total, _ = graph_operations(_graph(repository, head.name), inputs)
        return HeadCost(head.route, None, None, None, total)
    tensors: dict[str, Array] = dict(inputs)
    operations: dict[str, int] = {}
    tokens = None
    for step in steps:
        given = {ours: tensors[theirs] for ours, theirs in step.inputs.items()}
        operations[step.model], made = graph_operations(_graph(repository, step.model), given)
        tensors |= {theirs: made[ours] for ours, theirs in step.outputs.items()}
        if TOKENS in made:
            tokens = made[TOKENS].shape[1]
    tokenizer = operations[steps[0].model]
    return HeadCost(head.route, tokens, tokenizer, operations[TRUNK], sum(operations.values()))


def _graph(repository: Path, model: str) -> Path:
    path = repository / model / _VERSION / GRAPH_FILE
    if not path.is_file():
        raise ArtifactError(f"{path} is missing: only ONNX graphs can be counted")
    return path


def graph_operations(graph: Path, inputs: Mapping[str, Array]) -> tuple[int, dict[str, Array]]:
    """Run a graph once, and return its floating-point operations and its outputs.

    Matrix products and convolutions are counted; all else is small beside them.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        outputs = dict(zip(names, session.run(names, dict(inputs)), strict=True))
        events = json.loads(Path(session.end_profiling()).read_text())
    return sum(_operations(*node) for node in _nodes(events)), outputs


def _nodes(events: list[dict[str, Any]]) -> Iterator[tuple[str, list[Shape], list[Shape]]]:
    """Yield the kind of every node that was run, and the shapes of its inputs and outputs."""
    for event in events:
        arguments = event.get("args", {})
        if event.get("cat") == "Node" and "output_type_shape" in arguments:
            inputs, outputs = (
                [shape for typed in arguments[name] for shape in typed.values()]
                for name in ("input_type_shape", "output_type_shape")
            )
            yield arguments["op_name"], inputs, outputs


def _operations(kind: str, inputs: list[Shape], outputs: list[Shape]) -> int:
    if kind == "MatMul":
        return 2 * math.prod(outputs[0]) * inputs[0][-1]
    if kind == "Gemm":  # either side may be transposed
        return 2 * math.prod(inputs[0]) * outputs[0][-1]
    if kind == "Conv":
        return 2 * math.prod(outputs[0]) * math.prod(inputs[1][1:])
    return 0
