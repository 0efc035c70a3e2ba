"""Calibration for int8: what the activations of the trunk are like on real samples.

The result is a small file beside the weights, so that the int8 graph can be written again
without data. It holds for one trunk, whatever heads the checkpoint has.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
from pydantic import BaseModel, ConfigDict, ValidationError

from export.exported_checkpoint import ExportedCheckpoint
from export.graphs.exported_graphs import ExportedHead, ExportedParts
from export.precision.activation_ranges import ActivationRange, activation_range
from export.precision.int8_graph import int8_layers, quantise
from omnivec2.arrays import Array, Batch
from omnivec2.atomic_files import link_or_copy, write_file
from omnivec2.checkpoint import INT8_MIN_ELEMENTS
from omnivec2.errors import ExportError
from omnivec2.parts import FEATURES, MASK, TOKENS
from omnivec2.passport import GRAPH_FILE, WEIGHTS_FILE, Int8Record, Sha256
from omnivec2.preprocess import collate

CALIBRATION_FILE = "calibration.json"
KEEP_ABOVE = 0.02
"""A layer that alone changes the trunk's features by more than this stays float."""
_SENSITIVITY_SAMPLES = 1
"""The number of samples of each head that every layer's own error is measured on."""

Samples = Mapping[str, Sequence[Mapping[str, Array]]]


