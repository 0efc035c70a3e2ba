"""One ONNX graph of a head or of a part: traced, simplified, its weights left outside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes import common as passes
from onnxscript import optimizer

from export.graphs.external_weights import externalise
from export.graphs.gathered_rows import gather_before_widening
from export.graphs.joined_attention import JoinedTensor, joined_attention
from export.graphs.traceable import Traceable
from export.graphs.tracing.kept_traces import KeptTraces, with_weights, without_weights
from export.graphs.tracing.operator_registry import one_operator_registry
from export.graphs.tracing.trace_key import trace_key
from export.graphs.weight_ranges import StoredWeights
from omnivec2.errors import ExportError
from omnivec2.parts import LENGTH
from omnivec2.spec import TensorSpec, model_name

DEFAULT_OPSET = 20
MAX_OPSET = 23
"""The newest operator set that TensorRT reads."""

_OPTIMISER_ITERATIONS = 3
_PREFIX = "network."


@dataclass(frozen=True)
class GraphFile:
    """A graph on disk.

    Attributes:
        path: The ``model.onnx``.
        bytes: The size of the file; the weights are not in it.
        storage: A map from stored dtypes to the number of weights that are read in it.
        reads: The names of the stored tensors it reads.
        is_kept: Whether its trace was kept from an earlier export.
    """

    path: Path
    bytes: int
    storage: dict[str, int]
    reads: tuple[str, ...] = ()
    is_kept: bool = False


def export_graph(
    traceable: Traceable,
    weights: StoredWeights,
    path: Path,
    *,
    opset: int = DEFAULT_OPSET,
    traces: KeptTraces | None = None,
) -> GraphFile:
    """Write one graph; the weights file must later lie in the same directory.

    Args:
        traceable: The module in eval mode, its network loaded from ``weights``.
        weights: The checkpoint's tensors, of the same names as the network's.
        path: The ``model.onnx`` to write.
        opset: The ONNX operator set, at most 23.
        traces: The traces of earlier exports; None traces the module in any case.

    Raises:
        ExportError: The module cannot be traced with dynamic axes, does not give the
            outputs it names, or uses a constant that the checkpoint does not hold.
    """
    if not 18 <= opset <= MAX_OPSET:
        raise ExportError(f"opset {opset} is not supported: expected 18 to {MAX_OPSET}")
    with joined_attention(traceable.module) as in_module:
        model, is_kept = _find_or_trace(traceable, opset, traces)
    joined = {_stored_name(name): _stored_parts(made) for name, made in in_module.items()}
    for name, value in list(model.graph.initializers.items()):
        _rename(model.graph, value, _stored_name(name))
    _shrink(model, frozenset((*weights.values, *joined)))
    storage = externalise(model, weights, joined)
    gather_before_widening(model.graph)
    _strip(model)
    _name_lengths(model.graph, frozenset(traceable.bounds))
    model.graph.name = model_name(traceable.name)
    model.producer_name, model.producer_version = "omnivec2", ""
    ir.save(model, path)
    reads = _check(path, traceable)
    return GraphFile(path, path.stat().st_size, storage, reads, is_kept)


def _find_or_trace(
    traceable: Traceable, opset: int, traces: KeptTraces | None
) -> tuple[ir.Model, bool]:
    """Return the graph of a module, and whether its trace is that of an earlier export."""
    key = None if traces is None else trace_key(traceable, opset)
    kept = None if traces is None or key is None else traces.find(key)
    model = None if kept is None else with_weights(kept, traceable.module)
    if model is not None:
        return model, True
    trace = without_weights(_trace(traceable, opset), traceable.module)
    if traces is not None and key is not None:
        traces.keep(key, trace)
    # Read again like one that was kept: both ways end in the same bytes.
    traced = with_weights(trace, traceable.module)
    assert traced is not None, "a trace names the weights of its own module"
    return traced, False


def _stored_name(name: str) -> str:
    return name.removeprefix(_PREFIX)


def _stored_parts(made: JoinedTensor) -> JoinedTensor:
    return replace(made, parts=tuple(map(_stored_name, made.parts)))


def _trace(traceable: Traceable, opset: int) -> ir.Model:
    dims = {
        name: torch.export.Dim(name, min=low, max=high)
        for name, (low, high) in traceable.bounds.items()
    }
    shapes = tuple(
        {axis: dims[label] for axis, label in traceable.axes[tensor.name].items()}
        for tensor in traceable.inputs
    )
    try:
        with torch.no_grad(), _quiet(), one_operator_registry():
            program = torch.onnx.export(
                traceable.module,
                tuple(torch.from_numpy(traceable.example[t.name]) for t in traceable.inputs),
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=(shapes,),  # one entry: the *tensors of forward
                input_names=[tensor.name for tensor in traceable.inputs],
                output_names=[tensor.name for tensor in traceable.outputs],
                optimize=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        raise ExportError(f"{traceable.name}: cannot be traced: {_root(error)}") from error
    if program is None:
        raise ExportError(f"{traceable.name}: the exporter gave no graph")
    return program.model


def _root(error: BaseException) -> BaseException:
    """Return the first of a chain of errors; torch wraps it in advice about its internals."""
    return error if error.__cause__ is None else _root(error.__cause__)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch's warnings about itself during an export; none is about the graph."""
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
    """Fold and simplify all but the weights, which must keep their names and bytes."""

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
    """Remove what only helps to debug the exporter: traces, types, notes, names of nodes."""
    graph = model.graph
    model.doc_string, graph.doc_string = None, None
    model.metadata_props.clear()
    graph.metadata_props.clear()
    keep: set[ir.Value] = {*graph.inputs, *graph.outputs}
    for value in (*keep, *graph.initializers.values()):
        value.metadata_props.clear()
        value.doc_string = None
    for value in graph.initializers.values():
        value.type, value.shape = None, None  # their tensors say it
    for index, node in enumerate(graph):
        node.name, node.doc_string = None, None
        node.metadata_props.clear()
        for output_index, value in enumerate(node.outputs):
            value.metadata_props.clear()
            value.doc_string = None
            if value not in keep:
                value.type, value.shape = None, None
                value.name = f"{index}" if output_index == 0 else f"{index}.{output_index}"


def _name_lengths(graph: ir.Graph, known: frozenset[str]) -> None:
    """Name a computed length, for which tracing leaves a formula of the inputs' lengths."""
    for output in graph.outputs:
        if output.shape is not None:
            output.shape = ir.Shape(
                dim if isinstance(dim, int) or str(dim.value) in known else LENGTH
                for dim in output.shape
            )


def _check(path: Path, traceable: Traceable) -> tuple[str, ...]:
    """Check the written graph's names and that its batch is dynamic; return what it reads."""
    graph = onnx.load(path, load_external_data=False).graph
    expected: tuple[tuple[str, Sequence[onnx.ValueInfoProto], tuple[TensorSpec, ...]], ...] = (
        ("inputs", graph.input, traceable.inputs),
        ("outputs", graph.output, traceable.outputs),
    )
    for what, values, tensors in expected:
        names = [tensor.name for tensor in tensors]
        if [value.name for value in values] != names:
            raise ExportError(
                f"{traceable.name}: the graph's {what} are {[v.name for v in values]}, "
                f"expected {names}"
            )
        for value in values:
            if value.type.tensor_type.shape.dim[0].dim_param != "batch":
                raise ExportError(f"{traceable.name}: {value.name} has the example's batch fixed")
    return tuple(sorted(tensor.name for tensor in graph.initializer if tensor.external_data))
