"""One ONNX graph of one modality-task: traced, made small, weights left outside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes import common as passes
from onnxscript import optimizer
from torch import Tensor, nn

from export.external_weights import externalise
from export.samples import batch_axes, dynamic_axes, example_inputs
from export.weight_ranges import StoredWeights
from omnivec2.errors import ExportError
from omnivec2.spec import HeadSpec

EXPORTER = "torch.onnx (dynamo)"
DEFAULT_OPSET = 20
MAX_OPSET = 23
"""TensorRT's ceiling."""

_OPTIMISER_ITERATIONS = 3
_PREFIX = "network."


@dataclass(frozen=True)
class Graph:
    """A graph on disk.

    Attributes:
        path: the ``model.onnx``.
        bytes: its size; the weights are not in it.
        storage: stored dtype -> number of weights read in it.
    """

    path: Path
    bytes: int
    storage: dict[str, int]


class Route(nn.Module):
    """One route of the network with tensors by position, as tracing wants them."""

    def __init__(self, network: nn.Module, head: HeadSpec) -> None:
        super().__init__()
        self.network = network
        self.route = head.route
        self.input_names = [tensor.name for tensor in head.inputs]
        self.output_names = [tensor.name for tensor in head.outputs]
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Inputs in the head spec's order -> outputs in its order."""
        inputs = dict(zip(self.input_names, tensors, strict=True))
        outputs = self.network(self.route, inputs)
        if set(outputs) != set(self.output_names):
            raise ExportError(
                f"{self.route}: the head spec names outputs {self.output_names}, "
                f"the network gives {sorted(outputs)}"
            )
        return tuple(outputs[name] for name in self.output_names)


def export_graph(
    network: nn.Module,
    head: HeadSpec,
    weights: StoredWeights,
    path: Path,
    *,
    opset: int = DEFAULT_OPSET,
) -> Graph:
    """Write one head's graph; the weights file must later lie in the same directory.

    Args:
        network: called as ``network(route, inputs)``; in eval mode, loaded from ``weights``.
        head: names, shapes and dynamic axes of the graph's inputs and outputs.
        weights: the checkpoint's tensors, of the same names as the network's.
        path: the ``model.onnx`` to write.
        opset: ONNX operator set, at most 23.

    Raises:
        ExportError: the network cannot be traced with dynamic axes, does not match the
            head spec, or uses a constant that the checkpoint does not hold.
    """
    if not 18 <= opset <= MAX_OPSET:
        raise ExportError(f"opset {opset} is not supported: expected 18 to {MAX_OPSET}")
    model = _trace(Route(network, head), head, opset)
    for name, value in list(model.graph.initializers.items()):
        _rename(model.graph, value, name.removeprefix(_PREFIX))
    _shrink(model, frozenset(weights.values))
    storage = externalise(model, weights)
    _strip(model)
    model.graph.name = head.name
    model.producer_name, model.producer_version = "omnivec2", ""
    ir.save(model, path)
    _check(path, head)
    return Graph(path, path.stat().st_size, storage)


def _trace(module: Route, head: HeadSpec, opset: int) -> ir.Model:
    inputs = example_inputs(head)
    dims = {
        name: torch.export.Dim(name, min=low, max=high)
        for name, (low, high) in batch_axes(head).items()
    }
    axes = dynamic_axes(head)
    shapes = tuple(
        {axis: dims[label] for axis, label in axes[tensor.name].items()} for tensor in head.inputs
    )
    try:
        with torch.no_grad(), _quiet():
            program = torch.onnx.export(
                module,
                tuple(torch.from_numpy(inputs[tensor.name]) for tensor in head.inputs),
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=(shapes,),  # one entry: the *tensors of Route.forward
                input_names=module.input_names,
                output_names=module.output_names,
                optimize=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        raise ExportError(f"{head.route}: cannot be traced: {_root(error)}") from error
    if program is None:
        raise ExportError(f"{head.route}: the exporter gave no graph")
    return program.model


def _root(error: BaseException) -> BaseException:
    """The first of a chain of errors; torch wraps it in advice about its own internals."""
    return error if error.__cause__ is None else _root(error.__cause__)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch says about itself while exporting; none of it is about our graph."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # "torchvision is not installed", once per operator
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*LeafSpec", category=FutureWarning)
            warnings.filterwarnings("ignore", message=r"# The axis name", category=UserWarning)
            yield
    finally:
        logger.setLevel(level)


def _rename(graph: ir.Graph, value: ir.Value, name: str) -> None:
    if value.name == name:
        return
    graph.initializers.pop(str(value.name))
    value.name = name
    graph.register_initializer(value)


def _shrink(model: ir.Model, weights: frozenset[str]) -> None:
    """Fold and simplify everything but the weights, which must keep their names and bytes."""

    def should_fold(node: ir.Node) -> bool | None:
        touches = any(value is not None and value.name in weights for value in node.inputs)
        return False if touches else None

    optimizer.optimize_ir(
        model,
        num_iterations=_OPTIMISER_ITERATIONS,
        onnx_shape_inference=False,
        should_fold=should_fold,
    )
    ir.passes.Sequential(
        passes.CommonSubexpressionEliminationPass(),
        passes.RemoveUnusedNodesPass(),
        passes.RemoveUnusedOpsetsPass(),
    )(model)


def _strip(model: ir.Model) -> None:
    """Drop what only a reader of the exporter's source would miss: traces, types, notes."""
    graph = model.graph
    model.doc_string, graph.doc_string = None, None
    model.metadata_props.clear()
    graph.metadata_props.clear()
    keep: set[ir.Value] = {*graph.inputs, *graph.outputs, *graph.initializers.values()}
    for value in keep:
        value.metadata_props.clear()
        value.doc_string = None
    for index, node in enumerate(graph):
        node.doc_string = None
        node.metadata_props.clear()
        for output_index, value in enumerate(node.outputs):
            value.metadata_props.clear()
            value.doc_string = None
            if value not in keep:
                value.type, value.shape = None, None
                value.name = f"{index}" if output_index == 0 else f"{index}.{output_index}"


def _check(path: Path, head: HeadSpec) -> None:
    """Check the written graph's names and that its batch is dynamic."""
    graph = onnx.load(path, load_external_data=False).graph
    expected: tuple[tuple[str, Sequence[onnx.ValueInfoProto], tuple[str, ...]], ...] = (
        ("inputs", graph.input, tuple(tensor.name for tensor in head.inputs)),
        ("outputs", graph.output, tuple(tensor.name for tensor in head.outputs)),
    )
    for what, values, names in expected:
        if tuple(value.name for value in values) != names:
            raise ExportError(
                f"{head.route}: the graph's {what} are {[v.name for v in values]}, "
                f"the head spec names {list(names)}"
            )
        for value in values:
            if value.type.tensor_type.shape.dim[0].dim_param != "batch":
                raise ExportError(f"{head.route}: {value.name} is fixed to the example's batch")