class Calibration(BaseModel):
    """The ranges of a trunk's activations, and the errors that int8 makes.

    Attributes:
        trunk: The content digest of the trunk part that was measured.
        samples: A map from heads to the number of samples.
        layers: A map from layers to the ranges of their inputs.
        sensitivity: A map from layers to the mean relative error of the features when only this
            layer is int8.
        record: The entry about the int8 graph in the passport of the trunk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trunk: Sha256
    samples: dict[str, int]
    layers: dict[str, ActivationRange]
    sensitivity: dict[str, float]
    record: Int8Record


def read_calibration(checkpoint: Path) -> Calibration | None:
    """Read the calibration of a checkpoint; None if there is none.

    Raises:
        ExportError: The file is not a calibration.
    """
    path = checkpoint / CALIBRATION_FILE
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ExportError(f"{path}: not a calibration: {error}") from error


def write_calibration(checkpoint: Path, calibration: Calibration) -> None:
    """Write a calibration into its checkpoint."""
    text = f"{calibration.model_dump_json(indent=1)}\n"
    write_file(checkpoint / CALIBRATION_FILE, text.encode())


def calibrate(source: ExportedCheckpoint, samples: Samples) -> Calibration:
    """Measure ranges and errors on real samples.

    Args:
        source: The checkpoint, its heads exported in parts.
        samples: A map from heads to pre-processed samples.

    Raises:
        ExportError: There are no samples.
        PassportError: A head is not exported in parts.
    """
    if not any(samples.values()):
        raise ExportError("int8 needs samples to measure the activations of the trunk on")
    parts = ExportedParts(source)
    batches = {
        head.spec.route: [_up_to_trunk(head, sample) for sample in samples[head.spec.route]]
        for head in parts.heads
        if samples.get(head.spec.route)
    }
    graph = parts.trunk.directory / GRAPH_FILE
    every = [batch for some in batches.values() for batch in some]
    layers = _measure_ranges(graph, source.checkpoint.weights_path, every)
    few = [batch for some in batches.values() for batch in some[:_SENSITIVITY_SAMPLES]]
    with trunk_session(graph, source.checkpoint.weights_path) as exact:
        expected = [_features(exact, batch) for batch in few]
    sensitivity: dict[str, float] = {}
    for name in layers:
        kept = layers.keys() - {name}
        with trunk_session(graph, source.checkpoint.weights_path, layers, kept) as session:
            answers = [_features(session, batch) for batch in few]
        sensitivity[name] = mean_relative_error(answers, expected)
    kept = {name for name, error in sensitivity.items() if error > KEEP_ABOVE}
    with trunk_session(graph, source.checkpoint.weights_path, layers, kept) as session:
        errors = {
            head.spec.route: _head_error(head, session, batches[head.spec.route])
            for head in parts.heads
            if head.spec.route in batches
        }
    digest = parts.trunk.passport.content_digest
    assert digest is not None, "every part is exported with one"
    return Calibration(
        trunk=digest,
        samples={route: len(some) for route, some in batches.items()},
        layers=layers,
        sensitivity=sensitivity,
        record=Int8Record(
            int8_layers=len(layers) - len(kept),
            kept_layers=tuple(sorted(kept)),
            kept_above=KEEP_ABOVE,
            mean_relative_errors=errors,
        ),
    )


def mean_relative_error(answers: Sequence[Array], expected: Sequence[Array]) -> float:
    """Return mean|a-b| / mean|b| over all values of all arrays."""
    difference = sum(float(np.abs(a - b).sum()) for a, b in zip(answers, expected, strict=True))
    return difference / max(sum(float(np.abs(b).sum()) for b in expected), 1e-12)


@contextmanager
def trunk_session(
    graph: Path,
    weights: Path,
    ranges: Mapping[str, ActivationRange] | None = None,
    kept: Sequence[str] | set[str] = (),
) -> Iterator[ort.InferenceSession]:
    """Yield a session on a graph, in int8 if ranges are given."""
    model = ir.load(graph)
    if ranges is not None:
        quantise(model, ranges, kept)
    with _session(model, weights) as session:
        yield session


@contextmanager
def _session(model: ir.Model, weights: Path) -> Iterator[ort.InferenceSession]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(dir=weights.parent, prefix=".int8-") as name:
        path = Path(name) / GRAPH_FILE
        link_or_copy(weights, path.with_name(WEIGHTS_FILE))
        ir.save(model, path)
        yield ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _up_to_trunk(head: ExportedHead, sample: Mapping[str, Array]) -> Batch:
    """Return the inputs of a sample and what its tokenizer makes of them."""
    tokenizer = head.parts[0]
    inputs = collate([{tensor.name: sample[tensor.name] for tensor in head.spec.inputs}])
    names = list(tokenizer.outputs)
    tensors = dict(zip(names, tokenizer.session.run(names, dict(inputs)), strict=True))
    return dict(inputs) | tensors


def _real(batch: Batch) -> dict[str, Array]:
    """Return the inputs of the trunk without padding, which no answer depends on."""
    real = batch[MASK][0]
    return {TOKENS: batch[TOKENS][:, real], MASK: batch[MASK][:, real]}


def _features(session: ort.InferenceSession, batch: Batch) -> Array:
    return np.asarray(session.run([FEATURES], _real(batch))[0])


def _measure_ranges(
    graph: Path, weights: Path, batches: Sequence[Batch]
) -> dict[str, ActivationRange]:
    """Return the range of every layer's input over some batches.

    Raises:
        ExportError: No layer has int8 rows.
    """
    model = ir.load(graph)
    layers = int8_layers(model.graph)
    if not layers:
        raise ExportError(
            f"no layer of the trunk is stored in int8: each has fewer than {INT8_MIN_ELEMENTS:,} "
            "weights, and gains nothing by it"
        )
    for name, layer in layers.items():
        absolute = ir.node("Abs", [layer.input])
        largest = ir.node("ReduceMax", [absolute.outputs[0], _axes(model.graph)], {"keepdims": 0})
        output = largest.outputs[0]
        output.name, output.type = f"{name}/largest", ir.TensorType(ir.DataType.FLOAT)
        model.graph.extend([absolute, largest])
        model.graph.outputs.append(output)
    names = [f"{name}/largest" for name in layers]
    largest_of: dict[str, Array] = {}
    with _session(model, weights) as session:
        for batch in batches:
            for name, array in zip(layers, session.run(names, _real(batch)), strict=True):
                largest_of[name] = np.maximum(array, largest_of.get(name, array))
    return {name: activation_range(array) for name, array in largest_of.items()}


def _axes(graph: ir.Graph) -> ir.Value:
    """Return the axes of batch and length as a constant of the graph."""
    name = "calibration/axes"
    if name not in graph.initializers:
        tensor = ir.Tensor(np.array([0, 1], np.int64), name=name)
        value = ir.Value(
            name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        graph.register_initializer(value)
    return graph.initializers[name]


def _head_error(head: ExportedHead, trunk: ort.InferenceSession, batches: Sequence[Batch]) -> float:
    """Return the mean relative error of a head's first output with the int8 trunk."""
    exact, own = head.parts[1].session, head.parts[2].session
    name = head.spec.outputs[0].name
    answers: dict[int, list[Array]] = {0: [], 1: []}
    for batch in batches:
        for index, session in enumerate((trunk, exact)):
            inputs = {TOKENS: batch[TOKENS], MASK: batch[MASK]}
            outputs = [node.name for node in session.get_outputs()]
            tensors = {**batch, **dict(zip(outputs, session.run(outputs, inputs), strict=True))}
            given = {node.name: tensors[node.name] for node in own.get_inputs()}
            answers[index].append(np.asarray(own.run([name], given)[0]))
    return mean_relative_error(answers[0], answers[1])
